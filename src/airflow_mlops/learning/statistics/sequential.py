"""Evidence that adds up: whether one model is better than another, by a test that may be looked at after each partition.

The rows of each partition are a bet against the hypothesis that the candidate is no better than the champion. What the bets have
made of a capital of 1 is the evidence, an e-value: if the hypothesis is true, it ever reaches 1 / a with a chance of a at most,
however often one looks (Ville's inequality, 1939). Testing by betting: Shafer, Testing by Betting (2021), and Waudby-Smith and
Ramdas, Estimating Means of Bounded Random Variables by Betting (2024); of two forecasters: Henzi and Ziegel, Valid Sequential
Inference on Probability Forecast Performance (2022), and Choe and Ramdas, Comparing Sequential Forecasters (2023).

It holds for scores that are bounded before the label is known, and takes rows in the order in which their labels become known,
whole partitions at a time. Rows of one block may depend on each other in any way; what a block brings must not be foreseen from
the blocks before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

_STAKES = (0.1, 0.2, 0.4, 0.7, 0.95)
"""Shares of the most that may be staked: small ones win by small differences over many blocks, large ones by large differences."""
_AT_FIRST = 5
"""How many blocks count as much as what the predictions alone let expect of a block."""
CLIP = 3.0
"""Standard deviations at which the error of a value, and what a block brings, are cut off."""


MOST = 1e9
"""The most that evidence comes to; what is above it would say nothing more."""


class Gains(NamedTuple):
    """How much better than another model one is, row by row, in a proper score that is bounded.

    :param gains: the other's loss minus ours; in expectation 0 or less if we are no better.
    :param variances: variance of each gain, as the predictions alone say: 0 where both are the same.
    """

    gains: np.ndarray
    variances: np.ndarray


def brier(truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> Gains:
    """Return gains in the Brier score, half of it for more than two classes, so that it lies between 0 and 1 for all.

    :param truth: codes of classes.
    :param ours: probability of class 1 of two; of more classes a probability for each, one column a class.
    """
    import numpy as np

    if ours.ndim == 1:
        ours, theirs = (np.stack([1 - positive, positive], axis=1) for positive in (ours, theirs))
    # Half of the sum over classes of (p - y)², where y is 1 for one class k, is (Σp² + 1) / 2 - p_k.
    by_class = ours - theirs + ((theirs**2).sum(axis=1) - (ours**2).sum(axis=1))[:, None] / 2
    of_label = by_class[np.arange(truth.size), truth.astype(int)]
    middle = (ours + theirs) / 2
    mean = (middle * by_class).sum(axis=1)
    return Gains(of_label, np.maximum((middle * by_class**2).sum(axis=1) - mean**2, 0.0))


def squared(truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray, spread: float) -> Gains:
    """Return gains in the squared error, that of each row cut off at the square of :data:`CLIP` times a spread.

    :param spread: standard deviation of the labels of the training rows.
    """
    import numpy as np

    losses = [np.minimum(np.abs(truth - predicted), CLIP * spread) ** 2 for predicted in (ours, theirs)]
    return Gains(losses[1] - losses[0], (2 * spread * (ours - theirs)) ** 2)


def factor(rows: Gains, codes: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return by how much the rows of one partition multiply what is staked on them; 1 if both models predict the same.

    What a block brings is cut off at :data:`CLIP` times what blocks have brought so far, in the root mean square, which at first is what
    the predictions alone let expect. So no block can lose more than is staked on it, and the bound is known before its labels. Several
    stakes are tried at a time, each with an equal share: the mixture of Waudby-Smith and Ramdas, section B.2.

    :param codes: block of each row, in order of time: the rows of one are a single bet.
    :param weights: how much each row counts; None means that all count alike.
    """
    import numpy as np

    counted = np.ones(codes.size) if weights is None else weights
    gains = np.bincount(codes, weights=rows.gains * counted)
    expected = np.bincount(codes, weights=rows.variances * counted**2)
    filled = np.bincount(codes, weights=counted) > 0
    gains, expected = gains[filled], expected[filled]
    if not expected.sum():
        return 1.0
    before = np.cumsum(gains**2) - gains**2
    squares = (_AT_FIRST * expected.mean() + before) / (_AT_FIRST + np.arange(gains.size))
    returns = np.clip(gains / (CLIP * np.sqrt(squares)), -1.0, 1.0)
    grown = np.log1p(np.outer(_STAKES, returns)).sum(axis=1)
    return float(np.exp(min(np.logaddexp.reduce(grown) - np.log(len(_STAKES)), np.log(MOST))))


def added(evidence: float, looks: int, factors: Sequence[float]) -> float:
    """Return the evidence after further partitions.

    A share of the capital, 1 / (t + 1) of what it was at first, is kept back at partition t, and the rest is staked. So a
    candidate that was no better for long, as nothing had changed, needs little to make up for that: what is kept back is staked anew
    at each partition, which is a mixture over the partition from which on it is better, with weights 1 / (t (t + 1)).

    :param evidence: before these partitions; 1 before the first.
    :param looks: number of partitions that count in it.
    :param factors: of :func:`factor`, one a partition, in order.
    """
    for place, each in enumerate(factors, looks + 1):
        kept = 1 / (place + 1)
        evidence = min(max(evidence - kept, 0.0) * each + kept, MOST)
    return evidence


def needed(confidence: float) -> float:
    """Return the evidence that promotes a candidate, at half of the error that a confidence leaves on one side.

    The other half is that of the first look by an interval.

    :param confidence: such as 0.95, of which 2.5 % are left on either side: 80.
    """
    return 4 / (1 - confidence)
