"""Judgements: predictions of one partition, measured by the labels that are known as of another one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.performance import Judgement, Measured
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import PREDICTION, PROBABILITIES, SCORE, Predictor
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    SchemaMismatch,
    TableMissing,
    TableUnreadable,
)
from airflow_mlops.learning.labels.coding import TRUTH, Coding
from airflow_mlops.learning.labels.join import Joined, Truth, join
from airflow_mlops.learning.labels.labelled import read
from airflow_mlops.learning.models import pipeline
from airflow_mlops.stages.performance import estimates, metrics
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training


@dataclass(frozen=True)
class Subject:
    """The model and the predictions that are judged, and the labels that they are judged by.

    :param predictions_uri: URI of the table of predictions.
    :param truth: where the labels are, as the run of one partition sees them.
    :param slices: columns whose values are measured as slices of their own.
    :param min_rows: number of rows below which a slice is not measured.
    """

    client: Client
    model: str
    predictions_uri: str
    truth: Truth
    slices: Sequence[str] = ()
    min_rows: int = 100

    @property
    def question(self) -> Question:
        """The target, the task and the metric of the model."""
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
    """Registry data of the versions that have predicted; every version is looked up once.

    :param judgements: earlier judgements, which have the mean, or the shares, of the training labels of their versions.
    """

    def __init__(self, subject: Subject, judgements: Sequence[Judgement]) -> None:
        self._subject = subject
        self._priors: dict[Predictor, float | None] = {
            judgement.predictor: judgement.prior for judgement in judgements if judgement.prior is not None
        }
        self._shares = {judgement.predictor: judgement.shares for judgement in judgements if judgement.shares}
        self._classes = {
            judgement.predictor: judgement.classes for judgement in judgements if judgement.classes
        }
        self._trainings: dict[Predictor, tuple[ModelRef, Training] | None] = {}

    def training(self, predictor: Predictor) -> tuple[ModelRef, Training] | None:
        """Return a version and its training; None if the version was deleted or has another digest, or records none."""
        if predictor not in self._trainings:
            self._trainings[predictor] = self._recorded(predictor)
        return self._trainings[predictor]

    def _recorded(self, predictor: Predictor) -> tuple[ModelRef, Training] | None:
        if predictor.digest is None:
            return None
        client, model = self._subject.client, self._subject.model
        try:
            ref = registry.version(client, model, predictor.version, predictor.digest)
            return ref, registry.training(client, ref)
        except (ModelNotFound, DigestMismatch):
            return None

    def classes(self, predictor: Predictor, rows: pa.Table | None = None) -> tuple[str, ...] | None:
        """Return the classes of a version, none for a regression; None if nobody knows any more in which order they are.

        :param rows: its predictions, which tell whether a version that was deleted had the classes 0 and 1.
        """
        if trained := self.training(predictor):
            return trained[1].classes
        if predictor in self._classes or self._subject.question.task != "classification":
            return self._classes.get(predictor, ())
        names = rows.column_names if rows is not None else []
        many = rows is not None and PROBABILITIES in names and rows[PROBABILITIES].null_count < len(rows)
        chosen = (
            set(rows[PREDICTION].unique().to_pylist()) if rows is not None and PREDICTION in names else set()
        )
        return None if many or not chosen <= {None, *BINARY} else BINARY

    def coding(self, predictor: Predictor) -> Coding:
        """Return how labels are compared with the predictions of a version."""
        return Coding.of(self._subject.question, self.classes(predictor) or ())

    def prior(self, predictor: Predictor) -> float | None:
        """Return the mean of a version's training labels; None if they are gone, or of more than two classes."""
        if predictor not in self._priors:
            labels = None if self.coding(predictor).many else self._labels(predictor)
            self._priors[predictor] = None if labels is None else float(labels.mean())
        return self._priors[predictor]

    def shares(self, predictor: Predictor) -> dict[str, float]:
        """Return the share of each of more than two classes in a version's training labels; empty if they are gone."""
        import numpy as np

        coding = self.coding(predictor)
        if coding.many and predictor not in self._shares:
            labels = self._labels(predictor)
            counts = np.bincount([] if labels is None else labels[labels >= 0], minlength=len(coding.judged))
            shares = zip(coding.judged, counts / max(counts.sum(), 1), strict=True)
            self._shares[predictor] = {} if labels is None else {name: float(share) for name, share in shares}
        return self._shares.get(predictor, {})

    def _labels(self, predictor: Predictor) -> np.ndarray | None:
        trained, target = self.training(predictor), self._subject.question.target
        if trained is None:
            return None
        source, split = trained[1].dataset, trained[1].split
        if source.labels is None and target not in source.columns:
            return None
        coding = self.coding(predictor)
        try:
            rows = read(source, columns=[target], since=split.start, until=split.cut)
            _, labels = pipeline.labelled(rows, target, coding.task, coding.judged)
        except (TableMissing, TableUnreadable, SchemaMismatch):
            return None
        return labels if labels.size else None


