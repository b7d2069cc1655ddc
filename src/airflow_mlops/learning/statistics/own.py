"""Metrics of one's own: a function of labels and predictions, as a number and as a statistic of blocks."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import MetricFailed

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.metrics import Metric

log = logging.getLogger(__name__)


def measure(
    metric: Metric, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Call the function of a metric; not a number where it returns none, or one beyond the metric's range.

    It gets copies of the labels and the predictions as ``numpy`` arrays, row for row: values of a regression; of a
    classification the codes of the classes, as whole numbers in their order (-1 for a label that is none of them), and the
    probability of the second of two, a column of probabilities for each of more, or, for a metric that needs labels, the
    codes of the chosen classes.

    :param weights: how much each row counts, which the function gets as ``sample_weight``; None if all count alike.
    :raises MetricFailed: if the function fails, or returns anything but a number, or takes no weights where there are some.
    """
    value = _value(metric, truth, predicted, weights)
    if not metric.low <= value <= metric.high:
        log.warning(
            "%s is undefined on %d rows: %s returned %g, where a number from %g to %g is needed",
            metric.name, truth.size, metric.function, value, metric.low, metric.high,
        )  # fmt: skip
        return math.nan
    return value


def drawn(
    metric: Metric,
    truth: np.ndarray,
    predicted: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray | None = None,
) -> Callable[[np.ndarray], float]:
    """Return a function that computes a metric of drawn blocks; not a number where it fails on a draw.

    :param codes: the block of each row.
    :param weights: how much each row counts; None if all count alike.
    """
    import numpy as np

    # As where all rows are measured: a row of weight 0 says nothing.
    counted = np.ones(truth.size, np.int64) if weights is None else (weights > 0).astype(np.int64)

    def compute(times: np.ndarray) -> float:
        rows = np.repeat(np.arange(truth.size), times[codes] * counted)
        try:
            value = _value(metric, truth[rows], predicted[rows], None if weights is None else weights[rows])
        except MetricFailed:
            # Such as on a draw with one class only; on all rows it is an error.
            return math.nan
        return value if metric.low <= value <= metric.high else math.nan

    return compute


def _value(metric: Metric, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    import numpy as np

    if metric.call is None:
        raise MetricFailed(f"{metric.name} is only named here: {metric.function} is not there to be called")
    labels, answers = truth.copy(), predicted.copy()
    if metric.task == "classification":
        labels = labels.astype(np.int64)
        if metric.needs == "labels":
            answers = answers.argmax(axis=1) if answers.ndim == 2 else (answers >= 0.5).astype(np.int64)
    try:
        value = metric.call(labels, answers, **({} if weights is None else {"sample_weight": weights.copy()}))
    except MetricFailed:
        raise
    except Exception as error:  # functions of users raise any exception
        raise MetricFailed(f"{metric.name}: {metric.function}: {type(error).__name__}: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or np.iscomplexobj(value):
        raise MetricFailed(
            f"{metric.name}: {metric.function} returned {type(value).__name__}, where a number is needed"
        )
    return float(value)
