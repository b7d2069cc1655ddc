"""What a recalibration of probabilities would gain, on rows that it was not fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.learning.statistics import jackknife, multiclass
from airflow_mlops.learning.statistics.resampling import LEAST_ROWS, Estimate
from airflow_mlops.learning.statistics.statistic import mean

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.learning.statistics.resampling import Blocks

_TINY = 1e-6


def losses(
    truth: np.ndarray, predicted: np.ndarray, blocks: Blocks, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the log loss of each row as it was predicted, and as it would be after a recalibration; None with too few rows.

    The recalibration is the logistic curve of two parameters of the score's logit: Platt, Probabilistic Outputs for Support
    Vector Machines (1999), and Cox, Two Further Applications of a Model for Binary Regression (1958). It is fitted to the
    earlier half of the blocks and judged on the later one, and the reverse, so that a model that is calibrated gains nothing
    by it on average. Of many classes, what is recalibrated is the probability of the most probable one.

    :param predicted: probability of class 1 of two, or of each of more.
    :param blocks: rows that depend on each other, in the order of time; each half has whole ones.
    :param weights: how much each row counts; None means that all count alike.
    """
    import numpy as np

    if predicted.ndim == 2:
        truth, predicted = multiclass.confidence(truth, predicted)
    passed = np.cumsum(np.bincount(blocks.codes, minlength=blocks.count))
    later = blocks.codes > np.searchsorted(passed, truth.size / 2)
    counted = np.ones(truth.size) if weights is None else weights
    halves = later, ~later
    if (
        min(np.sum(half & (truth == label) & (counted > 0)) for half in halves for label in (0, 1))
        < LEAST_ROWS
    ):
        return None
    again = np.empty(truth.size)
    for fitted, judged in (halves, halves[::-1]):
        again[judged] = _recalibrated(truth[fitted], predicted[fitted], counted[fitted], predicted[judged])
    return _loss(truth, predicted), _loss(truth, again)


def gain(
    truth: np.ndarray, predicted: np.ndarray, blocks: Blocks, weights: np.ndarray | None = None
) -> Estimate:
    """Return how much less the mean log loss would be after a recalibration, with its error, by :func:`losses`."""
    parts = losses(truth, predicted, blocks, weights)
    if parts is None:
        return Estimate(None, None, 0.0)
    ours, recalibrated = (mean(loss, blocks, weights) for loss in parts)
    return jackknife.difference(ours, recalibrated, blocks)


def naive(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the log loss of the constant that fits labels best, as :func:`losses` understands them."""
    import numpy as np

    if predicted.ndim == 2:
        truth, predicted = multiclass.confidence(truth, predicted)
    share = np.average(truth, weights=weights)
    return float(np.average(_loss(truth, np.full(truth.size, share)), weights=weights))


def _recalibrated(
    truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray, others: np.ndarray
) -> np.ndarray:
    import numpy as np
    from scipy.special import logit
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    here, there = (logit(np.clip(part, _TINY, 1 - _TINY)).reshape(-1, 1) for part in (predicted, others))
    # A fit so small that several threads would only wait for each other.
    with threadpool_limits(1):
        fitted = LogisticRegression(C=1e6).fit(here, truth, weights)
        return np.asarray(fitted.predict_proba(there)[:, 1])


def _loss(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    import numpy as np

    tiny = np.finfo(float).eps
    likely: np.ndarray = np.clip(np.where(truth == 1, predicted, 1 - predicted), tiny, 1 - tiny)
    losses: np.ndarray = -np.log(likely)
    return losses