def predictor_of(ref: ModelRef) -> Predictor:
    """Return what the predictions of a registered version are found by."""
    return Predictor(ref.version, ref.digest)


def judge(
    subject: Subject, scored: Partition, moment: Partition, earlier: Sequence[Judgement], models: Models
) -> list[Judgement]:
    """Judge a partition as of another, with one judgement for each version that has predicted it.

    :param scored: the partition that was predicted.
    :param moment: the partition as of which labels count.
    :param earlier: earlier judgements; those of the same predictions and labels are used again.
    """
    joined = join(subject.predictions_uri, subject.truth, scored, moment)
    judgements = []
    for predictor in joined.predictors:
        mine = joined.of(predictor)
        classes = models.classes(predictor, mine.rows)
        coding = Coding.of(subject.question, classes or ()).widened(mine.labelled)
        content = _digest(subject, mine, scored, coding)
        same = _unchanged(earlier, predictor, content, scored, moment)
        judgements.append(
            same
            or _measure(
                subject, scored, moment, mine, predictor, content, models, None if classes is None else coding
            )
        )
    return judgements


def _unchanged(
    earlier: Sequence[Judgement], predictor: Predictor, content: str, scored: Partition, moment: Partition
) -> Judgement | None:
    """Return the earlier judgement of the same rows, as of another partition; None if there is none.

    As of the scored partition itself, only a judgement as of that same partition counts: no other one has
    estimates.
    """
    for judgement in earlier:
        same = (judgement.predictor, judgement.content) == (predictor, content)
        if same and (scored != moment or judgement.as_of == moment.key):
            return judgement.model_copy(update={"as_of": moment.key})
    return None


def content_of(rows: Iterable[Judgement]) -> list[tuple[Predictor, str]]:
    """Return the version and the content digest of judgements as of one partition."""
    return [(judgement.predictor, judgement.content) for judgement in rows]


def _digest(subject: Subject, joined: Joined, scored: Partition, coding: Coding) -> str:
    truth = subject.truth
    columns = list(dict.fromkeys([*truth.key, truth.dataset.event_time, SCORE, TRUTH]))
    parts: list[object] = [
        tables.digest(joined.rows.select(columns))[:32],
        joined.contradictory,
        joined.unknown,
    ]
    # The digest of the data too, because slices are made by its columns.
    parts.append(subject.digests.get(scored.key, "")[:32])
    if coding.judged not in ((), BINARY):
        # Metrics depend on the classes that rows are judged by, and a spec may name others by now.
        names = "\n".join([*coding.own, "", *coding.judged])
        parts.append(hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:16])
    return "-".join(map(str, parts))


def _measure(
    subject: Subject,
    scored: Partition,
    moment: Partition,
    joined: Joined,
    predictor: Predictor,
    content: str,
    models: Models,
    coding: Coding | None,
) -> Judgement:
    truth, labelled = subject.truth, joined.labelled
    dataset = truth.dataset
    judged = labelled
    if coding is None:
        # Nothing can be measured of a version that was deleted with the order of its classes.
        coding, judged = Coding.of(subject.question, ()), labelled.slice(0, 0)
    trained, prior = models.training(predictor), models.prior(predictor)
    estimated: dict[str, Measured] = {}
    if scored == moment and trained is not None and truth.question.task == "classification":
        estimated = estimates.of(subject.client, *trained, coding, joined.rows)
    return Judgement(
        scored=scored.key,
        as_of=moment.key,
        model_version=predictor.version,
        model_digest=predictor.digest,
        predicted=joined.rows.num_rows,
        labelled=labelled.num_rows,
        contradictory=joined.contradictory,
        unknown=joined.unknown,
        watermark=_watermark(joined, dataset.event_time, scored),
        metrics=metrics.every(judged, coding, dataset.event_time, dataset.grain, subject.question.metric),
        slices=_slices(subject, scored, judged, coding),
        naive=metrics.naive(
            coding.labels(judged), coding, prior, models.shares(predictor), subject.question.metric
        ),
        prior=prior,
        shares=models.shares(predictor),
        classes=() if coding.own == BINARY else coding.own,
        holdout=dict(trained[1].metrics) if trained else {},
        estimates=estimated,
        content=content,
        data_digest=subject.digests.get(scored.key),
    )


def _slices(subject: Subject, scored: Partition, labelled: pa.Table, coding: Coding) -> dict[str, Measured]:
    if not subject.slices or not labelled.num_rows:
        return {}
    rows = subject.truth.with_columns(labelled, scored, subject.slices)
    dataset = subject.truth.dataset
    metric, least = subject.question.metric, subject.min_rows
    return metrics.slices(rows, coding, dataset.event_time, dataset.grain, metric, subject.slices, least)


def _watermark(joined: Joined, event_time: str, scored: Partition) -> datetime:
    import pyarrow.compute as pc

    missing = joined.rows.filter(joined.rows[TRUTH].is_null())
    first: datetime = pc.min(missing[event_time]).as_py() if missing.num_rows else scored.end
    return first
