"""The part of a spec that says what is predicted of the rows of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec import defaults as editions
from airflow_mlops.domain.spec.classes import Classes, PredictionTask
from airflow_mlops.domain.spec.data import Features, Labels
from airflow_mlops.domain.spec.dataset import DataSpec, Named, beside_predictions
from airflow_mlops.domain.spec.fields import Column
from airflow_mlops.domain.spec.problems import Problems


class Predicted(Named):
    """What is predicted."""

    task: PredictionTask = Field(description="What is predicted: a class or a number.")
    target: Column = Field(description="Column to predict.")
    classes: Classes = Field(
        default=(),
        description="Classes that the target may have, in order; the second of two is the positive one. By default those of "
        "the training rows: numbers by value, texts by their characters.",
    )

    @field_validator("classes")
    @classmethod
    def _of_its_task(cls, value: tuple[str | int, ...], info: ValidationInfo) -> tuple[str | int, ...]:
        if value and info.data.get("task") is Task.REGRESSION:
            raise ValueError("belong to classification; leave them out")
        return value

    @field_validator("target")
    @classmethod
    def _target_apart(cls, value: str) -> str:
        beside_predictions(value)
        return value


# Fields come in the order of the bases from last to first: name, what is predicted, of which rows.
class PredictionSpec(DataSpec, Predicted):
    """What is predicted, of which rows, and where they come from."""

    defaults: Literal[1, 2] = Field(
        default=1,
        exclude_if=lambda edition: edition == 1,
        description="Edition of the defaults of `train.window`, `monitor`, `gates` and `retrain`: 2 for those of [How it decides](how-it-decides.md), 1 for those of specs that "
        "were written before there were others.",
    )
    labels: Labels = Field(default_factory=Labels, description="When the truth about a row is known.")
    features: Features | None = Field(
        default=None, description="Columns to learn from; `null` for all but key, target and event time."
    )

    @model_validator(mode="before")
    @classmethod
    def _of_its_edition(cls, values: Any) -> Any:
        return editions.filled(values, cls.model_fields) if isinstance(values, Mapping) else values

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the data must have besides key and event time."""
        return self.filled if self.labels.source is not None else (*self.filled, self.target)

    @property
    def filled(self) -> tuple[str, ...]:
        """Columns that must not be all null; the target may be as yet, since labels can come later."""
        return tuple(self.features.names) if self.features else ()

    @property
    def types(self) -> Mapping[str, str] | None:
        """Arrow types that columns must have."""
        return self.features.types if self.features else None

    @field_validator("labels")
    @classmethod
    def _matched_apart(cls, value: Labels) -> Labels:
        usual = Labels()
        Problems.raise_any(
            ((name,), "is for labels that come apart from the data: write labels.source, or leave it out")
            for name in ("max_unmatched", "on_unmatched")
            if value.source is None and getattr(value, name) != getattr(usual, name)
        )
        return value

    @field_validator("features")
    @classmethod
    def _features(cls, value: Features | None, info: ValidationInfo) -> Features | None:
        if value and value.missing and not value.numeric:
            why = "adds a column for each number that has gaps, and numeric lists none; leave it out"
            raise Problems([(("missing",), why)])
        roles = dict.fromkeys(info.data.get("key", ()), "in the key, which only identifies a row")
        roles[info.data.get("event_time")] = "the event time, which only orders rows"
        roles[info.data.get("target")] = "the target, so the model would see what it predicts"
        Problems.raise_any(
            ((kind, position), f"{column!r} is {roles[column]}")
            for kind, columns in (value.kinds if value else {}).items()
            for position, column in enumerate(columns)
            # The event time may be a date feature, because the season and the hour of a row are known before it is scored.
            if column in roles and (kind, column) != ("dates", info.data.get("event_time"))
        )
        return value
