"""Decisions: probabilities of two classes cut at a threshold, what mistakes cost, and the threshold that suits rows best."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import metric_of, of_decisions
from airflow_mlops.domain.spec.costs import CostMatrix, Costs
from airflow_mlops.domain.spec.gates import RATES
from airflow_mlops.learning.statistics import counts

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.spec.decision import Decision


def chosen(predicted: np.ndarray, rule: DecisionRule = HALF) -> np.ndarray:
    """Return the code of the class that each row is put in: 1 of two from the threshold on, of more the most probable one.

    With a matrix of costs it is the one of least expected cost.

    :param predicted: probability of class 1 of two, or of more classes a probability for each, one column a class.
    :param rule: of the version; one that tells apart two of more classes has the positions of those two.
    """
    import numpy as np

    codes: np.ndarray
    if rule.matrix is not None and predicted.ndim == 2:
        # Elkan, The Foundations of Cost-Sensitive Learning (2001): the least sum over true classes of probability times cost.
        places = np.array(rule.places)
        codes = places[(predicted[:, places] @ np.array(rule.matrix)).argmin(axis=1)]
    elif rule.usual:
        codes = predicted.argmax(axis=1) if predicted.ndim == 2 else predicted >= HALF.threshold
    elif predicted.ndim == 1:
        # The version may have its two classes the other way round.
        turned = rule.places == (1, 0)
        codes = 1 - predicted < rule.threshold if turned else predicted >= rule.threshold
    else:
        first, second = rule.places
        codes = np.where(predicted[:, second] >= rule.threshold, second, first)
    return codes.astype(np.int64)


def decided(measure: str, predicted: np.ndarray, rule: DecisionRule = HALF) -> np.ndarray:
    """Return predictions as a measure takes them: those of decisions as probabilities of 0 and 1, which 0.5 cuts alike.

    :param measure: a metric or a rate; predictions for measures of probabilities or their order are returned unchanged.
    """
    import numpy as np

    if rule.usual or not (measure in RATES or of_decisions(measure)):
        return predicted
    codes = chosen(predicted, rule)
    if predicted.ndim == 1:
        return codes.astype(float)
    return np.asarray(codes[:, None] == np.arange(predicted.shape[1]), dtype=float)


def costs(truth: np.ndarray, predicted: np.ndarray, rule: DecisionRule) -> np.ndarray:
    """Return what the decision about each row costs; not a number without costs, or where these do not say it.

    :param predicted: as :func:`decided` returns it.
    """
    import numpy as np

    if isinstance(rule.costs, CostMatrix):
        return _costs_among(truth, predicted, rule.costs)
    if rule.costs is None or predicted.ndim > 1:
        return np.full(truth.size, math.nan)
    called = predicted >= HALF.threshold
    missed, alarmed = (truth == 1) & ~called, (truth == 0) & called
    return np.asarray(rule.costs.false_negative * missed + rule.costs.false_positive * alarmed)


def _costs_among(truth: np.ndarray, predicted: np.ndarray, costs: CostMatrix) -> np.ndarray:
    import numpy as np

    called = (
        predicted.argmax(axis=1) if predicted.ndim == 2 else (predicted >= HALF.threshold).astype(np.int64)
    )
    width = max(2, predicted.shape[1] if predicted.ndim == 2 else 2, len(costs.rows))
    other = math.nan if costs.other is None else costs.other
    # A label that is none of the classes has the code -1, and so the last row.
    table = np.full((width + 1, width), other)
    np.fill_diagonal(table, 0.0)
    rows = np.array(costs.rows, dtype=float)
    table[: len(rows), : len(rows)] = rows
    return np.asarray(table[truth.astype(np.int64), called])


def _accuracy(positives: float, negatives: float, right: float, wrong: float) -> float:
    return (right + negatives - wrong) / (positives + negatives)


def _f_beta(beta: float, positives: float, negatives: float, right: float, wrong: float) -> float:
    return counts.f_beta(beta, positives, right, wrong)


class Cut(NamedTuple):
    """A threshold, and what it makes of the rows that it was chosen on.

    :param value: mean cost of a row, or the metric; not a number if no threshold gives one.
    :param positive: share of the rows that are put in the second class.
    """

    threshold: float
    value: float
    positive: float


def best(truth: np.ndarray, scores: np.ndarray, decision: Decision, weights: np.ndarray | None = None) -> Cut:
    """Return the threshold at which rows cost least, or a metric is best, among all that tell the rows apart.

    Sheng and Ling, Thresholding for Making Classifiers Cost-sensitive (2006); the threshold need not be the one that costs
    imply, as probabilities need not be right. Thresholds between two neighbouring probabilities decide alike. Of those it is
    the one that costs imply, 0.5 for a metric, if that is among them, else the middle. Of cuts that are equally good, the
    nearest to it counts, of two as near the lower.

    :param truth: labels 0 and 1, at least one.
    :param scores: finite probabilities of label 1, which the model was not fitted to.
    :param weights: how much each row counts; None means that all count alike.
    """
    import numpy as np

    costs = decision.costs if isinstance(decision.costs, Costs) else None
    usual = costs.threshold if costs else HALF.threshold
    order = np.argsort(-scores, kind="stable")
    ranked, labels = scores[order], truth[order]
    counted = np.ones(order.size) if weights is None else np.asarray(weights, dtype=float)[order]
    # Rows are called positive up to the last one of a probability; none are, if no probability is 1.
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    called = np.r_[0, ends + 1] if ranked[0] < 1 else ends + 1
    if not counted.any():
        return Cut(usual, math.nan, float(np.mean(scores >= usual)))
    # The last cut calls all rows positive: what is summed up until there is what there is of either class, to the last digit.
    right, wrong = (np.r_[0, np.cumsum(of_class * counted)][called] for of_class in (labels, 1 - labels))
    values = _values(decision, float(right[-1]), float(wrong[-1]), right, wrong)
    if not np.isfinite(values).any():
        return Cut(usual, math.nan, float(np.average(ranked >= usual, weights=counted)))
    uppers = np.r_[1.0, ranked][called]
    lowers = np.r_[ranked, 0.0][called]
    equally = np.flatnonzero(values == np.nanmax(values))
    far = np.maximum(0, np.maximum(lowers[equally] - usual, usual - uppers[equally]))
    place = equally[np.flatnonzero(far == far.min())[-1]]
    low, high = float(lowers[place]), float(uppers[place])
    middle = (low + high) / 2
    threshold = usual if low < usual <= high else middle if low < middle else high
    sign = -1 if costs else 1
    return Cut(threshold, sign * float(values[place]), float((right + wrong)[place] / (right + wrong)[-1]))


def _values(
    decision: Decision, positives: float, negatives: float, right: np.ndarray, wrong: np.ndarray
) -> np.ndarray:
    """Return how good each cut is: the metric, or the cost of a row below zero."""
    import numpy as np

    if isinstance(decision.costs, Costs):
        lost = decision.costs.false_negative * (positives - right) + decision.costs.false_positive * wrong
        return np.asarray(-lost / (positives + negatives))
    name = str(decision.metric)
    of_f = partial(_f_beta, metric_of(name).number or 1)
    compute = {**counts.OF_COUNTS, "accuracy": _accuracy}.get(name, of_f)
    pairs = zip(right.tolist(), wrong.tolist(), strict=True)
    return np.array([compute(positives, negatives, *pair) for pair in pairs])
