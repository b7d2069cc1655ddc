"""The model whose predictions are judged, and what is recorded of the versions that have made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import PREDICTION, PROBABILITIES, SCORE, Predictor
from airflow_mlops.exceptions import SchemaMismatch, TableMissing, TableUnreadable
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.labels.labelled import read
from airflow_mlops.learning.models import pipeline

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.facts.performance import Measured
    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.learning.statistics.resampling import Estimate
    from airflow_mlops.stores.registry.registry import Training


class Versions(Protocol):
    """What is recorded of the versions of a model: by its registry, or by partitions that another system's have predicted."""

    def training(self, predictor: Predictor) -> tuple[ModelRef, Training] | None:
        """Return a version and what it has learned from; None if nobody knows any more."""

    def estimates(
        self, ref: ModelRef, training: Training, coding: Coding, rows: pa.Table
    ) -> dict[str, Measured]:
        """Estimate the metrics of a version's predictions; none if there are no rows to calibrate on."""

    def evaluation(
        self, ref: ModelRef, training: Training, coding: Coding, metrics: Sequence[str]
    ) -> dict[str, Estimate]:
        """Measure metrics of a version on the rows of its own evaluation, with standard errors; none if these are gone."""

    def coverage(self, ref: ModelRef) -> float | None:
        """Return the share of values that a version's bounds should hold; None if it has no bounds."""


@dataclass(frozen=True)
class Subject:
    """The model and the predictions that are judged, and the labels that they are judged by.

    :param versions: what is recorded of those that have predicted.
    :param predictions_uri: URI of the table of predictions.
    :param truth: where the labels are, as the run of one partition sees them.
    :param slices: columns whose values are measured as slices of their own.
    :param min_rows: number of rows below which a slice is not measured.
    """

    versions: Versions
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
    """What is recorded of the versions that have predicted; every version is looked up once.

    :param judgements: earlier judgements, which have the mean, or the shares, of the training labels of their versions, and
        their decisions.
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
        self._decisions = {
            judgement.predictor: judgement.decision for judgement in judgements if judgement.decision
        }
        self._trainings: dict[Predictor, tuple[ModelRef, Training] | None] = {}

    def training(self, predictor: Predictor) -> tuple[ModelRef, Training] | None:
        """Return a version and its training; None if the version was deleted or has another digest, or records none."""
        if predictor not in self._trainings:
            self._trainings[predictor] = self._subject.versions.training(predictor)
        return self._trainings[predictor]

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

    def decision(self, predictor: Predictor, rows: pa.Table | None = None) -> DecisionRule:
        """Return from which probability on a version calls a row positive.

        :param rows: its predictions, by which a version that was deleted is known: it has called positive what has the score
            of its least positive row.
        """
        if trained := self.training(predictor):
            return trained[1].decision
        if predictor in self._decisions:
            return self._decisions[predictor]
        return HALF if rows is None else _as_decided(rows, self.classes(predictor, rows) or ())

    def coding(self, predictor: Predictor, rows: pa.Table | None = None) -> Coding:
        """Return how labels are compared with the predictions of a version.

        :param rows: its predictions; see :meth:`decision`.
        """
        decision = self.decision(predictor, rows)
        return Coding.of(self._subject.question, self.classes(predictor, rows) or (), decision)

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


def _as_decided(rows: pa.Table, classes: Sequence[str]) -> DecisionRule:
    """Return a decision that puts rows in the classes that they were put in."""
    import pyarrow.compute as pc

    if len(classes) != len(BINARY) or PREDICTION not in rows.column_names:
        return HALF
    positive = pc.fill_null(pc.equal(rows[PREDICTION], classes[1]), False)
    above = pc.min(rows[SCORE].filter(positive)).as_py()
    below = pc.max(rows[SCORE].filter(pc.invert(positive))).as_py()
    as_usual = (above is None or above >= HALF.threshold) and (below is None or below < HALF.threshold)
    return HALF if as_usual else DecisionRule(threshold=1.0 if above is None else above)
