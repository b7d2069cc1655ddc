"""A sample of a column's categories, with all of their rows: what a list of the most frequent cannot tell of the others.

A category belongs to it by its hash alone, so the samples of two columns hold the same categories, as far as both columns
have them, and the samples of two partitions add up to that of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SIZE = 10_000
"""Categories of a sample at most; a column that has no more is its own sample."""

ALL = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class CategorySample:
    """The categories whose hash is at most a limit.

    :param hashes: of the categories, rising, as uint64.
    :param counts: rows of each, as int64.
    :param limit: the largest hash that belongs to the sample.
    """

    hashes: np.ndarray
    counts: np.ndarray
    limit: int = ALL

    @property
    def share(self) -> float:
        """Share of all categories that the sample holds."""
        return (self.limit + 1) / (ALL + 1)

    def below(self, limit: int) -> CategorySample:
        """Return the sample with a lower limit."""
        import numpy as np

        if limit >= self.limit:
            return self
        count = int(np.searchsorted(self.hashes, np.uint64(limit), side="right"))
        return CategorySample(self.hashes[:count], self.counts[:count], limit)


def of(labels: Sequence[str], counts: np.ndarray | Sequence[int]) -> CategorySample:
    """Return the sample of some categories, and of the rows that each has."""
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.stores.tables import digests

    hashes = digests.rows(pa.table({"": pa.array(labels, pa.string())}))
    order = np.argsort(hashes)
    return _cut(CategorySample(hashes[order], np.asarray(counts, np.int64)[order]))


def merge(samples: Iterable[CategorySample]) -> CategorySample:
    """Add up samples: the categories that belong to each of them."""
    import numpy as np

    parts = list(samples)
    limit = min(part.limit for part in parts)
    parts = [part.below(limit) for part in parts]
    hashes, places = np.unique(np.concatenate([part.hashes for part in parts]), return_inverse=True)
    counts = np.zeros(len(hashes), np.int64)
    np.add.at(counts, places, np.concatenate([part.counts for part in parts]))
    return _cut(CategorySample(hashes, counts, limit))


def _cut(sample: CategorySample) -> CategorySample:
    return sample if len(sample.hashes) <= SIZE else sample.below(int(sample.hashes[SIZE - 1]))
