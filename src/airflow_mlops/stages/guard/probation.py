"""Probation: whether a new champion does worse than the one before, on rows that came after its promotion."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.classes import union
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import Action, DatasetVersion, ModelRef
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies.gates import signed, span
from airflow_mlops.domain.policies.gates_rescue import FALLBACK
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    SchemaMismatch,
    TransformFailed,
    UntrustedModel,
)
from airflow_mlops.learning.labels import labelled, weights
from airflow_mlops.learning.models import models, own_metrics, pipeline, transform
from airflow_mlops.learning.statistics import paired, resampling
from airflow_mlops.stores.registry import champions, ledger, registry

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.policies.gates import Comparison
    from airflow_mlops.domain.spec.monitor import AutoRollback
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.ledger import Row

NAME = "probation"
LEAST_ROWS = 100
"""Rows with matured labels below which nothing is judged."""

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def on_probation(rows: Sequence[Row]) -> Row | None:
    """Return the promotion of the champion; None if it replaced no champion, or became champion by a rollback or as a constant.

    A constant ranks no row before another, so that most metrics would give the champion back that has failed.

    :param rows: of the ledger.
    """
    moves = [move for move in ledger.moves(rows) if move.action is not Action.RESTORED]
    last = moves[-1] if moves else None
    if last is None or last.action is not Action.PROMOTED or last.before is None:
        return None
    return None if any(check.name == FALLBACK for check in last.evidence.checks) else last


@own_metrics.scoped(lambda *_, question, **__: question)
def judge(
    client: Client,
    promotion: Row,
    rows: Sequence[Row],
    *,
    dataset: DatasetVersion,
    policy: AutoRollback,
    question: Question,
) -> Check:
    """Compare a new champion with the one that it replaced, both predicting the same rows.

    The rows are those of the first ``policy.within`` partitions after the promotion, later than any that either of the two
    has learned from, whose labels have matured by the end of the current partition. The two are compared again whenever
    more labels have matured. Each comparison may take back a champion that is no worse, by chance; so each gets an equal
    share of ``1 - policy.confidence`` (Bonferroni), and over all of them together the chance is no larger than that.

    :param rows: of the ledger, by which both are the versions that it has recorded.
    :param dataset: the data as of the partition at which the champion is judged.
    :return: FAIL only if the new champion is shown to be worse by more than the margin; INCONCLUSIVE if the rows show
        neither, or if the two cannot be compared.
    :raises DigestMismatch: if the champion's bytes are not those that were trained; also UntrustedModel, ModelNotFound.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    model, new, old = promotion.evidence.model, str(promotion.after), str(promotion.before)
    looks = _looks(promotion.partition, dataset.grain, policy.within, question.delay)
    here = Partition.parse(dataset.partition, dataset.grain)
    expected = (
        f"version {new} no worse than version {old} by more than {policy.margin:g} in {question.metric}, in the first "
        f"{policy.within} partition{'s' * (policy.within != 1)} after {promotion.partition}"
    )

    def answer(verdict: Verdict, reason: str, **facts: Any) -> Check:
        return Check(name=NAME, verdict=verdict, expected=expected, reason=reason, **facts)

    if here < looks[0]:
        return answer(INCONCLUSIVE, f"no label has matured since {promotion.partition}")
    if here > looks[-1]:
        return answer(PASS, f"the probation of version {new} is over")
    after = Partition.parse(promotion.partition, dataset.grain)
    since, until = after.end, min(here.end - question.delay, after.shift(policy.within).end)
    champion = registry.version(client, model, new, promotion.digest)
    try:
        former = _former(client, promotion, rows)
        trainings = [registry.training(client, ref) for ref in (champion, former)]
        first = max(since, *(training.split.cut for training in trainings))
        classes = union(*(training.classes for training in trainings))
        later, truth, times = _rows(client, dataset, former, question, first, until, classes)
        if truth.size < LEAST_ROWS:
            matured = f"{truth.size} rows with matured labels since {promotion.partition}"
            return answer(INCONCLUSIVE, f"{matured}; {LEAST_ROWS} are needed", n=truth.size)
        theirs = models.predict(models.load_version(client, former), later, question.task, classes)
    except (ModelNotFound, DigestMismatch, UntrustedModel, SchemaMismatch, TransformFailed) as error:
        return answer(INCONCLUSIVE, f"version {new} cannot be compared with version {old}: {error}")
    ours = models.predict(models.load_version(client, champion), later, question.task, classes)
    rules = [
        training.decision.counting(question.costs_of(classes)).among(training.classes, classes)
        for training in trainings
    ]
    chance = (1 - policy.confidence) / len(looks)
    blocks = resampling.blocks(times, "auto", dataset.grain)
    try:
        comparison = paired.difference(
            truth,
            ours,
            theirs,
            question.metric,
            blocks=blocks,
            confidence=1 - 2 * chance,
            rules=(rules[0], rules[1]),
            weights=weights.of(later, question.weights, dataset.key),
        )
    except ValueError as error:
        return answer(INCONCLUSIVE, str(error), n=truth.size)
    verdict, reason = verdict_of(comparison, question.metric, policy.margin)
    return answer(
        verdict, f"{reason}, on {truth.size:,} rows (look {looks.index(here) + 1} of {len(looks)})", n=truth.size,
        observed=comparison.observed, baseline=comparison.baseline, interval=comparison.interval,
    )  # fmt: skip


