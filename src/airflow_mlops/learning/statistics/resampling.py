"""Resampling: how much a measured value may owe to chance, where rows of one span of time depend on each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_mlops.domain.calendars import Calendar, Grain
from airflow_mlops.stores import zones

if TYPE_CHECKING:
    import numpy as np

LEAST_BLOCKS = 7
"""Blocks that an interval needs: a week of days. Below, the spread of so few values says next to nothing."""
LEAST_ROWS = 30
"""Independent rows, of each class where a metric tells two apart, that an interval needs."""
LEAST_EVEN = 5
"""Blocks of equal weight that those of an interval must be worth; seven days are never quite alike."""

_BELOW = {Grain.HOUR: "minute", Grain.DAY: "hour", Grain.WEEK: "day", Grain.MONTH: "day"}
_UNITS = {"minute": "m", "hour": "h", "day": "D", "month": "M"}
_RESAMPLES = 200


@dataclass(frozen=True)
class Support:
    """How many blocks a measured value rests on.

    :param even: how many blocks of equal weight its blocks are worth.
    :param holding: how many blocks hold rows that count at all.
    :param unit: ``row``, or the span of time that a block is.
    """

    even: float
    holding: int
    unit: str = "day"

    @property
    def enough(self) -> bool:
        """Whether there are enough of them for an interval."""
        if self.unit == "row":
            return self.even >= LEAST_ROWS
        return self.holding >= LEAST_BLOCKS and self.even >= LEAST_EVEN


@dataclass(frozen=True)
class Blocks:
    """Blocks of rows: those of one depend on each other and are drawn together; blocks are drawn independently.

    :param codes: block of each row, from 0.
    :param count: how many blocks there are in all.
    :param unit: ``row``, or the span of time that a block is.
    :param names: name of each block, if it is a span of time.
    """

    codes: np.ndarray
    count: int
    unit: str
    names: Sequence[str] = ()

    def support(self, weights: Iterable[np.ndarray]) -> Support:
        """Return how many blocks a statistic rests on: each block counts by its share of the weight.

        Blocks of very different size are worth 1 / Σ share² even ones (Kish, Survey Sampling, 1965); an interval that
        took them for more would be too short: Carter, Schnepel and Steigerwald, Asymptotic Behavior of a t-Test Robust to
        Cluster Heterogeneity (2017).

        :param weights: weights of the rows, such as 1 for those of one class; of several, the one that rests on the
            fewest blocks counts.
        """
        import numpy as np

        supports = []
        for weight in weights:
            sums = np.bincount(self.codes, weights=weight, minlength=self.count)
            total = sums.sum()
            even = float(total**2 / np.sum(sums**2)) if total > 0 else 0.0
            supports.append(Support(even, int(np.count_nonzero(sums)), self.unit))
        return min(supports, key=lambda support: support.even)

    def only(self, chosen: np.ndarray) -> Blocks:
        """Return the blocks of some of the rows."""
        return replace(self, codes=self.codes[chosen])

    def __str__(self) -> str:
        return f"{self.count:,} {self.unit}{'s' * (self.count != 1)}"


def blocks(times: np.ndarray, block: str, grain: str) -> Blocks:
    """Put rows of one span of time in one block.

    :param times: event time of each row, in UTC.
    :param block: ``none``, ``hour``, ``day``, ``week``, ``month``, or ``auto`` for one step below the partition.
    :param grain: length of a partition, with the time zone of its days.
    """
    import numpy as np

    if block == "none":
        return Blocks(np.arange(times.size), times.size, "row")
    calendar = Calendar(grain)
    unit = _BELOW[calendar.grain] if block == "auto" else block
    moments = zones.clocks(times, calendar.zone).astype("datetime64[m]")
    if unit == "week":
        # NumPy's weeks begin on Thursdays, as 1970 did.
        three = np.timedelta64(3, "D")
        starts = (moments + three).astype("datetime64[W]").astype("datetime64[D]") - three
    else:
        starts = moments.astype(f"datetime64[{_UNITS[unit]}]")
    names, codes = np.unique(starts, return_inverse=True)
    return Blocks(codes.ravel(), names.size, unit, tuple(str(name) for name in names))


@dataclass(frozen=True)
class Statistic:
    """A measure of some rows that can be computed again for any draw of their blocks.

    :param compute: takes the number of times that each block was drawn, and returns the value; not a number where it is
        undefined.
    :param support: the blocks that inform it.
    """

    compute: Callable[[np.ndarray], float]
    support: Support


@dataclass(frozen=True)
class Estimate:
    """A measured value with its standard error.

    :param value: None if it is undefined.
    :param error: None if it could not be estimated: from too few blocks, or with a value that most draws leave undefined.
    :param freedom: degrees of freedom of the error.
    """

    value: float | None
    error: float | None
    freedom: float

    def interval(
        self, confidence: float, low: float = -math.inf, high: float = math.inf
    ) -> tuple[float, float] | None:
        """Return the confidence interval, cut off at the bounds of the value; None if there is none."""
        from scipy.special import stdtrit

        if self.value is None or self.error is None:
            return None
        half = float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.error
        return max(low, self.value - half), min(high, self.value + half)

    def chance(self, bound: float, sign: int = 1) -> float:
        """Return the p-value of a value this far above a bound, or below with sign -1; 1 if it is not known."""
        from scipy.special import stdtr

        if self.value is None or self.error is None:
            return 1.0
        beyond = sign * (self.value - bound)
        if not self.error:
            return 0.0 if beyond > 0 else 1.0
        return float(stdtr(self.freedom, -beyond / self.error))


@dataclass(frozen=True)
class Resampled:
    """Statistics of the rows, and of the same draws from them.

    :param values: of the rows as they are.
    :param drawn: one row a draw, one column a statistic.
    :param supports: what each statistic rests on.
    """

    values: np.ndarray
    drawn: np.ndarray
    supports: Sequence[Support]

    def estimate(self, place: int) -> Estimate:
        """Return one of the statistics with its error."""
        return _estimate(self.values[place], self.drawn[:, place], self.supports[place])

    def difference(self, place: int, other: int) -> Estimate:
        """Return how much larger one statistic is than another, with the error of the difference."""
        return _estimate(
            self.values[place] - self.values[other],
            self.drawn[:, place] - self.drawn[:, other],
            min(self.supports[place], self.supports[other], key=lambda support: support.even),
        )


def resample(statistics: Sequence[Statistic], count: int, seed: int = 0) -> Resampled:
    """Measure statistics on the rows and on draws from them, by the bootstrap over blocks.

    Rows of one block depend on each other, so whole blocks are drawn with replacement: Carlstein, The Use of Subseries
    Values for Estimating the Variance of a General Statistic from a Stationary Sequence (1986); Künsch, The Jackknife and
    the Bootstrap for General Stationary Observations (1989). 200 draws suffice for a standard error: Efron and
    Tibshirani, An Introduction to the Bootstrap (1993), chapter 6. The errors of few blocks come out too small, hence
    the factor √(G / (G - 1)) and Student's distribution with G - 1 degrees of freedom: Cameron, Gelbach and Miller,
    Bootstrap-Based Improvements for Inference with Clustered Errors (2008); G is what the blocks are worth in even ones.

    :param count: how many blocks there are in all.
    :param seed: equal seeds and rows give equal errors.
    """
    import numpy as np

    values = np.array([statistic.compute(np.ones(count, np.int64)) for statistic in statistics], dtype=float)
    drawn = np.full((_RESAMPLES, len(statistics)), np.nan)
    judged = [place for place, statistic in enumerate(statistics) if statistic.support.enough]
    random = np.random.default_rng(seed)
    for draw in range(_RESAMPLES if judged else 0):
        times = np.bincount(random.integers(0, count, count), minlength=count)
        for place in judged:
            drawn[draw, place] = statistics[place].compute(times)
    return Resampled(values, drawn, [statistic.support for statistic in statistics])


def _estimate(value: float, drawn: np.ndarray, support: Support) -> Estimate:
    import numpy as np

    defined = drawn[np.isfinite(drawn)]
    error = None
    if 2 * defined.size > drawn.size:
        error = float(defined.std(ddof=1)) * math.sqrt(support.even / (support.even - 1))
    return Estimate(float(value) if math.isfinite(value) else None, error, support.even - 1)
