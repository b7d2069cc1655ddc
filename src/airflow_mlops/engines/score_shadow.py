"""Shadow: a challenger that predicts what the champion predicts, and how the two compare."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain import scoring
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.results import DatasetVersion, ModelRef
from airflow_mlops.domain.scoring import ShadowReport, ShadowWindow
from airflow_mlops.domain.spec_score import Shadow
from airflow_mlops.engines import ledger, paired, pipeline, registry, resampling, tables
from airflow_mlops.engines.probation import Question, verdict_of
from airflow_mlops.engines.score_batches import SCORE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from mlflow import MlflowClient

CHALLENGER = "challenger"
"""The alias of the version that predicts beside the champion; also the name of the table."""
CHAMPION_SCORE = "champion_score"
"""Column of the challenger's table: what the champion has predicted for the row."""
CHAMPION_VERSION = "champion_version"
_CONFIDENCE = 0.95
_AGREEMENT, _QUALITY = "shadow.agreement", "shadow.quality"


def challenger_for(
    client: MlflowClient, *, model: str, partition: str, ledger_uri: str, uri: str
) -> ModelRef | None:
    """Return the challenger that predicts a partition beside the champion; None if there is none.

    At the live edge this is the version with the alias ``challenger``, if it is known not to have learned from the
    partition. A partition that has been decided on already is being replayed: it gets the challenger that it had.

    :param uri: the challenger's table.
    :raises ModelNotFound: if the version has been deleted.
    :raises DigestMismatch: if no digest is known of it.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    if ledger.reached(ledger_uri, partition):
        number = _recorded(uri, partition)
    else:
        number = registry.alias_version(client, model, CHALLENGER)
    found = registry.version(client, model, number) if number is not None else None
    if found is None or found.trained_through is None or found.trained_through >= partition:
        return None
    return found


def _recorded(uri: str, partition: str) -> str | None:
    if not tables.exists(uri):
        return None
    first = next(
        (each for each in tables.batches(uri, partition=partition, columns=["model_version"]) if len(each)),
        None,
    )
    return None if first is None else str(first["model_version"][0])


def report(uri: str, partition: str, challenger: ModelRef, task: str, served: int) -> ShadowReport:
    """Compare what challenger and champion have predicted for a partition.

    :param uri: the challenger's table.
    :param served: rows that the challenger serves.
    """
    found = _Pairs()
    for batch in tables.batches(uri, partition=partition, columns=[CHAMPION_SCORE, SCORE]):
        found.add(*(column.to_numpy(zero_copy_only=False) for column in batch.columns))
    return ShadowReport(
        version=challenger.version, digest=challenger.digest, uri=uri, rows=found.count, served=served,
        agreement=found.equal / found.count if found.count and task == "classification" else None,
        **found.measures(),
    )  # fmt: skip


class _Pairs:
    """Moments of pairs of numbers, by the updates of Chan, Golub and LeVeque, Updating Formulae (1979)."""

    def __init__(self) -> None:
        self.count = self.equal = 0
        self.means = (0.0, 0.0)
        # Sums of (x - mean x)², (x - mean x)(y - mean y), (y - mean y)², |x - y| and (x - y)².
        self.sums = [0.0] * 5

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        import numpy as np

        if not x.size:
            return
        means = (float(x.mean()), float(y.mean()))
        dx, dy, apart = x - means[0], y - means[1], x - y
        sums = (dx @ dx, dx @ dy, dy @ dy, np.abs(apart).sum(), apart @ apart)
        total = self.count + x.size
        sx, sy = means[0] - self.means[0], means[1] - self.means[1]
        weight = self.count * x.size / total
        shift = (sx * sx * weight, sx * sy * weight, sy * sy * weight, 0.0, 0.0)
        self.sums = [float(a + b + c) for a, b, c in zip(self.sums, sums, shift, strict=True)]
        self.means = (self.means[0] + sx * x.size / total, self.means[1] + sy * x.size / total)
        self.equal += int(np.count_nonzero((x >= 0.5) == (y >= 0.5)))
        self.count = total

    def measures(self) -> dict[str, Any]:
        xx, xy, yy, apart, square = self.sums
        return {
            "correlation": xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else None,
            "difference": apart / self.count if self.count else None,
            "divergence": math.sqrt(square / xx) if xx > 0 else None,
        }


def paired_quality(
    uri: str,
    partition: str,
    *,
    dataset: DatasetVersion,
    challenger: ModelRef,
    question: Question,
    policy: Shadow,
    labels: pa.Table | None = None,
) -> Check:
    """Compare challenger and champion on the rows of one partition, all of whose labels have matured.

    :param uri: the challenger's table.
    :param dataset: as published with the partition as of which is judged: no label that matures later is seen.
    :param labels: key and target of rows whose labels are known by then; None takes them from the data.
    :return: FAIL only if the challenger is shown to be worse by more than the margin, PASS if the rows do not show it;
        INCONCLUSIVE while labels are missing, or too few.
    """
    metric, named = question.metric, f"version {challenger.version}"

    def answer(verdict: Verdict, reason: str, **facts: Any) -> Check:
        expected = (
            f"{named} not shown to be worse than the champion by more than {policy.margin:g} in {metric}"
        )
        return Check(
            name=_QUALITY, verdict=verdict, expected=expected, reason=f"{partition}: {reason}", **facts
        )

    span = Partition.parse(partition, dataset.grain)
    until = Partition.parse(dataset.partition, dataset.grain).end
    if span.end + question.delay > until:
        return answer(
            Verdict.INCONCLUSIVE,
            f"its labels are not all known before {span.end + question.delay:%Y-%m-%d %H:%M}",
        )
    joined = _joined(uri, span, dataset, challenger, question.target, labels)
    if joined is None:
        return answer(Verdict.INCONCLUSIVE, f"{named} has predicted no row of it as it is now")
    rows, truth = pipeline.labelled(joined, question.target, question.task)
    if truth.size < max(policy.min_rows, 1):
        return answer(
            Verdict.INCONCLUSIVE,
            f"{truth.size:,} rows with labels; {policy.min_rows:,} are needed",
            n=truth.size,
        )
    blocks = resampling.blocks(rows[dataset.event_time].to_numpy(), "auto", dataset.grain)
    found = paired.difference(
        truth, rows[SCORE].to_numpy(), rows[CHAMPION_SCORE].to_numpy(), metric, blocks=blocks, confidence=_CONFIDENCE
    )  # fmt: skip
    verdict, reason = verdict_of(found, metric, policy.margin)
    if verdict is Verdict.INCONCLUSIVE and found.interval is not None:
        verdict = Verdict.PASS
    return answer(
        verdict, f"{reason}, on {truth.size:,} rows", n=truth.size, observed=found.observed, baseline=found.baseline,
        interval=found.interval,
    )  # fmt: skip


def _joined(
    uri: str,
    span: Partition,
    dataset: DatasetVersion,
    challenger: ModelRef,
    target: str,
    labels: pa.Table | None,
) -> pa.Table | None:
    import pyarrow.compute as pc

    if not tables.exists(uri):
        return None
    key = list(dataset.key)
    columns = list(dict.fromkeys([*key, dataset.event_time, SCORE, CHAMPION_SCORE, "model_digest"]))
    scores = tables.read(uri, partition=span.key, columns=columns)
    scores = scores.filter(pc.field("model_digest") == challenger.digest).drop_columns(["model_digest"])
    if not scores.num_rows:
        return None
    if labels is None:
        labels = tables.read(dataset.uri, version=dataset.version, partition=span.key, columns=[*key, target])
    # A join gives its rows in any order, and the last digits of a sum depend on it.
    joined = scores.join(labels.select([*key, target]), keys=key, join_type="inner")
    return joined.sort_by([(name, "ascending") for name in key])


def windows(
    uri: str,
    *,
    dataset: DatasetVersion,
    challenger: ModelRef,
    question: Question,
    policy: Shadow,
    labels: pa.Table | None = None,
) -> list[ShadowWindow]:
    """Judge every partition up to the dataset's that a challenger has predicted beside the champion.

    :param uri: the challenger's table; other parameters as for :func:`paired_quality`.
    """
    found = []
    for key in _partitions(uri, dataset.partition):
        if _recorded(uri, key) != challenger.version:
            continue
        compared = report(uri, key, challenger, question.task, 0)
        quality = paired_quality(
            uri, key, dataset=dataset, challenger=challenger, question=question, policy=policy, labels=labels
        )
        found.append(scoring.window(key, [scoring.agreement(compared, policy), quality]))
    return found


def clean_windows(
    uri: str,
    *,
    dataset: DatasetVersion,
    challenger: ModelRef,
    question: Question,
    policy: Shadow,
    needed: int,
    labels: pa.Table | None = None,
) -> Check:
    """Tell whether a challenger has had so many clean windows in a row, as of the dataset's partition.

    A partition that the challenger was unable to predict is no window.
    """
    found = windows(
        uri, dataset=dataset, challenger=challenger, question=question, policy=policy, labels=labels
    )
    return scoring.clean_windows(found, needed)


def _partitions(uri: str, through: str) -> list[str]:
    if not tables.exists(uri):
        return []
    keys = {str(each[tables.PARTITION]) for each in tables.open_table(uri).partitions()}
    return sorted(key for key in keys if key <= through)