def _former(client: Client, promotion: Row, rows: Sequence[Row]) -> ModelRef:
    """Return the version that a promotion has replaced.

    :raises DigestMismatch: if it has another digest by now, or the ledger has recorded none of it.
    """
    model, old = promotion.evidence.model, str(promotion.before)
    digest = champions.digest_as_of(rows, old, promotion.partition)
    if digest is None:
        raise DigestMismatch(f"The ledger has recorded no digest of version {old} of {model!r}.")
    return registry.version(client, model, old, digest)


def _looks(promoted: str, grain: str, within: int, delay: timedelta) -> list[Partition]:
    """Return the partitions at whose end more labels of the first ``within`` ones after a promotion have matured."""
    after = Partition.parse(promoted, grain)
    first = Partition.containing(after.end + delay, grain)
    end = after.shift(within).end + delay
    return list(first.through(Partition.containing(end - timedelta(microseconds=1), grain)))


def verdict_of(
    comparison: Comparison, metric: str, margin: float, other: str = "the former one"
) -> tuple[Verdict, str]:
    """Judge a version against another one: FAIL if the whole interval lies below a loss of ``margin``.

    :param comparison: of the two, with the interval of the improvement.
    :param other: the name of the other version in the reason.
    """
    if comparison.observed is None or comparison.baseline is None:
        return INCONCLUSIVE, f"{metric} could not be measured for both versions"
    sign = 1 if metric_of(metric).greater_is_better else -1
    sentence = f"{metric} {comparison.observed:.4g}, and {comparison.baseline:.4g} of {other}: "
    sentence += f"improvement {signed(sign * (comparison.observed - comparison.baseline))}"
    if comparison.interval is None:
        return INCONCLUSIVE, f"{sentence}, but {comparison.problem or 'its interval could not be estimated'}"
    low, high = comparison.interval
    # Not -margin, which would be written as -0 for a margin of 0.
    least = 0 - margin
    sentence += f" with interval {span(comparison.interval)}"
    if high < least:
        return FAIL, f"{sentence} lies below {least:g}"
    if low > least:
        return PASS, f"{sentence} lies above {least:g}"
    return INCONCLUSIVE, f"{sentence} lies on both sides of {least:g}"


def _rows(
    client: Client,
    dataset: DatasetVersion,
    former: ModelRef,
    question: Question,
    since: datetime,
    until: datetime,
    classes: Sequence[str],
) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Return the rows of a span that have a label, with their labels and times."""
    # The code that prepares the champion's features was compared when the partition was scored.
    transform.check_scoring(client, dataset, former)
    rows = labelled.read(dataset, since=since, until=until)
    rows, truth = pipeline.labelled(rows, question.target, question.task, classes)
    times = rows[dataset.event_time].to_numpy()
    return rows, truth, times
