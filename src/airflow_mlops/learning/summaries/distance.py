"""Distances between two summaries of a column, by the methods of Evidently, and how significant they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_mlops.domain.policies.drift import Measure
from airflow_mlops.learning.summaries import summary
from airflow_mlops.learning.summaries.summary import Column, ColumnKind

if TYPE_CHECKING:
    import numpy as np

CATEGORIES = 100
"""Categories that are told apart, the most frequent of both sides.

The others count as two: those that the reference has, and those that it lacks.
"""

METHODS = {
    ColumnKind.NUMERIC: "normed Wasserstein distance",
    ColumnKind.CATEGORICAL: "Jensen-Shannon distance",
}
"""What the distance between values is called."""

RARE, UNSEEN = "rare categories", "rare categories that the reference lacks"

# Evidently divides by at least this.
_CONSTANT = 0.001
# What binning of a side, four times over, can add to the largest difference of two distribution functions.
_BLUR = 4 / 5000
_EXPECTED = 5


def measure(
    name: str, before: Column, now: Column, *, min_rows: int, feature: bool = True
) -> Iterator[Measure]:
    """Measure how far a column's values, and its shares of rows without one, are from what they were.

    Numbers: the Wasserstein distance in units of the reference's standard deviation; significance by the two-sample
    Kolmogorov-Smirnov test, whose asymptotic p-value is an upper bound where values repeat (Noether, 1963). Categories:
    the Jensen-Shannon distance (natural logarithm, 0 to 0.83); significance by Pearson's chi-squared test of
    homogeneity, categories with fewer than 5 expected rows taken together (Cochran, Biometrics 10, 1954), which also
    tests the shares.

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
    distance, p = (_numbers if before.kind is ColumnKind.NUMERIC else _categories)(before, now)
    if not math.isfinite(distance):
        return answer("could not be measured: the numbers are too large for a standard deviation")
    return answer(f"{METHODS[before.kind]} {distance:.3f}", round(distance, 6), p)


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
    p = homogeneity([before[0], before[1] - before[0]], [now[0], now[1] - now[0]])
    return Measure(
        column=name,
        part=part,
        distance=round(abs(shares[1] - shares[0]), 6),
        p=p,
        n=now[1],
        feature=feature,
        reason=f"{shares[1]:.1%} of values {words}, {shares[0]:.1%} in the reference",
    )


def _numbers(before: Column, now: Column) -> tuple[float, float]:
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


def _categories(before: Column, now: Column) -> tuple[float, float]:
    _, first, second = together(before, now)
    # A category that the reference lacks has rows now by construction, so any two samples of rare ones would differ.
    p = homogeneity(first[:-2], second[:-2], (int(first[-2:].sum()), int(second[-2:].sum())))
    return jensen_shannon(first, second), p


def jensen_shannon(before: np.ndarray, now: np.ndarray) -> float:
    """Return the Jensen-Shannon distance (natural logarithm, 0 to 0.83) between two rows of counts."""
    from scipy.spatial.distance import jensenshannon

    # Rounding can make a distance of 0 the root of a negative number.
    same = bool((before * now.sum() == now * before.sum()).all())
    return 0.0 if same else float(jensenshannon(before, now))


def together(before: Column, now: Column) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the most frequent categories of both sides, two that stand for all others, and the rows of each side."""
    import numpy as np

    sides = [dict(zip(side.values.tolist(), side.counts.tolist(), strict=True)) for side in (before, now)]
    total = {
        label: sides[0].get(label, 0) / before.present + sides[1].get(label, 0) / now.present
        for label in sides[0] | sides[1]
    }
    frequent = sorted(total, key=lambda label: (-total[label], label))[:CATEGORIES]
    labels = [*frequent, RARE, UNSEEN]
    counts = [np.array([side.get(label, 0) for label in frequent] + [0, 0], np.int64) for side in sides]
    rest = total.keys() - set(frequent)
    for side, tally, column in zip(sides, counts, (before, now), strict=True):
        # A reference that does not list all of its categories may have had any.
        unseen = 0 if before.others else sum(side.get(label, 0) for label in rest if label not in sides[0])
        tally[-1] = unseen
        tally[-2] = column.present - int(tally.sum())
    return labels, counts[0], counts[1]


def homogeneity(
    before: np.ndarray | list[int], now: np.ndarray | list[int], rest: tuple[int, int] = (0, 0)
) -> float:
    """Return the p-value of Pearson's chi-squared test that two rows of counts have the same shares; 1 of one category.

    :param rest: further rows of both, whose categories are taken together with those that are too rare.
    """
    import numpy as np
    from scipy.stats import chi2

    counts = np.array([before, now], np.float64)
    pooled = np.array([rest], np.float64).T
    rows = counts.sum(axis=1, keepdims=True) + pooled
    rare = counts.sum(axis=0) * rows.min() / rows.sum() < _EXPECTED
    kept = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1) + pooled[:, 0]])
    kept = kept[:, kept.sum(axis=0) > 0]
    if kept.shape[1] < 2:
        return 1.0
    expected = rows * kept.sum(axis=0) / rows.sum()
    return float(chi2.sf(((kept - expected) ** 2 / expected).sum(), kept.shape[1] - 1))
