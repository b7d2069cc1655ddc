"""How often the true value lies between the bounds of its prediction, and how far they are apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.metrics import COVERAGE, WIDTH
from airflow_mlops.learning.statistics import resampling
from airflow_mlops.learning.statistics.resampling import Blocks, Estimate
from airflow_mlops.learning.statistics.statistic import mean

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.policies.gates import Interval


class BoundsMeasured(NamedTuple):
    """Measures of bounds on labelled rows.

    :param values: :data:`COVERAGE` and :data:`WIDTH`, the latter in units of the target; None without rows.
    :param intervals: confidence intervals of those that have one.
    """

    values: dict[str, float | None]
    intervals: dict[str, Interval]


def values(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float | None]:
    """Measure bounds as :func:`measured` does, without confidence intervals."""
    import numpy as np

    if not truth.size:
        return {COVERAGE: None, WIDTH: None}
    return {COVERAGE: float(np.mean(_inside(truth, low, high))), WIDTH: float(np.mean(high - low))}


def _inside(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    inside: np.ndarray = ((low <= truth) & (truth <= high)).astype(float)
    return inside


def measured(
    truth: np.ndarray, low: np.ndarray, high: np.ndarray, blocks: Blocks, confidence: float
) -> BoundsMeasured:
    """Measure bounds; a value that equals one of its bounds lies between them.

    :param blocks: rows that depend on each other.
    """
    drawn = resampling.resample(
        [mean(_inside(truth, low, high), blocks), mean(high - low, blocks)], blocks.count
    )
    covered, width = drawn.estimate(0), drawn.estimate(1)
    intervals = {
        COVERAGE: _share(covered, truth.size, drawn.supports[0].even, confidence),
        WIDTH: width.interval(confidence, 0),
    }
    return BoundsMeasured(
        values(truth, low, high),
        {name: interval for name, interval in intervals.items() if interval is not None},
    )


def _share(covered: Estimate, rows: int, even: float, confidence: float) -> Interval | None:
    """Return the confidence interval of a share of rows that depend on each other.

    It is Wilson's, of as many independent rows as the blocks are worth by their standard error: Korn and Graubard,
    Confidence Intervals for Proportions With Small Expected Number of Positive Counts Estimated From Survey Data (1998).
    Where all rows agree there is no such error, and each block counts as one row.
    """
    from scipy.special import stdtrit

    if covered.value is None or covered.error is None:
        return None
    share = covered.value
    worth = share * (1 - share) / covered.error**2 if covered.error and 0 < share < 1 else even
    n = min(worth, rows)
    t = float(stdtrit(covered.freedom, (1 + confidence) / 2))
    middle = (share + t * t / (2 * n)) / (1 + t * t / n)
    half = t / (1 + t * t / n) * math.sqrt(share * (1 - share) / n + t * t / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
