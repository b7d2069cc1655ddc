"""What is predicted: the task of a spec, and the classes that the target of a classification may have."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from airflow_mlops.domain.classes import MOST, class_name
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec.loading import describe
from airflow_mlops.domain.spec.problems import Problems


def _task(value: Any) -> Any:
    if value in ("anomaly", "outlier", "anomaly_detection", "outlier_detection"):
        raise ValueError(
            f"cannot be {value!r}: an outlier detector that no label judges could not be ranked, gated or compared; write "
            "classification, with the labels there are as target, train.metric: average_precision, and candidates such as "
            "sklearn.ensemble.IsolationForest: {calibrate: sigmoid}"
        )
    return value


PredictionTask = Annotated[Task, BeforeValidator(_task)]
"""A task; one that the loop could not judge is refused with the reason."""


def _classes(value: Any) -> tuple[str | int, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of classes, such as [cheap, fair, dear], not {describe(value)}")
    if value and not 2 <= len(value) <= MOST:
        raise ValueError(
            f"must name from 2 to {MOST:,} classes, not {len(value):,}; leave them out to take those of the data"
        )
    Problems.raise_any(
        ((position,), f"must be a text, a whole number, or true or false, not {describe(label)}")
        for position, label in enumerate(value)
        if not isinstance(label, str | int) or label == ""
    )
    first: dict[str, int] = {}
    Problems.raise_any(
        ((position,), f"is the same class as {value[before]!r}: a class is known by its text")
        for position, label in enumerate(value)
        if (before := first.setdefault(class_name(label), position)) != position
    )
    return tuple(value)


Classes = Annotated[
    tuple[str | int, ...],
    BeforeValidator(_classes),
    WithJsonSchema({"type": "array", "items": {"type": ["string", "integer", "boolean"]}, "maxItems": MOST}),
]
"""Names of classes, in order; none for those of the data."""
