"""Windows of a challenger: how it compares with the champion, partition by partition, as far as labels are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.classes import union
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.facts.scoring import ShadowReport, ShadowWindow
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies import shadow
from airflow_mlops.domain.predictions import (
    CHAMPION_PROBABILITIES,
    CHAMPION_SCORE,
    DATASET_DIGEST,
    MODEL_VERSION,
    SCORED_AT,
)
from airflow_mlops.domain.spec.gates import Shadow
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound
from airflow_mlops.learning.labels import join
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import own_metrics
from airflow_mlops.learning.statistics import paired, resampling
from airflow_mlops.stages.guard.probation import verdict_of
from airflow_mlops.stages.score import beside
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client

_CONFIDENCE = 0.95
# Partitions that are looked at for each window that is needed: so the whole past is not read if labels never come.
_REACH = 10


@dataclass(frozen=True)
class Pair:
    """A challenger and the champion that it predicts beside.

    :param uri: URI of the table of the challenger's predictions.
    :param predictions: URI of the table of the predictions that are served.
    :param champion: the champion's version; predictions beside another champion do not count.
    :param truth: labels, and the data as of the partition at which the challenger is judged.
    :param classes: the classes of both, in the order of their probabilities; none for a regression.
    :param decisions: from which probability on the challenger, and the champion, call a row positive.
    """

    uri: str
    predictions: str
    challenger: ModelRef
    champion: str | None
    truth: Truth
    classes: tuple[str, ...] = ()
    decisions: tuple[DecisionRule, DecisionRule] = (HALF, HALF)

    @property
    def metric(self) -> str:
        """The metric that the two are compared by."""
        return self.truth.question.metric

    @property
    def dataset(self) -> DatasetVersion:
        """The data."""
        return self.truth.dataset

    @property
    def here(self) -> Partition:
        """The partition at which the challenger is judged."""
        return self._partition(self.dataset.partition)

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """Digest of each partition as it is now."""
        return self.truth.digests()

    def has(self, partition: str) -> bool:
        """Return whether the two have predicted a partition as it is now."""
        origin = beside.origin(self.uri, partition)
        return origin is not None and origin == (
            self.challenger.version, self.challenger.digest, self.champion, self.digests.get(partition)
        )  # fmt: skip

    def has_failed(self, since: datetime) -> bool:
        """Return whether the champion has predicted the current partition, and the challenger has not.

        Predictions from before the challenger's trial, of another champion or from other data do not count against it.

        :param since: when the challenger's trial began.
        """
        partition = self.dataset.partition
        first_row = beside.first(self.predictions, partition, [MODEL_VERSION, DATASET_DIGEST, SCORED_AT])
        if first_row is None or self.has(partition):
            return False
        version, digest, at = first_row
        return (version, digest) == (self.champion, self.dataset.digest) and at > since

    def is_mature(self, partition: str) -> bool:
        """Return whether all labels of a partition are due by the end of the current one."""
        return self._partition(partition).end + self.truth.question.delay <= self.here.end

    def report(self, partition: str) -> ShadowReport:
        """Compare the predictions of the two for a partition."""
        return beside.shadow_report(self.uri, partition, self.challenger, self.truth.question.task, 0)

    def _partition(self, key: str) -> Partition:
        return Partition.parse(key, self.dataset.grain)


def pair_of(
    client: Client,
    model: str,
    truth: Truth,
    *,
    tables: tuple[str, str],
    challenger: ModelRef,
    champion: str,
) -> Pair:
    """Return a challenger and the champion, with the classes of both and how each decides.

    :param tables: URIs of the table of the challenger's predictions, and of those that are served.
    """
    theirs, ours = (_classes(client, model, truth, version) for version in (challenger.version, champion))
    classes = union(theirs[0], ours[0])
    rules = theirs[1].among(theirs[0], classes), ours[1].among(ours[0], classes)
    return Pair(*tables, challenger, champion, truth, classes, rules)


def _classes(client: Client, model: str, truth: Truth, version: str) -> tuple[tuple[str, ...], DecisionRule]:
    """Return the classes of a version and how it decides; none for a regression, or if it does not say any more."""
    if truth.question.task != "classification":
        return (), HALF
    try:
        training = registry.training(client, registry.version(client, model, version))
    except (DigestMismatch, ModelNotFound):
        return (), HALF
    return training.classes, training.decision


def checks(windows: Sequence[ShadowWindow]) -> tuple[Check, ...]:
    """Return the checks of all windows: of each name one without a slice, from the newest conclusive window."""
    heads: dict[str, Check] = {}
    for check in (check for window in windows for check in window.checks):
        head = heads.get(check.name)
        if head is None or (head.verdict is Verdict.INCONCLUSIVE and check.verdict is not head.verdict):
            heads[check.name] = check
    return tuple(
        check
        if heads[check.name] is check
        else check.model_copy(update={"slice": f"partition={window.partition}"})
        for window in windows
        for check in window.checks
    )


def windows(pair: Pair, policy: Shadow, needed: int, *, since: datetime | None = None) -> list[ShadowWindow]:
    """Judge the partitions that a challenger has predicted beside the champion, the newest first.

    They are the current partition, and as many earlier ones whose labels have matured as a conclusion takes.

    :param needed: number of clean windows in a row after which older ones are not judged; nor are they after one that
        failed.
    :param since: when the challenger's trial began: it fails if the champion has predicted the current partition since, and
        the challenger has not. None if the challenger is not on trial.
    """
    here = pair.dataset.partition
    if since is not None and pair.has_failed(since):
        problem = f"{_named(pair)} has predicted no row of {here}, and version {pair.champion} has"
        return [shadow.window(here, [shadow.missing(f"{problem}: the log of the task score says why")])]
    judged: list[ShadowWindow] = []
    for key in islice(_candidates(pair), needed * _REACH + 1):
        if _is_settled(judged, needed):
            break
        if pair.has(key):
            report = pair.report(key)
            checks = [
                shadow.agreement(report),
                shadow.divergence(report, policy),
                quality(pair, key, policy),
            ]
            judged.append(shadow.window(key, checks))
    return judged


def _candidates(pair: Pair) -> Iterator[str]:
    here, learned = pair.dataset.partition, pair.challenger.trained_through or ""
    if not tables.exists(pair.uri):
        return
    partitions = {str(row[tables.PARTITION]) for row in tables.open_table(pair.uri).partitions()}
    for key in sorted((key for key in partitions if learned < key <= here), reverse=True):
        # The current partition is looked at before it has labels: agreement of the two needs none.
        if key == here or pair.is_mature(key):
            yield key


def _is_settled(windows: list[ShadowWindow], needed: int) -> bool:
    failed = any(window.verdict is Verdict.FAIL for window in windows)
    return failed or shadow.clean_windows(windows, needed).verdict is Verdict.PASS


@own_metrics.scoped(lambda pair, *_: pair.truth.question)
def quality(pair: Pair, partition: str, policy: Shadow) -> Check:
    """Compare challenger and champion on the rows of one partition, all of whose labels have matured.

    :return: FAIL only if the challenger is shown to be worse by more than the margin, PASS if the rows do not show it;
        INCONCLUSIVE while labels are missing, or too few.
    :raises SchemaMismatch: if the column of labels is missing, or does not hold labels.
    """
    expected = (
        f"{_named(pair)} not shown to be worse than the champion by more than {policy.margin:g} in "
        f"{pair.metric}, in {partition}"
    )

    def answer(verdict: Verdict, reason: str, **facts: Any) -> Check:
        return Check(name="shadow.quality", verdict=verdict, expected=expected, reason=reason, **facts)

    scored = Partition.parse(partition, pair.dataset.grain)
    if not pair.is_mature(partition):
        due = scored.end + pair.truth.question.delay
        return answer(Verdict.INCONCLUSIVE, f"its labels are not all known before {due:%Y-%m-%d %H:%M}")
    rows = join.join(pair.uri, pair.truth, scored, pair.here).labelled
    count = rows.num_rows
    if count < max(policy.min_rows, 1):
        few = f"{count:,} rows with labels; {policy.min_rows:,} are needed"
        return answer(Verdict.INCONCLUSIVE, few, n=count)
    coding = Coding.of(pair.truth.question, pair.classes)
    costs = pair.truth.question.costs_of(pair.classes)
    rules = tuple(rule.counting(costs) for rule in pair.decisions)
    truth, theirs = coding.arrays(rows)
    ours = coding.predictions(rows, CHAMPION_SCORE, CHAMPION_PROBABILITIES)
    blocks = resampling.blocks(rows[pair.dataset.event_time].to_numpy(), "auto", pair.dataset.grain)
    comparison = paired.difference(
        truth,
        theirs,
        ours,
        pair.metric,
        blocks=blocks,
        confidence=_CONFIDENCE,
        rules=(rules[0], rules[1]),
        weights=coding.weights_of(rows, pair.truth.key),
    )
    verdict, reason = verdict_of(comparison, pair.metric, policy.margin, "the champion")
    if verdict is Verdict.INCONCLUSIVE and comparison.interval is not None:
        verdict = Verdict.PASS
    return answer(
        verdict, f"{reason}, on {count:,} rows", n=count, observed=comparison.observed, baseline=comparison.baseline,
        interval=comparison.interval,
    )  # fmt: skip


def _named(pair: Pair) -> str:
    return f"version {pair.challenger.version}"
