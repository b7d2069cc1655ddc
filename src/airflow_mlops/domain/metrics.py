"""The metrics that models are ranked, gated and watched by."""

from __future__ import annotations

from collections.abc import Iterable
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
    :param standard: True if it is always measured; False if only where a spec names it.
    """

    name: str
    task: Task
    greater_is_better: bool
    low: float
    high: float
    standard: bool = False


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", Task.CLASSIFICATION, True, 0, 1, True),
        Metric("average_precision", Task.CLASSIFICATION, True, 0, 1, True),
        Metric("log_loss", Task.CLASSIFICATION, False, 0, inf, True),
        Metric("brier", Task.CLASSIFICATION, False, 0, 1, True),
        Metric("accuracy", Task.CLASSIFICATION, True, 0, 1, True),
        Metric("f1", Task.CLASSIFICATION, True, 0, 1, True),
        Metric("f1_weighted", Task.CLASSIFICATION, True, 0, 1),
        Metric("precision", Task.CLASSIFICATION, True, 0, 1),
        Metric("recall", Task.CLASSIFICATION, True, 0, 1),
        Metric("balanced_accuracy", Task.CLASSIFICATION, True, 0, 1),
        Metric("matthews", Task.CLASSIFICATION, True, -1, 1),
        Metric("quadratic_kappa", Task.CLASSIFICATION, True, -1, 1),
        Metric("top_3_accuracy", Task.CLASSIFICATION, True, 0, 1),
        Metric("rmse", Task.REGRESSION, False, 0, inf, True),
        Metric("mae", Task.REGRESSION, False, 0, inf, True),
        Metric("r2", Task.REGRESSION, True, -inf, 1, True),
        Metric("mape", Task.REGRESSION, False, 0, inf),
        Metric("median_absolute_error", Task.REGRESSION, False, 0, inf),
        Metric("pinball_10", Task.REGRESSION, False, 0, inf),
        Metric("pinball_50", Task.REGRESSION, False, 0, inf),
        Metric("pinball_90", Task.REGRESSION, False, 0, inf),
        Metric("poisson_deviance", Task.REGRESSION, False, 0, inf),
        Metric("gamma_deviance", Task.REGRESSION, False, 0, inf),
    )
}
"""Every metric by name."""


OF_ONE_CLASS = ("average_precision", "f1", "precision", "recall")
"""Metrics that are of the second class where there are two, and a mean over classes where there are more."""


def names(task: Task | str) -> tuple[str, ...]:
    """Return the names of a task's metrics, the default one first."""
    return tuple(metric.name for metric in METRICS.values() if metric.task == task)


def measured(task: Task | str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the metrics that are measured: the standard ones of a task, and those that a spec names.

    :param more: names of metrics, in any order; those of another task are left out.
    """
    standard = [name for name in names(task) if METRICS[name].standard]
    return tuple(dict.fromkeys([*standard, *(name for name in more if METRICS[name].task == task)]))
