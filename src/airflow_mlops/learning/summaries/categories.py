"""Distances between the categories of two summaries: of the frequent ones, of the many, and how many rows are new."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.learning.summaries import summary

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.learning.summaries.sample import CategorySample
    from airflow_mlops.learning.summaries.summary import Column

FREQUENT = 100
"""Categories that are told apart, the most frequent of both sides.

The others count as two: those that the reference has, and those that it lacks.
"""

RARE, RARE_UNSEEN = "rare categories", "rare categories that the reference lacks"

_EXPECTED = 5
# Expected share of new categories from which the reference tells nothing: nearly every row has a category of its own.
_OWN = 0.95
# Of Chernoff's bound: beyond it, the bound of a single row is 1e-20 or less.
_STEEPEST = 50.0


class Unseen(NamedTuple):
    """Rows whose category the reference lacks.

    :param share: of the current rows.
    :param expected: share that the reference itself lets expect: that of its rows whose category it has once, by Good
        (Biometrika 40, 1953); None if nearly every row has a category of its own.
    :param p: bound of the chance of as many such rows, if nothing has changed.
    """

    share: float
    expected: float | None
    p: float


def unseen(before: Column, now: Column) -> Unseen | None:
    """Estimate the share of rows whose category the reference lacks; None if a summary has no sample of its categories."""
    import numpy as np

    if (first := before.sample) is None or (second := now.sample) is None:
        return None
    limit = min(first.limit, second.limit)
    first, second = first.below(limit), second.below(limit)
    n, m, share = before.present, now.present, first.share
    new = int(second.counts[np.isin(second.hashes, first.hashes, invert=True)].sum())
    observed, expected = min(new / share / m, 1.0), min(int((first.counts == 1).sum()) / share / n, 1.0)
    if expected > _OWN:
        return Unseen(observed, None, 0.0 if _many(before) else 1.0)
    return Unseen(observed, expected, _chance(first, second, (n, m), new))


def _chance(before: CategorySample, now: CategorySample, rows: tuple[int, int], new: int) -> float:
    """Return a bound of the chance that as many current rows have a category that the reference lacks.

    If nothing has changed, any of the rows of both sides may be the current ones, as in a permutation test: a category is new
    if all of its rows are. Categories are new independently or, as the number of rows is fixed, less often together (negative
    association: Joag-Dev and Proschan, Annals of Statistics 11, 1983), so Chernoff's bound of a sum holds. Where the reference
    has just missed a category, this knows from the category's rows how likely that was, which no normal test does.

    :param rows: of the reference, and the current ones.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    hashes = np.union1d(before.hashes, now.hashes)
    totals = sum(_counts_of(side, hashes) for side in (before, now))
    counts, categories = np.unique(totals, return_counts=True)
    counts = counts.astype(float)
    total, current = sum(rows), rows[1]
    fitting = np.minimum(counts, current)
    log_all = gammaln(current + 1) - gammaln(current - fitting + 1) - gammaln(total + 1)
    log_all = np.where(counts > current, -np.inf, log_all + gammaln(total - fitting + 1))
    log_other = np.log1p(-np.exp(np.minimum(log_all, -1e-12)))

    def bound(power: float) -> float:
        return float(categories @ np.logaddexp(log_other, log_all + power * counts) - power * new)

    least = minimize_scalar(bound, bounds=(0.0, _STEEPEST), method="bounded").fun
    return math.exp(min(float(least), 0.0))


def _many(column: Column) -> bool:
    """Whether a column has more categories than a summary lists."""
    return column.others > 0 or len(column.values) > summary.CATEGORIES


def distance(before: Column, now: Column) -> tuple[float, float]:
    """Return the Jensen-Shannon distance of categories, and its p-value.

    Of more than a hundred categories, all that have enough rows are compared too, and of more than a summary lists, the
    rows with new ones: the largest distance counts, and the smallest p-value, times their number (Bonferroni).
    """
    _, first, second = together(before, now)
    # A category that the reference lacks has rows now by construction, so any two samples of rare ones would differ.
    tested = [homogeneity(first[:-2], second[:-2], (int(first[-2:].sum()), int(second[-2:].sum())))]
    new = unseen(before, now) if before.others else None
    if new is not None:
        # Where the reference lists only some of its categories, the others of both sides look alike.
        surplus = min(int(max(new.share - (new.expected or 0.0), 0.0) * now.present), int(second[-2]))
        second[-2:] += (-surplus, surplus)
        tested.append(new.p)
    distances = [jensen_shannon(first, second)]
    many = _many_counts(before, now)
    if many is not None:
        first, second = many
        # So much do as many categories differ by chance alone.
        noise = (len(first) - 1) / 8 * (1 / first.sum() + 1 / second.sum())
        distances.append(math.sqrt(max(jensen_shannon(first, second) ** 2 - noise, 0.0)))
        tested.append(homogeneity(first, second))
    return max(distances), min(1.0, len(tested) * min(tested))


def _many_counts(before: Column, now: Column) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the rows of all categories that both samples have enough rows of, and of the others; None if they are few."""
    import numpy as np

    if (first := before.sample) is None or (second := now.sample) is None:
        return None
    limit = min(first.limit, second.limit)
    first, second = first.below(limit), second.below(limit)
    hashes = np.union1d(first.hashes, second.hashes)
    counts = np.stack([_counts_of(side, hashes) for side in (first, second)])
    rows = counts.sum(axis=1)
    if not rows.all():
        return None
    enough = counts.sum(axis=0) * rows.min() / rows.sum() >= _EXPECTED
    if enough.sum() <= FREQUENT:
        return None
    kept = np.column_stack([counts[:, enough], counts[:, ~enough].sum(axis=1)])
    return kept[0], kept[1]


def _counts_of(side: CategorySample, hashes: np.ndarray) -> np.ndarray:
    import numpy as np

    counts = np.zeros(len(hashes), np.int64)
    counts[np.searchsorted(hashes, side.hashes)] = side.counts
    return counts


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
    frequent = sorted(total, key=lambda label: (-total[label], label))[:FREQUENT]
    labels = [*frequent, RARE, RARE_UNSEEN]
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
