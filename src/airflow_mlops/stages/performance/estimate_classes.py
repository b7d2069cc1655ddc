"""Confidence-based performance estimation for more than two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import measured as measured_names
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.performance.calibration import LEAST_ROWS, LINES, Calibration, calibrate, measured

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.facts.performance import Measured

_CELLS = 200_000
"""Probabilities that are drawn by at a time: with more rows only the share of chance in the interval would fall."""


def calibrate_each(truth: np.ndarray, scores: np.ndarray, seed: int = 0) -> list[Calibration]:
    """Fit a calibration to each class against the rest; that of a class with too few rows has no points.

    Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates (2002).

    :param truth: codes of classes.
    :param scores: probability of each class, one column a class.
    :return: nothing if there are too few rows.
    """
    if truth.size < LEAST_ROWS:
        return []
    return [
        calibrate((truth == code).astype(float), scores[:, code], seed) for code in range(scores.shape[1])
    ]


def estimate(
    scores: np.ndarray, calibrations: Sequence[Calibration], seed: int = 0, rule: DecisionRule = HALF
) -> dict[str, Measured]:
    """Estimate every metric of classification by labels that are drawn with the calibrated probabilities.

    CBPE as for two classes (:func:`airflow_mlops.stages.performance.estimate.estimate`), with the probabilities of each class
    calibrated apart and scaled to a sum of 1. The estimate is the mean of the metric over the draws of labels, one for each
    bootstrap draw of the calibrations, and its interval comes from their deviation.

    :param scores: finite probabilities of each class, one column a class.
    :param rule: by which a model of two of the classes puts a row in one of them.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    rows, width = scores.shape
    count = max(1, min(rows, _CELLS // width))
    drawn: dict[str, list[float]] = {name: [] for name in measured_names("classification")}
    for line in range(1, LINES + 1):
        chosen = scores[random.choice(rows, count, replace=False)]
        labels = _drawn(_calibrated(chosen, calibrations, line), random)
        for name, value in measures.metrics(labels, chosen, "classification", rule=rule).items():
            if value is not None:
                drawn[name].append(value)
    estimates = {}
    for name, values in drawn.items():
        if 2 * len(values) > LINES:
            error = float(np.std(values, ddof=1))
            estimates[name] = measured(name, float(np.mean(values)), error, rows)
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
