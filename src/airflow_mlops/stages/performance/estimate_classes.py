"""Confidence-based performance estimation for more than two classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.facts.performance import CONFIDENCE
from airflow_mlops.domain.metrics import measured as measured_names
from airflow_mlops.domain.spec.costs import CostMatrix
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.learning.statistics import decisions, measures
from airflow_mlops.stages.performance.calibration import LEAST_ROWS, LINES, measured

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.facts.performance import Measured

_CELLS = 200_000
"""Probabilities that are drawn by at a time: with more rows only the share of chance in the interval would fall."""
_FITTED = 1_000_000
"""Probabilities that a calibration is fitted to."""
_TINY = 1e-6
_WEAK = 1e-3
"""A penalty that only bounds what rows leave open."""
TERMS = 5
"""What the probability of a class depends on: see :func:`_terms`."""
_EXACT, _CLOSE = 1e-12, 1e-7
"""Where the steps of a fit end, as a relative change: at the maximum, whatever machine rounds on the way; and, for a draw of the
bootstrap, far below the chance in its rows, which is of the order of parameters / rows."""
_LOGS = 1
"""Place of the log probability among the terms."""


class SoftmaxCalibration(NamedTuple):
    """How probable each class is by the probabilities that a model gives all of them: a softmax of their :func:`_terms`.

    :param coefficients: by line, class and term: first the line that fits the rows, then the lines that fit random draws
        of the rows.
    :param rule: by which the model puts a row in one of the classes, which is one of the terms.
    """

    coefficients: np.ndarray
    rule: DecisionRule = HALF

    def __call__(self, scores: np.ndarray, line: int = 0) -> np.ndarray:
        """Return the probability of each class, one column a class.

        :param line: 0 for the line that fits the rows; more for those of random draws.
        """
        import numpy as np
        from scipy.special import softmax

        logits = np.einsum("rct,ct->rc", _terms(scores, self.rule), self.coefficients[line])
        probabilities: np.ndarray = softmax(logits, axis=1)
        return probabilities

    def fits(self, classes: int) -> bool:
        """Tell whether it was made by this build, of so many classes, and has only finite numbers."""
        import numpy as np

        shape = (1 + LINES, classes, TERMS)
        return self.coefficients.shape == shape and bool(np.isfinite(self.coefficients).all())


def calibrate(
    truth: np.ndarray,
    scores: np.ndarray,
    seed: int = 0,
    weights: np.ndarray | None = None,
    rule: DecisionRule = HALF,
) -> SoftmaxCalibration | None:
    """Fit one calibration to all classes; None if there are too few rows, or rows of one class only.

    Curves that are fitted apart and then scaled to a sum of 1, as scikit-learn and NannyML do, are calibrated no more:
    accuracy comes out too high by 0.01 for a model that is too sure of itself, and too low for a random forest. So all
    classes are fitted together, by maximum likelihood of a softmax, as in vector scaling: Guo and others, On Calibration of
    Modern Neural Networks (2017). Beside a class's log probability it has the terms that the metrics are sums of. At the
    maximum, labels and probabilities agree in the sum of each term: that is why what is estimated for the rows themselves
    is what was measured on them, whatever form the model's scores have (van der Laan and Rubin, Targeted Maximum
    Likelihood Learning, 2006).

    :param truth: codes of classes.
    :param scores: probability of each class, one column a class.
    :param weights: how much each row counts; None if all count alike.
    :param rule: by which the model puts a row in one of the classes.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    width, random = scores.shape[1], np.random.default_rng(seed)
    counted = np.ones(truth.size) if weights is None else weights
    truth, scores, counted = truth[counted > 0], scores[counted > 0], counted[counted > 0]
    if truth.size < LEAST_ROWS or np.unique(truth).size < 2:
        return None
    if truth.size > (most := max(_FITTED // width, 20_000)):
        drawn = random.choice(truth.size, most, replace=False)
        truth, scores, counted = truth[drawn], scores[drawn], counted[drawn]
    codes, size, terms = truth.astype(int), truth.size, _terms(scores, rule)
    start = np.zeros((1 + width, terms.shape[2]))
    start[0, _LOGS] = 1
    # These fits are so small that several threads would only wait for each other.
    with threadpool_limits(1):
        lines = [_fitted(codes, terms, counted / counted.mean(), start, _EXACT)]
        for _ in range(LINES):
            again = counted * np.bincount(random.integers(0, size, size), minlength=size)
            some = again > 0
            lines.append(_fitted(codes[some], terms[some], again[some] / counted.mean(), lines[0], _CLOSE))
    return SoftmaxCalibration(np.array([_coefficients(line) for line in lines]), rule)


def _terms(scores: np.ndarray, rule: DecisionRule) -> np.ndarray:
    """Return, by row and class, what the probability of a class depends on, beside an intercept.

    Its log probability, and how far that is below the least that is told apart otherwise (log loss is the sum of both);
    whether it is the class that the row is put in (accuracy and F1 are sums of it); its probability (the Brier score).
    """
    import numpy as np

    logs, least = np.log(np.clip(scores, _TINY, 1)), np.finfo(float).eps
    chosen = np.arange(scores.shape[1]) == decisions.chosen(scores, rule)[:, None]
    below = np.log(np.clip(scores, least, 1)) - logs
    terms: np.ndarray = np.stack([np.ones_like(logs), logs, below, chosen, scores], axis=2)
    return terms


def _coefficients(parameters: np.ndarray) -> np.ndarray:
    """Return the coefficients of each class: those that all classes share, and what is its own."""
    coefficients: np.ndarray = parameters[0] + parameters[1:]
    return coefficients


def _fitted(
    truth: np.ndarray, terms: np.ndarray, weights: np.ndarray, start: np.ndarray, change: float
) -> np.ndarray:
    """Return the parameters that make the labels most likely: a row that all classes share, then one for each class.

    What is a class's own is held near 0, so that a class of few rows is calibrated by what holds for the others; one
    without any row has nothing of its own.

    :param change: relative change of the likelihood in one step below which the steps end.
    """
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    rows, (_, width, count) = np.arange(truth.size), terms.shape
    there = np.bincount(truth, minlength=width) > 0
    total, spread = weights.sum(), np.square(terms.std(axis=(0, 1)))
    ridge = np.concatenate([np.full((1, count), _WEAK), np.tile(spread + _WEAK, (width, 1))]) / total
    kept = np.zeros_like(start)
    kept[0, _LOGS] = 1

    def log_probabilities(parameters: np.ndarray) -> np.ndarray:
        likely: np.ndarray = log_softmax(np.einsum("rct,ct->rc", terms, _coefficients(parameters)), axis=1)
        return likely

    # Steps are measured by the curvature at the start, class by class, since the terms of one class depend on each other.
    sure = np.exp(log_probabilities(start))
    weighted = sure * (1 - sure) * (weights / total)[:, None]
    bends = np.stack([(terms * weighted[:, :, None])[:, code].T @ terms[:, code] for code in range(width)])
    bends = np.concatenate([bends.sum(axis=0)[None], bends]) + ridge[:, :, None] * np.eye(count)
    scale = np.linalg.inv(np.linalg.cholesky(bends)).transpose(0, 2, 1) * np.r_[True, there][:, None, None]

    def at(steps: np.ndarray) -> np.ndarray:
        moved: np.ndarray = start + np.einsum("ctu,cu->ct", scale, steps.reshape(start.shape))
        return moved

    def loss(steps: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = at(steps)
        likely, away = log_probabilities(parameters), parameters - kept
        off = np.exp(likely)
        off[rows, truth] -= 1
        off *= (weights / total)[:, None]
        own = np.einsum("rc,rct->ct", off, terms)
        gradient = np.concatenate([own.sum(axis=0)[None], own]) + ridge * away
        value = -(weights @ likely[rows, truth]) / total + (ridge * away**2).sum() / 2
        return float(value), np.einsum("ctu,ct->cu", scale, gradient).ravel()

    options = {"ftol": change, "gtol": 1e-8, "maxiter": 2000, "maxfun": 4000}
    return at(minimize(loss, np.zeros(start.size), jac=True, method="L-BFGS-B", options=options).x)


def estimate(
    scores: np.ndarray,
    calibration: SoftmaxCalibration,
    seed: int = 0,
    rule: DecisionRule = HALF,
    counted: np.ndarray | None = None,
) -> dict[str, Measured]:
    """Estimate every metric of classification by labels that are drawn with the calibrated probabilities.

    CBPE as for two classes (:func:`airflow_mlops.stages.performance.estimate.estimate`). The estimate is the mean of the
    metric over draws of labels, and its interval comes from the deviation of the metric over as many draws, one for each
    bootstrap draw of the calibration.

    :param scores: finite probabilities of each class, one column a class.
    :param rule: by which a model puts a row in one of the classes, or in one of two of them, and what mistakes cost.
    :param counted: how much each row counts; None if all count alike.
    """
    import numpy as np
    from scipy.special import ndtri, stdtrit

    random = np.random.default_rng(seed)
    rows, width = scores.shape
    count = max(1, min(rows, _CELLS // width))
    costs = [COST] if isinstance(rule.costs, CostMatrix) else []
    drawn: dict[str, list[tuple[float, float]]] = {
        name: [] for name in measured_names("classification", costs)
    }
    for line in range(1, LINES + 1):
        places = random.choice(rows, count, replace=False)
        chosen, weights = scores[places], None if counted is None else counted[places]
        likely, unsure = (
            measures.metrics(
                _drawn(calibration(chosen, part), random),
                chosen,
                "classification",
                costs,
                rule=rule,
                weights=weights,
            )
            for part in (0, line)
        )
        for name, value in likely.items():
            if value is not None and (other := unsure[name]) is not None:
                drawn[name].append((value, other))
    estimates = {}
    # The value is a mean of so many draws, and the deviation is Student's.
    wider = math.sqrt(1 + 1 / LINES) * stdtrit(LINES - 1, (1 + CONFIDENCE) / 2) / ndtri((1 + CONFIDENCE) / 2)
    for name, values in drawn.items():
        if 2 * len(values) > LINES:
            value, error = np.mean(values, axis=0)[0], np.std(values, axis=0, ddof=1)[1]
            estimates[name] = measured(name, float(value), float(error * wider), rows)
    return estimates


def _drawn(probabilities: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return one class for each row, drawn with its probabilities."""
    import numpy as np

    below = probabilities.cumsum(axis=1) < random.random((len(probabilities), 1))
    classes: np.ndarray = np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)
    return classes
