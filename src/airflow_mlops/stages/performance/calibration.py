"""Calibration of probabilities: the share of rows of a class by the score that a model gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.performance import CONFIDENCE, Measured
from airflow_mlops.domain.metrics import metric_of

if TYPE_CHECKING:
    import numpy as np

LEAST_ROWS = 300
"""Minimum number of rows to calibrate probabilities on; a tenth of them must be of each class."""
LINES = 40
"""Bootstrap draws of a calibration."""
MANY_ROWS = 10_000
"""From so many rows on probabilities are calibrated by isotonic regression."""


class Calibration:
    """The share of positive rows by score, as a line through points, and lines of bootstrap draws beside it.

    :param scores: the points' scores, rising; empty if there were too few rows to calibrate on.
    :param shares: one line a row, with the share of label 1 at each score: first the line that fits the rows,
        then the lines that fit random draws of the rows.
    """

    def __init__(self, scores: np.ndarray, shares: np.ndarray) -> None:
        self.scores = scores
        self.shares = shares

    def __call__(self, scores: np.ndarray, line: int = 0) -> np.ndarray:
        """Return the probability of label 1 for each score.

        :param line: 0 for the line that fits the rows; more for those of random draws.
        """
        import numpy as np

        probabilities: np.ndarray = np.interp(scores, self.scores, self.shares[line])
        return probabilities


def calibrate(
    truth: np.ndarray, scores: np.ndarray, seed: int = 0, weights: np.ndarray | None = None
) -> Calibration:
    """Fit a calibration to rows with labels; with too few rows, it has no points.

    Many rows are fitted by isotonic regression: Zadrozny and Elkan, Transforming Classifier Scores into
    Accurate Multiclass Probability Estimates (2002). On fewer rows that overfits, and estimates would be too
    good by 0.01 to 0.02 of ROC AUC; they are fitted by a logistic curve of the score's logit: Platt,
    Probabilistic Outputs for Support Vector Machines (1999).

    :param truth: labels 0 and 1.
    :param weights: how much each row counts; shares are of weights then, so that an estimate is right also where rows of one score
        differ in their labels by how much they count. None: all count alike.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    if not calibratable(truth):
        return Calibration(np.empty(0), np.empty((0, 0)))
    points = grid(scores)
    random = np.random.default_rng(seed)
    draws = [np.arange(truth.size), *random.integers(0, truth.size, (LINES, truth.size))]
    # These fits are so small that several threads would only wait for each other.
    with threadpool_limits(1):
        lines = [
            _line(truth[draw], scores[draw], points, None if weights is None else weights[draw])
            for draw in draws
        ]
        return Calibration(points, np.array(lines))


def calibratable(truth: np.ndarray) -> bool:
    """Tell whether there are enough rows, with the label and without it, to calibrate its probability on."""
    positives = int(truth.sum())
    return bool(truth.size >= LEAST_ROWS and min(positives, truth.size - positives) >= LEAST_ROWS // 10)


def grid(scores: np.ndarray) -> np.ndarray:
    """Return the scores, rising, between which a line is straight: hundredths of 1, and of the rows."""
    import numpy as np

    points: np.ndarray = np.unique(np.r_[np.linspace(0, 1, 101), np.quantile(scores, np.linspace(0, 1, 101))])
    return points


def _line(
    truth: np.ndarray, scores: np.ndarray, points: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    import numpy as np
    from scipy.special import logit
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    if truth.size >= MANY_ROWS:
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth, weights)
        return np.asarray(isotonic.predict(points))
    tiny = 1e-6
    logits, point_logits = (logit(np.clip(part, tiny, 1 - tiny)).reshape(-1, 1) for part in (scores, points))
    fitted = LogisticRegression(C=1e6).fit(logits, truth, weights)
    return np.asarray(fitted.predict_proba(point_logits)[:, 1])


def measured(name: str, value: float, error: float | None, n: int) -> Measured:
    """Return an estimate with the interval of :data:`CONFIDENCE` that its standard error gives; None gives none."""
    from scipy.special import ndtri

    if error is None:
        return Measured(value=value, n=n)
    half = float(ndtri((1 + CONFIDENCE) / 2)) * error
    metric = metric_of(name)
    return Measured(value=value, low=max(metric.low, value - half), high=min(metric.high, value + half), n=n)
