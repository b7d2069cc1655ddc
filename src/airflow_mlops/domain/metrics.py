"""The metrics that models are ranked, gated and watched by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf


class Task(StrEnum):
    """What a model predicts: a class or a number."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, named as people write it in a spec.

    :param name: stable name.
    :param task: the task it judges.
    :param greater_is_better: False for losses and errors.
    :param low: smallest value it can take.
    :param high: largest value it can take.
    """

    name: str
    task: Task
    greater_is_better: bool
    low: float
    high: float


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", Task.CLASSIFICATION, True, 0, 1),
        Metric("average_precision", Task.CLASSIFICATION, True, 0, 1),
        Metric("log_loss", Task.CLASSIFICATION, False, 0, inf),
        Metric("brier", Task.CLASSIFICATION, False, 0, 1),
        Metric("accuracy", Task.CLASSIFICATION, True, 0, 1),
        Metric("f1", Task.CLASSIFICATION, True, 0, 1),
        Metric("rmse", Task.REGRESSION, False, 0, inf),
        Metric("mae", Task.REGRESSION, False, 0, inf),
        Metric("r2", Task.REGRESSION, True, -inf, 1),
    )
}
"""Every known metric by name."""


def names(task: Task | str) -> tuple[str, ...]:
    """Return the names of a task's metrics, the default one first."""
    return tuple(metric.name for metric in METRICS.values() if metric.task == task)
