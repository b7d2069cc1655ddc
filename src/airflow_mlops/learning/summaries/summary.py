"""Summaries: what a column holds, small enough to be kept, and fit to be added up without the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.learning.summaries import sample
from airflow_mlops.learning.summaries.sample import CategorySample

if TYPE_CHECKING:
    import numpy as np

BINS = 10_000
"""Representatives of a column of numbers at most: means of bins of neighbouring values."""

CATEGORIES = 10_000
"""Categories that are counted, the most frequent; values of others are only counted together."""

_MERGED = 100 * BINS


class ColumnKind(StrEnum):
    """How a column is looked at."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


@dataclass(frozen=True, eq=False)
class Column:
    """What one column of some rows holds.

    A number that more than 1/5,000 of the rows have is kept as it is, and so is every number of a column of at most
    10,000 different ones. Only the others become bins, so the distribution function is off by at most 1/5,000.

    :param rows: all of them.
    :param missing: rows with null or NaN.
    :param infinite: rows with an infinite number.
    :param values: numbers, rising, as float64; or categories, as text.
    :param counts: rows that each of the values stands for, as int64.
    :param squares: sum of the squared differences of the numbers from their mean, before binning.
    :param low: least number; ``high`` is the greatest. Both 0 without numbers.
    :param others: rows with a category that is not among ``values``.
    :param problem: why the column could not be read; "" if it could.
    :param sampled: a sample of all categories, if there are others; None if there are none, or if nobody knows.
    """

    kind: ColumnKind
    rows: int
    missing: int
    infinite: int
    values: np.ndarray
    counts: np.ndarray
    squares: float = 0.0
    low: float = 0.0
    high: float = 0.0
    others: int = 0
    problem: str = ""
    sampled: CategorySample | None = None

    @property
    def sample(self) -> CategorySample | None:
        """A sample of the categories; None of a summary of many that a former build has made."""
        return self.sampled if self.others else sample.of(self.values.tolist(), self.counts)

    @property
    def present(self) -> int:
        """Rows with a finite number, or with a category."""
        return int(self.counts.sum()) + self.others

    @property
    def deviation(self) -> float:
        """Standard deviation of the numbers themselves, not of the bins; 0 of a constant."""
        present = self.present
        spread = float((self.squares / present) ** 0.5) if present else 0.0
        # What is computed of a constant may be a rounding error.
        return spread if self.low < self.high and spread > 1e-12 * max(abs(self.low), abs(self.high)) else 0.0


def empty(kind: ColumnKind, rows: int = 0, problem: str = "") -> Column:
    """Return the summary of a column without values.

    :param problem: why there are none, if it is not that all are missing.
    """
    import numpy as np

    values = np.empty(0, np.float64 if kind is ColumnKind.NUMERIC else object)
    missing = 0 if problem else rows
    return Column(kind, rows, missing, 0, values, np.empty(0, np.int64), problem=problem)


def merge(columns: Iterable[Column]) -> Column:
    """Add up summaries of one column.

    All representatives are kept up to a million, so that neither order nor grouping of up to 100 summaries matters,
    except for the last digits of a sum. Beyond that they are binned again, each time with an error of the distribution
    function of at most 1/5,000.

    :raises ValueError: if there are none, or if they are of different kinds.
    """
    parts = list(columns)
    kinds = {part.kind for part in parts}
    if len(kinds) != 1:
        raise ValueError(f"{len(parts)} summaries of {len(kinds)} kinds cannot be added up")
    if len(parts) == 1:
        return parts[0]
    problem = "; ".join(sorted({part.problem for part in parts} - {""}))
    rows = sum(part.rows for part in parts)
    if problem:
        return empty(parts[0].kind, rows, problem)
    missing, infinite = sum(part.missing for part in parts), sum(part.infinite for part in parts)
    if parts[0].kind is ColumnKind.CATEGORICAL:
        return _merged_categories(parts, rows, missing)
    return _merged_numbers(parts, rows, missing, infinite)


