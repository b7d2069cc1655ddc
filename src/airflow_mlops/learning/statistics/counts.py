"""Measures of two classes that their counts suffice for: rows that are positive, negative, rightly and wrongly called so."""

from __future__ import annotations

import math
from collections.abc import Callable


def f_beta(beta: float, positives: float, right: float, wrong: float) -> float:
    """Return an F measure of the positive class; not a number without a positive row."""
    return (1 + beta**2) * right / (beta**2 * positives + right + wrong) if positives else math.nan


def _balanced(positives: float, negatives: float, right: float, wrong: float) -> float:
    if not positives or not negatives:
        return math.nan
    return (right / positives + 1 - wrong / negatives) / 2


def _matthews(positives: float, negatives: float, right: float, wrong: float) -> float:
    """Matthews, Comparison of the Predicted and Observed Secondary Structure of T4 Phage Lysozyme (1975)."""
    if not positives or not negatives:
        return math.nan
    missed, kept = positives - right, negatives - wrong
    # Not by what is left of all, which weights may round below zero where all rows are called positive.
    spread = (right + wrong) * (missed + kept) * positives * negatives
    return (right * kept - wrong * missed) / math.sqrt(spread) if spread > 0 else 0.0


def _kappa(positives: float, negatives: float, right: float, wrong: float) -> float:
    """Cohen, A Coefficient of Agreement for Nominal Scales (1960); of two classes, any weights give the same."""
    if not positives or not negatives:
        return math.nan
    n, called = positives + negatives, right + wrong
    agreed = (right + negatives - wrong) / n
    by_chance = (positives * called + negatives * (n - called)) / n**2
    return (agreed - by_chance) / (1 - by_chance)


def _weighted_f1(positives: float, negatives: float, right: float, wrong: float) -> float:
    n, missed = positives + negatives, positives - right
    if not positives:
        return math.nan
    of_positive = 2 * right / (positives + right + wrong)
    kept = negatives - wrong
    both = negatives + kept + missed
    return (positives * of_positive + negatives * (2 * kept / both if both else 0.0)) / n


OF_COUNTS: dict[str, Callable[..., float]] = {
    "balanced_accuracy": _balanced,
    "matthews": _matthews,
    "quadratic_kappa": _kappa,
    "f1_weighted": _weighted_f1,
}
"""Each takes the rows that are positive, negative, positive and called so, negative and called positive."""
BOTH_CLASSES = ("balanced_accuracy", "matthews", "quadratic_kappa")
"""Those that say nothing without rows of both classes."""
