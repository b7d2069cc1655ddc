"""The section of a spec about metrics of one's own, and how their names come to be known beside ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from airflow_mlops.domain import metrics
from airflow_mlops.domain.metrics import COVERAGE, WIDTH, Metric, Task
from airflow_mlops.domain.spec.fields import Number
from airflow_mlops.domain.spec.loading import shorten
from airflow_mlops.domain.spec.problems import Problems
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.domain.spec.source import Function

_TAKEN = ("selection_rate", "true_positive_rate", "false_positive_rate", "calibration", COVERAGE, WIDTH)


_OURS = {
    "anyOf": [
        {"enum": [*metrics.METRICS]},
        *({"pattern": f"^{family.pattern}$"} for family in metrics.FAMILIES),
    ]
}
_FLOOR = {"properties": {"floor": {"propertyNames": _OURS}}}
ONLY_OURS: dict[str, Any] = {
    "if": {"required": ["train"], "properties": {"train": {"required": ["metrics"]}}},
    "else": {
        "properties": {
            "train": {"properties": {"metric": {"anyOf": [{"type": "null"}, _OURS]}}},
            "gates": {"properties": {**_FLOOR["properties"], "slices": _FLOOR}},
            "monitor": {"properties": {"performance": _FLOOR}},
        }
    },
}
"""What the JSON Schema of a spec adds: where no metrics of one's own are described, none can be named."""


class OwnMetric(Section):
    """A metric that a function of yours computes."""

    function: Function = Field(
        description="`module:function` that takes labels and predictions and returns a number."
    )
    greater_is_better: bool = Field(description="Whether more is better; false for a loss.")
    low: Number | None = Field(default=None, description="Least value it can take; `null` for none.")
    high: Number | None = Field(default=None, description="Greatest value it can take; `null` for none.")
    needs: Literal["probabilities", "labels"] = Field(
        default="probabilities",
        description="What the function gets of a classifier: probabilities, or the codes of the chosen classes.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low, {self.low:g}, must be below high, {self.high:g}")
        return self

    def named(self, name: str, task: Task | str) -> Metric:
        """Return the metric that a name stands for in a model of a task."""
        low = -inf if self.low is None else self.low
        high = inf if self.high is None else self.high
        return Metric(
            name, Task(task), self.greater_is_better, low, high, function=self.function, needs=self.needs
        )


def _names(own: dict[str, OwnMetric]) -> dict[str, OwnMetric]:
    Problems.raise_any(
        ((name,), _complaint(name))
        for name in own
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", name) or name in _TAKEN or metrics.standing(name)
    )
    return own


def _complaint(name: str) -> str:
    if name in _TAKEN or metrics.standing(name):
        return f"{name!r} is a name of ours already; choose another one"
    return f"{shorten(repr(name))} cannot name a metric: begin with a small letter, then small letters, digits and _, at most 100 in all"


OwnMetrics = Annotated[dict[str, OwnMetric], AfterValidator(_names)]
"""Metrics of one's own by name."""


class NamesOwnMetrics(Section):
    """A section whose parts may name the metrics that it, or its section ``train``, describes."""

    @model_validator(mode="wrap")
    @classmethod
    def _with_own_metrics(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        with _described(value):
            return handler(value)


@contextmanager
def _described(value: Any) -> Iterator[None]:
    """Make the metrics known that raw values describe; what is wrong with them is told where they stand."""
    train = value.get("train", value) if isinstance(value, dict) else None
    own = train.get("metrics") if isinstance(train, dict) else getattr(train, "metrics", None)
    task = value.get("task") if isinstance(value, dict) and "train" in value else None
    if not isinstance(own, Mapping) or not own:
        yield
        return
    # Of a section alone no task is known; any will do, as nothing is compared with it then.
    of_task = Task(task) if isinstance(task, str) and task in [*Task] else Task.REGRESSION
    with metrics.known(_metric(str(name), raw, of_task) for name, raw in own.items()):
        yield


def _metric(name: str, raw: Any, task: Task) -> Metric:
    try:
        return OwnMetric.model_validate(raw).named(name, task)
    except ValidationError:
        # It is told where it stands, so its name must not be told as unknown besides.
        return Metric(name, task, True, -inf, inf)
