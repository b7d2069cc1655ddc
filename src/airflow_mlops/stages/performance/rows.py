"""One judgement: the predictions of a partition by the labels that are known as of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.performance import Judgement, Measured
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import MODEL_VERSION, SCORE
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    SchemaMismatch,
    TableMissing,
    TableUnreadable,
)
from airflow_mlops.learning.labels.join import TRUTH, Joined, Truth, arrays, join
from airflow_mlops.learning.labels.labelled import read
from airflow_mlops.learning.models import pipeline
from airflow_mlops.stages.performance import estimate, metrics
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training


@dataclass(frozen=True)
class Subject:
    """What is judged, and how.

    :param predictions_uri: table of predictions.
    :param truth: where the labels are, as a run of one partition sees them.
    :param slices: columns whose every value is measured apart.
    :param min_rows: rows below which a slice is not measured.
    """

    client: Client
    model: str
    predictions_uri: str
    truth: Truth
    slices: Sequence[str] = ()
    min_rows: int = 100

    @property
    def question(self) -> Question:
        """What the model is asked."""
        return self.truth.question

    @cached_property
    def digests(self) -> dict[str, str]:
        """The digest of each partition of the data."""
        return self.truth.digests()

    @property
    def run(self) -> Partition:
        """The partition of the run."""
        return self.parse(self.truth.dataset.partition)

    def parse(self, key: str) -> Partition:
        """Return the partition of a key."""
        return Partition.parse(key, self.truth.dataset.grain)


class Models:
    """What is known of the versions that have predicted; each is asked for once.

    :param priors: mean of the training labels by version, where it is known.
    """

    def __init__(self, subject: Subject, priors: Mapping[str, float]) -> None:
        self._subject = subject
        self._priors: dict[str, float | None] = {**priors}
        self._found: dict[str, tuple[ModelRef, Training] | None] = {}

    def training(self, version: str) -> tuple[ModelRef, Training] | None:
        """Return a version and what it was trained on; None if it was deleted, or does not say."""
        if version not in self._found:
            client = self._subject.client
            try:
                ref = registry.version(client, self._subject.model, version)
                self._found[version] = ref, registry.training(client, ref)
            except (ModelNotFound, DigestMismatch):
                self._found[version] = None
        return self._found[version]

    def prior(self, version: str) -> float | None:
        """Return the mean of a version's training labels; None if they are gone."""
        if version not in self._priors:
            found = self.training(version)
            self._priors[version] = self._mean(found[1]) if found else None
        return self._priors[version]

    def _mean(self, training: Training) -> float | None:
        truth, source, split = self._subject.truth, training.dataset, training.split
        if source.labels is None and truth.question.target not in source.columns:
            return None
        try:
            rows = read(source, columns=[truth.question.target], since=split.start, until=split.cut)
            _, values = pipeline.labelled(rows, truth.question.target, truth.question.task)
        except (TableMissing, TableUnreadable, SchemaMismatch):
            return None
        return float(values.mean()) if values.size else None


def judge(
    subject: Subject, scored: Partition, moment: Partition, known: Sequence[Judgement], models: Models
) -> list[Judgement]:
    """Judge a partition as of another, one judgement for each version that has predicted.

    :param known: earlier answers; what they say of the same predictions and labels is not measured again.
    """
    joined = join(subject.predictions_uri, subject.truth, scored, moment)
    found = []
    for version in sorted(set(joined.rows[MODEL_VERSION].to_pylist())):
        mine = joined.of(version)
        content = _digest(subject, mine, scored)
        same = _known(known, version, content, scored, moment)
        found.append(same or _measure(subject, scored, moment, mine, version, content, models))
    return found


def _known(
    known: Sequence[Judgement], version: str, content: str, scored: Partition, moment: Partition
) -> Judgement | None:
    """Return what earlier answers say of the same rows; only as of its own partition is performance estimated."""
    for each in known:
        same = (each.model_version, each.content) == (version, content)
        if same and (scored != moment or each.as_of == moment.key):
            return each.model_copy(update={"as_of": moment.key})
    return None


def content_of(rows: Iterable[Judgement]) -> list[tuple[str, str]]:
    """Return what judgements as of one partition rest on."""
    return [(each.model_version, each.content) for each in rows]


def _digest(subject: Subject, joined: Joined, scored: Partition) -> str:
    truth = subject.truth
    columns = list(dict.fromkeys([*truth.key, truth.dataset.event_time, SCORE, TRUTH]))
    parts = (tables.digest(joined.rows.select(columns))[:32], joined.contradictory, joined.unknown)
    # The data too, for slices are of its columns.
    return "-".join(map(str, (*parts, subject.digests.get(scored.key, "")[:32])))


def _measure(
    subject: Subject,
    scored: Partition,
    moment: Partition,
    joined: Joined,
    version: str,
    content: str,
    models: Models,
) -> Judgement:
    truth, labelled = subject.truth, joined.labelled
    dataset = truth.dataset
    values, _ = arrays(labelled)
    trained, prior = models.training(version), models.prior(version)
    estimates: dict[str, Measured] = {}
    if scored == moment and trained is not None and truth.question.task == "classification":
        scores = joined.rows[SCORE].to_numpy()
        estimates = estimate.of(subject.client, *trained, scores, truth.question.target)
    return Judgement(
        scored=scored.key,
        as_of=moment.key,
        model_version=version,
        predicted=joined.rows.num_rows,
        labelled=labelled.num_rows,
        contradictory=joined.contradictory,
        unknown=joined.unknown,
        watermark=_watermark(joined, dataset.event_time, scored),
        metrics=metrics.every(labelled, dataset.event_time, dataset.grain, truth.question.task),
        slices=_slices(subject, scored, labelled),
        naive=metrics.naive(values, prior, truth.question.task),
        prior=prior,
        holdout=dict(trained[1].metrics) if trained else {},
        estimates=estimates,
        content=content,
        data_digest=subject.digests.get(scored.key),
    )


def _slices(subject: Subject, scored: Partition, labelled: pa.Table) -> dict[str, Measured]:
    if not subject.slices or not labelled.num_rows:
        return {}
    rows = subject.truth.with_columns(labelled, scored, subject.slices)
    dataset = subject.truth.dataset
    return metrics.slices(
        rows, dataset.event_time, dataset.grain, subject.question.metric, subject.slices, subject.min_rows
    )


def _watermark(joined: Joined, event_time: str, scored: Partition) -> datetime:
    import pyarrow.compute as pc

    missing = joined.rows.filter(joined.rows[TRUTH].is_null())
    first: datetime = pc.min(missing[event_time]).as_py() if missing.num_rows else scored.end
    return first