def _merged_numbers(parts: list[Column], rows: int, missing: int, infinite: int) -> Column:
    import numpy as np

    values = np.concatenate([part.values for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    order = np.argsort(values, kind="stable")
    values, counts = collapse(values[order], counts[order])
    if len(values) > _MERGED:
        values, counts = bins(values, counts)
    some = [part for part in parts if len(part.values)]
    return Column(
        ColumnKind.NUMERIC, rows, missing, infinite, values, counts,
        squares=_squares(some),
        low=min((part.low for part in some), default=0.0),
        high=max((part.high for part in some), default=0.0),
    )  # fmt: skip


def _squares(parts: list[Column]) -> float:
    """Add up sums of squares by the formula of Chan, Golub and LeVeque (1983), in an order that the values give."""
    import numpy as np

    if not parts:
        return 0.0
    with np.errstate(all="ignore"):
        means = np.array([np.average(part.values, weights=part.counts) for part in parts])
        present = np.array([float(part.present) for part in parts])
        inner = np.array([part.squares for part in parts])
        order = np.lexsort((inner, present, means))
        means, present, inner = means[order], present[order], inner[order]
        mean = float(np.average(means, weights=present))
        return float(inner.sum() + (present * (means - mean) ** 2).sum())


def _merged_categories(parts: list[Column], rows: int, missing: int) -> Column:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(dict(zip(part.values.tolist(), part.counts.tolist(), strict=True)))
    samples = [part.sample for part in parts] if any(part.others for part in parts) else []
    sampled_parts = [part for part in samples if part is not None]
    both = sample.merge(sampled_parts) if sampled_parts and len(sampled_parts) == len(parts) else None
    return categories(counts, rows, missing, sum(part.others for part in parts), most=_MERGED, sampled=both)


def categories(
    tally: Counter[str],
    rows: int,
    missing: int,
    others: int = 0,
    most: int = CATEGORIES,
    sampled: CategorySample | None = None,
) -> Column:
    """Summarise counts of categories, of which the most frequent are kept.

    :param others: rows with further categories.
    :param sampled: a sample of all categories, if there are further ones.
    """
    import numpy as np

    if not others and len(tally) > most:
        sampled = sample.of(list(tally), np.fromiter(tally.values(), np.int64, len(tally)))

    kept = sorted(tally.items(), key=lambda counted: (-counted[1], counted[0]))[:most]
    values, counts = np.empty(len(kept), object), np.array([count for _, count in kept], np.int64)
    values[:] = [label for label, _ in kept]
    others += tally.total() - int(counts.sum())
    return Column(
        ColumnKind.CATEGORICAL,
        rows,
        missing,
        0,
        values,
        counts,
        others=others,
        sampled=sampled if others else None,
    )


def compact(column: Column) -> Column:
    """Return a summary of at most 10,000 values, or categories."""
    if len(column.values) <= BINS:
        return column
    from dataclasses import replace

    if column.kind is ColumnKind.NUMERIC:
        values, counts = bins(column.values, column.counts)
        return replace(column, values=values, counts=counts)
    tally = Counter(dict(zip(column.values.tolist(), column.counts.tolist(), strict=True)))
    return categories(tally, column.rows, column.missing, column.others, sampled=column.sampled)


def collapse(values: np.ndarray, counts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Join equal values of a rising row of numbers.

    :param counts: None means one each.
    """
    import numpy as np

    changes = values[1:] != values[:-1]
    if changes.all():
        return values, np.ones(len(values), np.int64) if counts is None else counts
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    if counts is None:
        return values[starts], np.diff(starts, append=len(values))
    return values[starts], np.add.reduceat(counts, starts)


def bins(values: np.ndarray, counts: np.ndarray, most: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Return means of at most so many bins of rising, different values; a frequent value stays alone.

    Bins hold fewer values the nearer they are to either end, by the scale k1 of Dunning and Ertl (Computing Extremely
    Accurate Quantiles Using t-Digests, 2019), since a few values may make up most of a heavy tail.
    """
    import numpy as np

    if len(values) <= most:
        return values, counts
    ends = np.cumsum(counts)
    edges = (1 + np.sin(np.pi * (np.arange(most) / most - 0.5))) / 2 * ends[-1]
    alone = ends[-1] == len(values)
    # Where each value stands for one row, as nearly always, the search has an answer that is computed, and the same.
    starts = np.ceil(edges - 0.5).astype(np.int64) if alone else np.searchsorted(ends - counts / 2, edges)
    # They rise, so there is no need to look for all that are equal.
    starts = starts[(np.diff(starts, prepend=-1) > 0) & (starts < len(values))]
    sizes = np.diff(starts, append=len(values))
    weights = sizes if alone else np.add.reduceat(counts, starts)
    with np.errstate(all="ignore"):
        means = np.add.reduceat(values if alone else values * counts, starts) / weights
    # A mean of one value may differ from it in its last digit, and would not be equal to the same value elsewhere.
    return np.where(sizes == 1, values[starts], means), weights
