"""ModelSpec: one YAML file or Python object that describes a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from airflow_mlops.domain.metrics import Metric, Task
from airflow_mlops.domain.spec import idle, rows
from airflow_mlops.domain.spec.alerts import Alerts
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.domain.spec.class_gates import ClassGates
from airflow_mlops.domain.spec.costs import ClassCosts, Costs
from airflow_mlops.domain.spec.data import Expectation, Features, Labels, SchemaPolicy, Skew, Suite
from airflow_mlops.domain.spec.decision import Decision, costless, unfit
from airflow_mlops.domain.spec.fields import KofN
from airflow_mlops.domain.spec.gates import (
    Fairness,
    Gates,
    Serving,
    Shadow,
    Slices,
    Stability,
    VersusChampion,
)
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.monitor import AutoRollback, DriftPolicy, Monitor, PerformancePolicy
from airflow_mlops.domain.spec.own_metrics import NamesOwnMetrics
from airflow_mlops.domain.spec.predicted import PredictionSpec
from airflow_mlops.domain.spec.problems import Problems
from airflow_mlops.domain.spec.rescue import Rescue
from airflow_mlops.domain.spec.retrain import Retrain, RetrainWhen
from airflow_mlops.domain.spec.score import Score
from airflow_mlops.domain.spec.search import Range
from airflow_mlops.domain.spec.source import Source
from airflow_mlops.domain.spec.train import Budget, Train

__all__ = [
    "Alerts",
    "AutoRollback",
    "Budget",
    "Candidate",
    "ClassCosts",
    "ClassGates",
    "Costs",
    "Decision",
    "DriftPolicy",
    "Expectation",
    "Fairness",
    "Features",
    "Gates",
    "KofN",
    "Labels",
    "ModelSpec",
    "Monitor",
    "PerformancePolicy",
    "Range",
    "Rescue",
    "Retrain",
    "RetrainWhen",
    "SchemaPolicy",
    "Score",
    "Serving",
    "Shadow",
    "Skew",
    "Slices",
    "Source",
    "Stability",
    "Suite",
    "Task",
    "Train",
    "VersusChampion",
]


class ModelSpec(NamesOwnMetrics, PredictionSpec):
    """Describe a model: its data, how it is trained, and when it may serve.

    :raises SpecError: listing everything that is wrong, each with its place.
    """

    # The order matters, because a field's validator only sees the fields above it.
    skew: Skew | None = Field(
        default_factory=Skew,
        description="Comparison of a partition with the champion's training data; `null` turns it off.",
    )
    decision: Decision | None = Field(
        default=None,
        exclude_if=lambda decision: decision is None,
        description="From which probability on a row is put in the second of two classes, or what mistakes cost; `null` for 0.5, and of "
        "more classes the most probable one.",
    )
    train: Train = Field(
        default_factory=Train, validate_default=True, description="What is trained, on which rows."
    )
    score: Score = Field(default_factory=Score, description="How a partition is predicted and where it goes.")
    gates: Gates = Field(default_factory=Gates, description="What a candidate must pass to become champion.")
    monitor: Monitor = Field(default_factory=Monitor, description="What is watched in production.")
    retrain: Retrain = Field(default_factory=Retrain, description="When to train again.")

    @property
    def comparison(self) -> Skew | None:
        """How far a partition may be from the champion's training data."""
        return self.skew

    @property
    def metric(self) -> Metric:
        """The metric that models are ranked by."""
        return self.train.ranked_by(self.task)

    @field_validator("decision")
    @classmethod
    def _decision(cls, value: Decision | None, info: ValidationInfo) -> Decision | None:
        if value is not None:
            Problems.raise_any(unfit(value, info.data.get("task"), info.data.get("classes", ())))
        return value

    @field_validator("train")
    @classmethod
    def _train(cls, value: Train, info: ValidationInfo) -> Train:
        task = info.data.get("task")
        ranked: dict[Place, str | None] = {("metric",): value.metric}
        classes = info.data.get("classes", ())
        chosen = idle.chosen_elsewhere(value, info.data.get("decision"))
        always = idle.always_right({place: name for place, name in ranked.items() if name}, classes)
        Problems.raise_any([*rows.problems(value, info.data), *_costless(info, ranked), *chosen, *always])
        return value if task is None else value.of_task(task, len(classes))

    @field_validator("gates")
    @classmethod
    def _gates(cls, value: Gates, info: ValidationInfo) -> Gates:
        if task := info.data.get("task"):
            metric = getattr(info.data.get("train"), "metric", None)
            shadow = getattr(info.data.get("score"), "shadow", True)
            complaints = value.problems(task, info.data.get("target", ""), metric, shadow=shadow)
            closed = rows.closed_forms(info.data.get("train"), value.versus_champion)
            idling = _idle(idle.in_gates, value, info)
            Problems.raise_any([*complaints, *_costless(info, value.measured), *closed, *idling])
        if value.classes:
            of_classes = value.classes.problems(info.data.get("classes", ()))
            Problems.raise_any((("classes", *place), text) for place, text in of_classes)
        return value

    @field_validator("monitor")
    @classmethod
    def _monitor(cls, value: Monitor, info: ValidationInfo) -> Monitor:
        if task := info.data.get("task"):
            named: dict[Place, str] = {
                ("performance", "floor", name): name for name in value.performance.floor
            }
            idling = _idle(idle.in_monitoring, value, info)
            Problems.raise_any([*value.problems(task), *_costless(info, named), *idling])
        return value

    @field_validator("retrain")
    @classmethod
    def _retrain(cls, value: Retrain, info: ValidationInfo) -> Retrain:
        task, train, monitor = (info.data.get(name) for name in ("task", "train", "monitor"))
        if task and train and monitor:
            if train.elsewhere and value != Retrain():
                raise ValueError(
                    f"says when models are trained here, and those of train.elsewhere: {train.elsewhere} are not; leave it out"
                )
            Problems.raise_any(idle.in_rules(value.when, monitor.performance, train, task))
        return value


def _costless(info: ValidationInfo, metrics: Mapping[Place, str | None]) -> list[tuple[Place, str]]:
    # A decision that is wrong is missing here, and has a complaint of its own.
    return costless(info.data["decision"], metrics) if "decision" in info.data else []


def _idle(
    complaints: Callable[[Any, Train, Task, Any], Iterable[tuple[Place, str]]],
    value: Any,
    info: ValidationInfo,
) -> Iterable[tuple[Place, str]]:
    # A training or classes that are wrong are missing here, and have complaints of their own.
    train = info.data.get("train")
    return complaints(value, train, info.data["task"], info.data.get("classes", ())) if train else ()
