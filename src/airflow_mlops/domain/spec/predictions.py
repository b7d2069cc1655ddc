"""The section of a spec about predictions that another system makes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict, WithJsonSchema, field_validator

from airflow_mlops.domain.classes import BINARY, class_name
from airflow_mlops.domain.metrics import Metric, Task, metric_of, names, of_decisions
from airflow_mlops.domain.spec.fields import Column, Count, MetricName, Number, of_another_task
from airflow_mlops.domain.spec.loading import Place, describe
from airflow_mlops.domain.spec.section import Section

_KEY = r"\d{4}-\d{2}(-\d{2}(T\d{2})?)?"


def _span(value: Any) -> int | str:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    is_span = isinstance(value, str) and re.fullmatch(rf"{_KEY}(\.\.{_KEY})?", value)
    if not (is_count or is_span):
        raise ValueError(
            "must be how many partitions, such as 3, or which: 2024-01, or 2024-01..2024-03; not "
            f"{describe(value).removeprefix('the text ')}"
        )
    return value  # type: ignore[no-any-return]


Reference = Annotated[
    Annotated[Count, Strict()] | str,
    # Before it is tried as either, of which each would complain.
    BeforeValidator(_span),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": rf"^{_KEY}(\.\.{_KEY})?$"},
            ]
        }
    ),
]


class Predictions(Section):
    """Predictions that another system makes: the columns of the data that hold them, and what they are compared with."""

    prediction: Column | None = Field(
        default=None,
        description="Column with the predicted number, or the chosen class; `null` if probabilities alone tell the class.",
    )
    probability: Column | None = Field(
        default=None, description="Column with the probability of the second of two classes."
    )
    probabilities: dict[str, Column] = Field(
        default={}, description="Of more classes: by class, the column with its probability."
    )
    threshold: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.5, description="Probability from which on a row is put in the second of two classes."
    )
    version: Column | None = Field(
        default=None, description="Column with the version of the model that made each prediction."
    )
    reference: Reference = Field(
        default=3,
        description="Partitions that the others are compared with: the first so many, or one as `2024-01`, or from one to another as "
        "`2024-01..2024-03`.",
    )
    metric: MetricName | None = Field(
        default=None,
        description="Metric that is judged; `null` for the first of the task, and for `accuracy` without probabilities.",
    )
    calibrated: bool = Field(
        default=False,
        description="Whether probabilities of two classes are right as they are, so that quality is estimated before any label is "
        "known; `false` calibrates them by the labels of the reference.",
    )

    @property
    def has_probabilities(self) -> bool:
        """Whether there are probabilities, and not chosen classes alone."""
        return self.probability is not None or bool(self.probabilities)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the data that hold them."""
        named = (self.prediction, self.probability, *self.probabilities.values(), self.version)
        return tuple(name for name in named if name is not None)

    def judged_by(self, task: Task) -> Metric:
        """Return the metric that is judged."""
        usual = "accuracy" if task is Task.CLASSIFICATION and not self.has_probabilities else names(task)[0]
        return metric_of(self.metric or usual)

    def problems(self, task: Task, classes: Sequence[str | int]) -> Iterator[tuple[Place, str]]:
        """Yield complaints about what does not suit a task, with their places.

        :param classes: those that the spec names; none if it names none.
        """
        for name in dict.fromkeys(self.columns):
            if self.columns.count(name) > 1:
                yield (), f"names the column {name!r} more than once; each has its own"
        if self.metric is not None and metric_of(self.metric).task != task:
            yield ("metric",), of_another_task(self.metric, task)
        if task is Task.REGRESSION:
            yield from self._of_regression()
            return
        yield from self._of_classes([class_name(label) for label in classes])
        yield from self.by_decisions({("metric",): self.metric} if self.metric else {})

    def by_decisions(self, metrics: Mapping[Place, str]) -> Iterator[tuple[Place, str]]:
        """Yield a complaint about each metric that needs probabilities where there are none."""
        for place, name in metrics.items():
            if (
                not self.has_probabilities
                and metric_of(name).task is Task.CLASSIFICATION
                and not of_decisions(name)
            ):
                yield place, f"{name} needs probabilities: name their column in predictions, or take accuracy"

    def _of_regression(self) -> Iterator[tuple[Place, str]]:
        if self.prediction is None:
            yield ("prediction",), "is required: the column with the predicted number"
        usual = Predictions()
        for name in ("probability", "probabilities", "threshold", "calibrated"):
            if getattr(self, name) != getattr(usual, name):
                yield (name,), "is for classification; leave it out"

    def _of_classes(self, classes: Sequence[str]) -> Iterator[tuple[Place, str]]:
        if not (self.prediction or self.has_probabilities):
            yield (), "names no column: write prediction, probability or probabilities"
        if self.probability and self.probabilities:
            yield ("probability",), "is of two classes, and probabilities of more; leave one of them out"
        if len(classes) > len(BINARY):
            for name in ("probability", "calibrated"):
                if getattr(self, name):
                    yield (name,), f"is for two classes, and classes names {len(classes)}"
        if self.probabilities and len(self.probabilities) <= len(BINARY):
            yield (
                ("probabilities",),
                "is for more than two classes; of two, probability names the column of the second",
            )
        elif self.probabilities and set(self.probabilities) != set(classes):
            yield (
                ("probabilities",),
                f"must name a column for each of classes, which are {', '.join(classes) or 'not named'}",
            )
        if self.calibrated and not self.probability:
            yield ("calibrated",), "is about the column of probability, and names none"

    @field_validator("probabilities", mode="before")
    @classmethod
    def _by_text(cls, value: Any) -> Any:
        # In Python classes may be numbers, as they are in `classes`.
        return {str(name): column for name, column in value.items()} if isinstance(value, dict) else value
