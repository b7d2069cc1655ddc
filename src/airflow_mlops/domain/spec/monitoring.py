"""MonitoringSpec: predictions that another system makes, watched for drift and quality."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, ValidationInfo, field_validator

from airflow_mlops.domain.metrics import Metric
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec import bounds
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.monitor import Monitor
from airflow_mlops.domain.spec.predicted import PredictionSpec
from airflow_mlops.domain.spec.predictions import Predictions
from airflow_mlops.domain.spec.problems import Problems

_OURS = ("staleness", "rollback", "alias_guard")


class MonitoringSpec(PredictionSpec):
    """Describe predictions that another system makes, which are watched and never trained.

    :raises SpecError: listing everything that is wrong, each with its place.
    """

    predictions: Predictions = Field(
        description="Predictions that another system makes, and the columns that hold them: in place of a model that is trained here."
    )
    monitor: Monitor = Field(default_factory=Monitor, description="What is watched in production.")

    @property
    def metric(self) -> Metric:
        """The metric that is judged."""
        return self.predictions.judged_by(self.task)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the data must have besides key and event time; the target may come later, or never."""
        return (*self.filled, *self.predictions.columns)

    @field_validator("predictions")
    @classmethod
    def _predictions(cls, value: Predictions, info: ValidationInfo) -> Predictions:
        if task := info.data.get("task"):
            complaints = [*value.problems(task, info.data.get("classes", ())), *_clashes(value, info)]
            Problems.raise_any([*complaints, *_spans(value, info)])
        return value

    @field_validator("monitor")
    @classmethod
    def _monitor(cls, value: Monitor, info: ValidationInfo) -> Monitor:
        usual = Monitor()
        complaints: list[tuple[Place, str]] = [
            ((name,), "is about a champion of ours, and another system makes these predictions; leave it out")
            for name in _OURS
            if getattr(value, name) != getattr(usual, name)
        ]
        complaints += [
            (("drift", name), "is about training data, and none is known of another system; leave it out")
            for name in ("reference", "season", "weights")
            if getattr(value.drift, name) != getattr(usual.drift, name)
        ]
        if (task := info.data.get("task")) and (predictions := info.data.get("predictions")):
            floors: dict[Place, str] = {
                ("performance", "floor", name): name for name in value.performance.floor
            }
            complaints += [*value.problems(task), *predictions.by_decisions(floors)]
        Problems.raise_any(complaints)
        return value


def _clashes(predictions: Predictions, info: ValidationInfo) -> Iterator[tuple[Place, str]]:
    """Complain about columns that are something else already."""
    roles = dict.fromkeys(info.data.get("key", ()), "in the key")
    roles |= {info.data.get("event_time"): "the event time", info.data.get("target"): "the target"}
    features = info.data.get("features")
    roles |= dict.fromkeys(features.names if features else (), "in features, from which it was predicted")
    for name in ("prediction", "probability", "version"):
        column = getattr(predictions, name)
        if column in roles and column is not None:
            yield (name,), f"{column!r} is {roles[column]}"


def _spans(predictions: Predictions, info: ValidationInfo) -> Iterator[tuple[Place, str]]:
    """Complain about a reference that is no partition."""
    calendar = bounds.calendar(info)
    if calendar is None or isinstance(predictions.reference, int):
        return
    keys = predictions.reference.split("..")
    try:
        first, last = (Partition.parse(key, calendar) for key in (keys[0], keys[-1]))
    except ValueError as error:
        yield ("reference",), str(error)
        return
    if last < first:
        yield ("reference",), f"{last} is before {first}"
