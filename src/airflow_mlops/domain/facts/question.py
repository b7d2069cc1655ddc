"""The question that a model answers, and when the truth about a row is known."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow_mlops.domain.checks import Fact

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import ModelSpec


class Question(Fact):
    """What a model predicts, how its answers are compared with the truth, and where the truth comes from.

    :param target: column with the label.
    :param task: ``classification`` or ``regression``.
    :param metric: the metric that models are ranked by.
    :param delay: how long after its event time a label counts.
    :param labels: labels are in the model's own table of them; False if they are a column of the data.
    """

    target: str
    task: str
    metric: str
    delay: timedelta = timedelta(0)
    labels: bool = False

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return the question of a spec."""
        return cls(
            target=spec.target,
            task=spec.task.value,
            metric=spec.metric.name,
            delay=spec.labels.delay,
            labels=spec.labels.source is not None,
        )

    @classmethod
    def named_by(cls, holder: Any) -> Self:
        """Return the question whose parts are attributes of an object, as they are of operators."""
        return cls.model_validate(holder, from_attributes=True)
