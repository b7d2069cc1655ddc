"""Errors of predicted values as statistics of blocks: by sums over rows, or by the order of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_mlops.domain.metrics import PINBALL, metric_of
from airflow_mlops.learning.statistics.measures import DEVIANCES

if TYPE_CHECKING:
    import numpy as np


def sums(
    metric: str, truth: np.ndarray, predicted: np.ndarray
) -> tuple[list[np.ndarray], Callable[..., float]]:
    """Return columns, and a function that computes a metric of a regression from their sums over rows.

    :raises KeyError: if the metric is not one that sums suffice for.
    """
    import numpy as np

    one, error = np.ones(truth.size), truth - predicted
    if metric == "rmse":
        return [one, error**2], lambda n, squares: math.sqrt(_share(n, squares))
    if metric == "r2":
        # Around the mean, or the squares of large numbers would leave no digits for their differences.
        centred = truth - truth.mean() if truth.size else truth
        return (
            [one, error**2, centred, centred**2],
            lambda n, squares, total, all_squares: (
                1 - np.divide(squares, all_squares - np.divide(total * total, n))
            ),
        )
    if metric in DEVIANCES:
        return [one, _deviances(metric, truth, predicted)], _share
    values = {
        "mae": lambda: np.abs(error),
        # As scikit-learn does: no division by zero.
        "mape": lambda: np.abs(error) / np.maximum(np.abs(truth), np.finfo(float).eps),
    }
    named = metric_of(metric)
    if named.family == PINBALL:
        share = named.number / 100
        return [one, np.where(error >= 0, share * error, (share - 1) * error)], _share
    return [one, values[metric]()], _share


def median(
    truth: np.ndarray, predicted: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> Callable[[np.ndarray], float]:
    """Return a function that computes the median absolute error of drawn blocks.

    :param codes: the block of each row.
    :param weights: how much each row counts.
    """
    import numpy as np

    sizes = np.abs(truth - predicted)
    order = np.argsort(sizes, kind="stable")
    sizes, blocks, weights = sizes[order], codes[order], weights[order]

    def compute(drawn: np.ndarray) -> float:
        ends = np.cumsum(drawn[blocks] * weights)
        if not ends.size or not ends[-1]:
            return math.nan
        # Of two middle ones, or of two that each have half of the weight on their side, the mean.
        half = ends[-1] / 2
        low, high = np.searchsorted(ends, half), np.searchsorted(ends, half, side="right")
        return float((sizes[low] + sizes[high]) / 2)

    return compute


def _deviances(metric: str, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    import numpy as np
    from scipy.special import xlogy

    if not truth.size or not DEVIANCES[metric](truth, predicted):
        return np.full(truth.size, math.nan)
    if metric == "poisson_deviance":
        poisson: np.ndarray = 2 * (xlogy(truth, truth / predicted) - truth + predicted)
        return poisson
    gamma: np.ndarray = 2 * (np.log(predicted / truth) + truth / predicted - 1)
    return gamma


def _share(whole: float, part: float) -> float:
    return part / whole if whole else math.nan
