"""The question that a model answers: what it predicts, and when the label of a row is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, field_validator, model_validator

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.classes import BINARY, are_texts, class_name, union
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec.costs import ClassCosts, CostMatrix, Costs
from airflow_mlops.domain.spec.decision import Decision, costless
from airflow_mlops.domain.spec.own_metrics import OwnMetric

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.domain.spec.monitoring import MonitoringSpec


class Question(Fact):
    """What a model predicts, which metric compares its predictions with the labels, and where the labels come from.

    :param target: column with the label.
    :param task: ``classification`` or ``regression``.
    :param metric: the metric that models are ranked by.
    :param classes: the classes of a classification that the spec names, in order; none if they come from the data.
    :param decision: from which probability on a row is put in the second of two classes; None for 0.5.
    :param delay: time from a row's event time until its label counts.
    :param own_metrics: metrics of one's own by name.
    :param labels: True if the labels are in the model's own labels table; False if they are a column of the data.
    :param weights: column of the data that says how much each row counts; None means that all count alike.
    :param probabilities: False if only the chosen classes are known, so that a score is 1 or 0.
    """

    target: str
    task: str
    metric: str
    classes: tuple[str, ...] = ()
    decision: Decision | None = Field(default=None, exclude_if=lambda decision: decision is None)
    delay: timedelta = timedelta(0)
    labels: bool = False
    own_metrics: dict[str, OwnMetric] = Field(default_factory=dict, exclude_if=lambda own: not own)
    weights: str | None = Field(default=None, exclude_if=lambda column: column is None)
    probabilities: bool = Field(default=True, exclude_if=lambda known: known)

    @field_validator("classes", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return tuple(map(class_name, value)) if isinstance(value, list | tuple) else value

    @field_validator("own_metrics", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        # As operators have it that were given none.
        return {} if value is None else value

    @model_validator(mode="after")
    def _has_costs(self) -> Self:
        for _, why in costless(self.decision, {("metric",): self.metric}):
            raise ValueError(why)
        return self

    @property
    def costs(self) -> Costs | ClassCosts | None:
        """What metrics count mistakes by; None if nothing says what they cost."""
        return self.decision.costs if self.decision else None

    def costs_of(self, order: Sequence[str]) -> Costs | CostMatrix | None:
        """Return the costs for classes in another order, as of a version from before the spec turned them, or named none.

        Those by the names of classes are also of the classes that the spec names besides.
        """
        costs = self.costs
        if isinstance(costs, ClassCosts):
            return costs.among(union(order, self.classes))
        # Labels come as numbers or as texts; only of 0 and 1, and of texts that are no numbers, the names tell their order.
        ordered = BINARY if set(order) == set(BINARY) else sorted(order) if are_texts(order) else order
        is_turned = len(order) == len(BINARY) and tuple(order) == (self.classes or tuple(ordered))[::-1]
        return costs.turned if costs and is_turned else costs

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return the question of the model that a spec describes."""
        return cls(
            target=spec.target,
            task=spec.task.value,
            metric=spec.metric.name,
            classes=tuple(map(class_name, spec.classes)),
            decision=spec.decision,
            delay=spec.labels.delay,
            labels=spec.labels.source is not None,
            own_metrics=spec.train.metrics,
            weights=spec.train.weights,
        )

    @classmethod
    def of_predictions(cls, spec: MonitoringSpec) -> Self:
        """Return the question that the predictions of a spec answer."""
        return cls(
            target=spec.target,
            task=spec.task.value,
            metric=spec.metric.name,
            classes=tuple(map(class_name, spec.classes)),
            delay=spec.labels.delay,
            labels=spec.labels.source is not None,
            probabilities=spec.task is Task.REGRESSION or spec.predictions.has_probabilities,
        )

    @classmethod
    def named_by(cls, holder: Any) -> Self:
        """Return the question from the attributes of an object that have its fields' names, such as an operator."""
        return cls.model_validate(holder, from_attributes=True)
