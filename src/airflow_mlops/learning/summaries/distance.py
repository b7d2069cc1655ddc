"""Distances between two summaries of a column, by the methods of Evidently, and how significant they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from airflow_mlops.domain.policies.drift import Measure
from airflow_mlops.learning.summaries import categories, summary
from airflow_mlops.learning.summaries.summary import Column, ColumnKind

# Evidently divides by at least this.
_CONSTANT = 0.001
# What binning of a side, four times over, can add to the largest difference of two distribution functions.
_BLUR = 4 / 5000


def numbers(before: Column, now: Column) -> tuple[float, float]:
    """Return the Wasserstein distance of numbers in standard deviations of the reference, and its p-value."""
    import numpy as np
    from scipy.stats import wasserstein_distance

    unit = before.deviation or _CONSTANT
    if not math.isfinite(unit):
        return math.nan, 1.0
    with np.errstate(all="ignore"):
        moved = float(wasserstein_distance(before.values, now.values, before.counts, now.counts))
        return moved / unit, kolmogorov_smirnov(before, now)


def kolmogorov_smirnov(before: Column, now: Column) -> float:
    """Return the asymptotic p-value of the two-sample Kolmogorov-Smirnov test.

    What binning may have added to the statistic is taken off, so the test errs to the side of no difference.
    """
    import numpy as np
    from scipy.special import kolmogorov

    places = np.concatenate([before.values, now.values])
    shares = []
    for side in (before, now):
        sums = np.concatenate([[0], np.cumsum(side.counts)])
        shares.append(sums[np.searchsorted(side.values, places, side="right")] / sums[-1])
    blur = sum(_BLUR for side in (before, now) if len(side.values) < side.present > summary.BINS)
    largest = max(float(np.abs(shares[0] - shares[1]).max()) - blur, 0.0)
    pooled = before.present * now.present / (before.present + now.present)
    return float(kolmogorov(math.sqrt(pooled) * largest))


class DriftStatistic(NamedTuple):
    """How far values are from what they were.

    :param words: what the distance is called.
    :param distance: a function of the reference's summary and the current one; it returns the distance, and its p-value.
    :param evidently: what Evidently calls the statistic; its page draws the columns by it.
    """

    words: str
    distance: Callable[[Column, Column], tuple[float, float]]
    evidently: str


STATISTICS = {
    ColumnKind.NUMERIC: DriftStatistic("normed Wasserstein distance", numbers, "wasserstein"),
    ColumnKind.CATEGORICAL: DriftStatistic("Jensen-Shannon distance", categories.distance, "jensenshannon"),
}
"""The statistic of each kind of column."""


def measure(
    name: str, before: Column, now: Column, *, min_rows: int, feature: bool = True
) -> Iterator[Measure]:
    """Measure how far a column's values, and its shares of rows without one, are from what they were.

    Numbers: the Wasserstein distance in units of the reference's standard deviation; significance by the two-sample
    Kolmogorov-Smirnov test, whose asymptotic p-value is an upper bound where values repeat (Noether, 1963). Categories:
    the Jensen-Shannon distance (natural logarithm, 0 to 0.83); significance by Pearson's chi-squared test of
    homogeneity, categories with fewer than 5 expected rows taken together (Cochran, Biometrics 10, 1954), which also
    tests the shares. Beside it stands the share of rows whose category the reference lacks.

    :param min_rows: rows with a value that a side must have, or rows at all for a share.
    :param feature: see :class:`~airflow_mlops.domain.policies.drift.Measure`.
    """
    yield _values(name, before, now, min_rows, feature)
    problem = before.problem or now.problem
    for part, words, first, second in (
        ("missing", "missing", before.missing, now.missing),
        ("nonfinite", "infinite", before.infinite, now.infinite),
    ):
        if (first or second) and not problem:
            yield _share(name, part, words, (first, before.rows), (second, now.rows), min_rows, feature)
    enough = min(before.present, now.present) >= max(min_rows, 1)
    if before.kind is ColumnKind.CATEGORICAL and enough and not problem:
        yield from _unseen(name, before, now, feature)


def _values(name: str, before: Column, now: Column, min_rows: int, feature: bool) -> Measure:
    def answer(reason: str, distance: float | None = None, p: float | None = None) -> Measure:
        return Measure(column=name, distance=distance, p=p, n=now.present, feature=feature, reason=reason)

    for side, column in (("in the reference", before), ("now", now)):
        if column.problem:
            return answer(f"could not be measured: {column.problem} {side}")
    sides = {"reference": before.present, "current": now.present}
    few = [f"{rows} {side} rows have a value" for side, rows in sides.items() if rows < max(min_rows, 1)]
    if few:
        return answer(f"{' and '.join(few)}; {min_rows} are needed")
    statistic = STATISTICS[before.kind]
    distance, p = statistic.distance(before, now)
    if not math.isfinite(distance):
        return answer("could not be measured: the numbers are too large for a standard deviation")
    return answer(f"{statistic.words} {distance:.3f}", round(distance, 6), p)


def _unseen(name: str, before: Column, now: Column, feature: bool) -> Iterator[Measure]:
    """Measure the share of rows with a category that the reference lacks; nothing if there is none."""
    new = categories.unseen(before, now)
    distance: float | None = None
    p: float | None = None
    if new is None:
        reason = f"more than {summary.CATEGORIES:,} categories, and the summary of a former build tells only of these"
    elif not new.share:
        return
    else:
        reason = f"{new.share:.1%} of rows have a category that the reference lacks"
        if new.expected is not None:
            reason += f", {new.expected:.1%} are to be expected"
        else:
            reason += ", and nearly each of its own rows has a category of its own: an id is no feature"
        if new.expected is not None or new.p < 1:
            distance, p = round(max(new.share - (new.expected or 0.0), 0.0), 6), new.p
    yield Measure(
        column=name, part="unseen", distance=distance, p=p, n=now.present, feature=feature, reason=reason
    )


def _share(
    name: str,
    part: str,
    words: str,
    before: tuple[int, int],
    now: tuple[int, int],
    min_rows: int,
    feature: bool,
) -> Measure:
    least = min(before[1], now[1])
    if least < min_rows:
        reason = f"{before[1]} reference and {now[1]} current rows; {min_rows} are needed"
        return Measure(column=name, part=part, n=now[1], feature=feature, reason=reason)
    shares = [count / rows for count, rows in (before, now)]
    p = categories.homogeneity([before[0], before[1] - before[0]], [now[0], now[1] - now[0]])
    return Measure(
        column=name,
        part=part,
        distance=round(abs(shares[1] - shares[0]), 6),
        p=p,
        n=now[1],
        feature=feature,
        reason=f"{shares[1]:.1%} of values {words}, {shares[0]:.1%} in the reference",
    )
