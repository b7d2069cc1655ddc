"""The jackknife over blocks: standard errors whose tails may be asked far out, also where neighbouring blocks depend."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.learning.statistics.resampling import Blocks, Estimate, Statistic

if TYPE_CHECKING:
    import numpy as np

MOST_GROUPS = 200
"""Blocks that are left out one by one; more are put together with their neighbours first."""
_STRONGEST = 0.9
_LEAST_FREEDOM = 1.0


def grouped(blocks: Blocks) -> Blocks:
    """Return at most :data:`MOST_GROUPS` blocks, each of neighbours in time: Kott, The Delete-a-Group Jackknife (2001)."""
    if blocks.count <= MOST_GROUPS:
        return blocks
    return replace(blocks, codes=blocks.codes * MOST_GROUPS // blocks.count, count=MOST_GROUPS, names=())


def measured(statistic: Statistic, blocks: Blocks) -> Estimate:
    """Return a statistic with its standard error.

    :param blocks: of the statistic, at most :data:`MOST_GROUPS`.
    """
    return difference(statistic, None, blocks)


def difference(statistic: Statistic, other: Statistic | None, blocks: Blocks) -> Estimate:
    """Return how much larger one statistic is than another on the same rows, with the error of the difference.

    :param other: None for zero.
    :param blocks: of both statistics, at most :data:`MOST_GROUPS`.
    """
    import numpy as np

    def compute(times: np.ndarray) -> float:
        return statistic.compute(times) - (other.compute(times) if other else 0.0)

    supports = [side.support for side in (statistic, other) if side is not None]
    support = min(supports, key=lambda side: side.even)
    value = compute(np.ones(blocks.count, np.int64))
    if not math.isfinite(value):
        return Estimate(None, None, 0.0)
    if not support.enough:
        return Estimate(float(value), None, 0.0)
    left_out = np.array([compute(times) for times in 1 - np.eye(blocks.count, dtype=np.int64)])
    if not np.isfinite(left_out).all():
        return Estimate(float(value), None, 0.0)
    error, freedom = spread(left_out, support.even)
    return Estimate(float(value), float(error), float(freedom))


def spread(left_out: np.ndarray, even: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard error of a statistic, and its degrees of freedom, from its values without each block in turn.

    The error is that of the jackknife (Efron and Stein, The Jackknife Estimate of Variance, 1981). It is widened by
    √((1 + r) / (1 - r)), where r is the correlation of each block's influence with the next one's, as far as it is above
    zero: what remains of one day on the next makes a mean less sure, as if there were fewer days. r is corrected for its
    bias of -(1 + 3 r) / G: Kendall, Note on Bias in the Estimation of Autocorrelation (1954).

    :param left_out: values without each block, in the order of time along the last axis, which is the only one that is
        summed over.
    :param even: how many blocks of equal weight the blocks are worth.
    """
    import numpy as np

    count = left_out.shape[-1]
    influence = left_out - left_out.mean(axis=-1, keepdims=True)
    squares = (influence**2).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        next_one = (influence[..., 1:] * influence[..., :-1]).sum(axis=-1) / squares
    correlation = np.clip(np.nan_to_num(next_one + (1 + 3 * next_one) / count), 0.0, _STRONGEST)
    widened = (1 + correlation) / (1 - correlation)
    error = np.sqrt(squares * (count - 1) / count * widened)
    return error, np.maximum(even / widened - 1, _LEAST_FREEDOM)


def apart(one: Estimate, other: Estimate) -> Estimate:
    """Return how much larger one estimate is than another one of other rows, with Welch's degrees of freedom (1947)."""
    if one.value is None or other.value is None:
        return Estimate(None, None, 0.0)
    value = one.value - other.value
    if one.error is None or other.error is None:
        return Estimate(value, None, 0.0)
    squares = one.error**2, other.error**2
    parts = sum(
        square**2 / side.freedom for square, side in zip(squares, (one, other), strict=True) if side.freedom
    )
    freedom = sum(squares) ** 2 / parts if parts else one.freedom
    return Estimate(value, math.sqrt(sum(squares)), freedom)
