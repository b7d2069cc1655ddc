"""The question that a model answers: what it predicts, and when the label of a row is known."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from pydantic import field_validator

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.classes import class_name

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import ModelSpec


class Question(Fact):
    """What a model predicts, which metric compares its predictions with the labels, and where the labels come from.

    :param target: column with the label.
    :param task: ``classification`` or ``regression``.
    :param metric: the metric that models are ranked by.
    :param classes: the classes of a classification that the spec names, in order; none if they come from the data.
    :param delay: time from a row's event time until its label counts.
    :param labels: True if the labels are in the model's own labels table; False if they are a column of the data.
    """

    target: str
    task: str
    metric: str
    classes: tuple[str, ...] = ()
    delay: timedelta = timedelta(0)
    labels: bool = False

    @field_validator("classes", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return tuple(map(class_name, value)) if isinstance(value, list | tuple) else value

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return the question of the model that a spec describes."""
        return cls(
            target=spec.target,
            task=spec.task.value,
            metric=spec.metric.name,
            classes=tuple(map(class_name, spec.classes)),
            delay=spec.labels.delay,
            labels=spec.labels.source is not None,
        )

    @classmethod
    def named_by(cls, holder: Any) -> Self:
        """Return the question from the attributes of an object that have its fields' names, such as an operator."""
        return cls.model_validate(holder, from_attributes=True)
