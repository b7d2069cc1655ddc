"""Confidence-based performance estimation for more than two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import measured as measured_names
from airflow_mlops.domain.spec.costs import CostMatrix
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.performance.calibration import (
    LEAST_ROWS,
    LINES,
    MANY_ROWS,
    Calibration,
    calibratable,
    calibrate,
    grid,
    measured,
)

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.facts.performance import Measured

_CELLS = 200_000
"""Probabilities that are drawn by at a time: with more rows only the share of chance in the interval would fall."""
_TINY = 1e-6
_WEAK = 1e6


def calibrate_each(
    truth: np.ndarray, scores: np.ndarray, seed: int = 0, weights: np.ndarray | None = None
) -> list[Calibration]:
    """Fit a calibration to each class; that of a class with too few rows has no points.

    Curves that are fitted apart and then scaled to a sum of 1 are calibrated no more: accuracy comes out too high by 0.01. So
    the curves of all classes are fitted together, by a slope and an intercept of each class's log probability (vector scaling:
    Guo and others, On Calibration of Modern Neural Networks, 2017). Many rows are fitted by isotonic regression, which knows
    no such form, each class against the rest: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass
    Probability Estimates (2002).

    :param truth: codes of classes.
    :param scores: probability of each class, one column a class.
    :param weights: how much each row counts; None if all count alike.
    :return: nothing if there are too few rows; curves are shares of a class only once they are scaled to a sum of 1.
    """
    import numpy as np

    if truth.size < LEAST_ROWS:
        return []
    classes = range(scores.shape[1])
    if truth.size >= MANY_ROWS:
        return [calibrate((truth == code).astype(float), scores[:, code], seed, weights) for code in classes]
    enough = np.array([calibratable(truth == code) for code in classes])
    slopes, intercepts = np.split(_scalings(truth, _logs(scores), enough, seed, weights), 2, axis=1)
    calibrations = []
    for code in classes:
        points = grid(scores[:, code]) if enough[code] else np.empty(0)
        curves = np.exp(np.outer(slopes[:, code], _logs(points)) + intercepts[:, code, None])
        calibrations.append(Calibration(points, curves))
    return calibrations


def _scalings(
    truth: np.ndarray, logs: np.ndarray, free: np.ndarray, seed: int, weights: np.ndarray | None
) -> np.ndarray:
    """Return one :func:`_scaling` a row: that of all rows, then those of bootstrap draws of them."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    random, size, codes = np.random.default_rng(seed), truth.size, truth.astype(int)
    counted = np.ones(size) if weights is None else weights
    # These fits are so small that several threads would only wait for each other.
    with threadpool_limits(1):
        start = _scaling(codes, logs, counted, free, np.repeat([1.0, 0.0], free.size))
        draws = [np.bincount(random.integers(0, size, size), minlength=size) for _ in range(LINES)]
        return np.array([start, *(_scaling(codes, logs, draw * counted, free, start) for draw in draws)])


def _logs(scores: np.ndarray) -> np.ndarray:
    import numpy as np

    logs: np.ndarray = np.log(np.clip(scores, _TINY, 1))
    return logs


def _scaling(
    truth: np.ndarray, logs: np.ndarray, weights: np.ndarray, free: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Return the slope of each class, then the intercepts, that make the labels most likely.

    :param free: whether a class is fitted; the scores of others stay as they are.
    """
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    rows, both = np.arange(truth.size), np.r_[free, free]
    shares = weights / weights.sum()

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slopes, intercepts = np.split(parameters, 2)
        likely = log_softmax(logs * slopes + intercepts, axis=1)
        off = np.exp(likely)
        off[rows, truth] -= 1
        off *= shares[:, None]
        gradient = np.r_[(off * logs).sum(axis=0), off.sum(axis=0)]
        # As weak as the penalty of two classes: it only bounds the slopes of classes without any mistake.
        value = -(shares @ likely[rows, truth]) + parameters @ parameters / (2 * _WEAK * truth.size)
        return float(value), (gradient + parameters / (_WEAK * truth.size)) * both

    # Far below the chance in the rows, which is of the order of parameters / rows; without it hundreds of
    # classes would take minutes.
    options = {"ftol": 1e-6}
    fitted: np.ndarray = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return fitted


def estimate(
    scores: np.ndarray,
    calibrations: Sequence[Calibration],
    seed: int = 0,
    rule: DecisionRule = HALF,
    counted: np.ndarray | None = None,
) -> dict[str, Measured]:
    """Estimate every metric of classification by labels that are drawn with the calibrated probabilities.

    CBPE as for two classes (:func:`airflow_mlops.stages.performance.estimate.estimate`), with the curves of the classes scaled
    to a sum of 1. The estimate is the mean of the metric over the draws of labels, one for each
    bootstrap draw of the calibrations, and its interval comes from their deviation.

    :param scores: finite probabilities of each class, one column a class.
    :param rule: by which a model puts a row in one of the classes, or in one of two of them, and what mistakes cost.
    :param counted: how much each row counts; None if all count alike.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    rows, width = scores.shape
    count = max(1, min(rows, _CELLS // width))
    costs = [COST] if isinstance(rule.costs, CostMatrix) else []
    drawn: dict[str, list[float]] = {name: [] for name in measured_names("classification", costs)}
    for line in range(1, LINES + 1):
        places = random.choice(rows, count, replace=False)
        chosen, weights = scores[places], None if counted is None else counted[places]
        labels = _drawn(_calibrated(chosen, calibrations, line), random)
        values = measures.metrics(labels, chosen, "classification", costs, rule=rule, weights=weights)
        for name, value in values.items():
            if value is not None:
                drawn[name].append(value)
    estimates = {}
    for name, numbers in drawn.items():
        if 2 * len(numbers) > LINES:
            error = float(np.std(numbers, ddof=1))
            estimates[name] = measured(name, float(np.mean(numbers)), error, rows)
    return estimates


def _calibrated(scores: np.ndarray, calibrations: Sequence[Calibration], line: int) -> np.ndarray:
    import numpy as np

    columns = [
        calibration(scores[:, code], line) if calibration.scores.size else scores[:, code]
        for code, calibration in enumerate(calibrations)
    ]
    probabilities = np.stack(columns, axis=1)
    total = probabilities.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.where(total > 0, probabilities / np.where(total > 0, total, 1), scores)
    return shares


def _drawn(probabilities: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return one class for each row, drawn with its probabilities."""
    import numpy as np

    below = probabilities.cumsum(axis=1) < random.random((len(probabilities), 1))
    classes: np.ndarray = np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)
    return classes
