"""The reference of another system's predictions: partitions that stand in for the training data of a model of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, Split
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import Predictor
from airflow_mlops.domain.spec.data import Features
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.labels.join import Truth, join
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.performance import estimate_classes, estimates, evaluated
from airflow_mlops.stages.performance.calibration import LINES, Calibration, calibrate
from airflow_mlops.stages.watch.predictions import classes_of, reference_to
from airflow_mlops.stores.registry.registry import Training
from airflow_mlops.stores.tables import tables, versions

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.facts.performance import Measured
    from airflow_mlops.learning.statistics.resampling import Estimate
    from airflow_mlops.stages.performance.estimates import ScoreCalibration


def partitions(spec: MonitoringSpec, dataset: DatasetVersion) -> tuple[list[DatasetVersion], str]:
    """Return the versions of the reference's partitions, and why there is no reference as of a partition; "" if there is one.

    :param dataset: the partition that is judged.
    """
    named, grain = spec.predictions.reference, dataset.grain
    there = versions.partitions(dataset.uri)
    if isinstance(named, int):
        keys = there[:named]
        if len(keys) < named:
            return [], f"the reference is of the first {named} partitions, and {len(keys)} are published"
    else:
        first, last = (Partition.parse(key, grain) for key in (named.split("..")[0], named.split("..")[-1]))
        keys = [partition.key for partition in first.through(last)]
        if missing := [key for key in keys if key not in there]:
            return [], f"the reference is {named}, and {', '.join(missing[:5])} is not published"
    if dataset.partition <= keys[-1]:
        span = keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"
        return [], f"{dataset.partition} is not after the reference, {span}"
    newest = [tables.published(dataset.uri, key) for key in keys]
    return [version for version in newest if version is not None], ""


@dataclass(frozen=True)
class Reference:
    """What is known of the model of another system: how it predicted the partitions of the reference, and their labels.

    It answers as a registry does that has recorded a training on these partitions.

    :param dataset: versions of the partitions, in order; none if there is no reference as yet.
    :param truth: the data as of the partition that is judged, and where its labels are.
    """

    spec: MonitoringSpec
    dataset: tuple[DatasetVersion, ...]
    truth: Truth
    predictions_uri: str

    def training(self, predictor: Predictor) -> tuple[ModelRef, Training] | None:
        """Return a version and what stands in for its training."""
        return reference_to(self.spec.name, predictor.version), self.stand_in

    def estimates(
        self, ref: ModelRef, training: Training, coding: Coding, rows: pa.Table
    ) -> dict[str, Measured]:
        """Estimate the metrics of predictions, by a calibration on the labels of the reference, or by the word of the spec."""
        if not self.truth.question.probabilities:
            return {}
        return estimates.by(lambda: self._calibration(coding), coding, rows)

    def evaluation(
        self, ref: ModelRef, training: Training, coding: Coding, metrics: Sequence[str]
    ) -> dict[str, Estimate]:
        """Measure metrics of predictions of the reference, with standard errors; none before its labels are due."""
        rows, dataset = self.labelled, self.truth.dataset
        if rows is None or not rows.num_rows:
            return {}
        sides, weights = coding.arrays(rows), coding.weights_of(rows)
        times = rows[dataset.event_time].cast("timestamp[us]").to_numpy()
        return evaluated.estimates(*sides, times, dataset.grain, coding, metrics, weights)

    def coverage(self, ref: ModelRef) -> float | None:
        """Return None: the bounds of another system's predictions are not read."""
        return None

    @cached_property
    def stand_in(self) -> Training:
        """What stands in for a training: the rows of the reference, and the metrics of its predictions."""
        span = self._span
        spec, first, last = self.spec, span[0], span[-1]
        classes = classes_of(spec)
        rule = DecisionRule(threshold=spec.predictions.threshold if len(classes) == len(BINARY) else 0.5)
        coding = Coding.of(self.truth.question, classes, rule)
        rows = self.labelled
        metrics: dict[str, float | None] = {}
        if rows is not None and rows.num_rows:
            coding = coding.widened(rows)
            names = (spec.metric.name, *spec.monitor.performance.floor)
            metrics = measures.metrics(*coding.arrays(rows), spec.task.value, names, rule=coding.decision)
            metrics = {name: metrics[name] for name in coding.measurable(metrics)}
        # Rows of a reference whose labels are not all due stand for none, so that no share of them changes later.
        start = first.start if self._is_due else last.end
        return Training(
            task=spec.task.value,
            features=spec.features or Features(numeric=()),
            split=Split(start=start, cut=last.end, end=last.end, train_rows=0, holdout_rows=0),
            dataset=self.truth.dataset,
            metrics={name: value for name, value in metrics.items() if value is not None},
            classes=classes,
            decision=rule,
        )

    @cached_property
    def labelled(self) -> pa.Table | None:
        """The predictions of the reference that have labels; None before its labels are due."""
        import pyarrow as pa

        if not self._is_due or not self.dataset or not tables.exists(self.predictions_uri):
            return None
        run = Partition.parse(self.truth.dataset.partition, self.truth.dataset.grain)
        parts = [join(self.predictions_uri, self.truth, part, run).labelled for part in self._span]
        return pa.concat_tables(parts, promote_options="default")

    @property
    def _span(self) -> list[Partition]:
        """The partitions of the reference; that which is judged, if there is none."""
        versions_of = self.dataset or (self.truth.dataset,)
        return [Partition.parse(version.partition, version.grain) for version in versions_of]

    @property
    def _is_due(self) -> bool:
        run = Partition.parse(self.truth.dataset.partition, self.truth.dataset.grain)
        return bool(self.dataset) and self._span[-1].end + self.truth.question.delay <= run.end

    def _calibration(self, coding: Coding) -> ScoreCalibration | None:
        import numpy as np

        if self.spec.predictions.calibrated and not coding.many:
            ends = np.array([0.0, 1.0])
            return Calibration(ends, np.tile(ends, (1 + LINES, 1)))
        rows = self.labelled
        if rows is None or not rows.num_rows:
            return None
        truth, scores = coding.arrays(rows)
        if coding.many:
            return estimate_classes.calibrate(truth, scores)
        return calibrate(truth, scores)
