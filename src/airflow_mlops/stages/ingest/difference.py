"""Difference between two versions of a partition, counted in rows that their keys identify."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import Difference
from airflow_mlops.stores.tables import digests

if TYPE_CHECKING:
    import pyarrow as pa


def difference(
    before: Iterable[pa.RecordBatch], after: Iterable[pa.RecordBatch], key: Sequence[str], count: int
) -> Difference:
    """Count the rows that a new version adds, removes and changes; each version is read once.

    Memory holds 16 bytes for each row of the former version.

    :param before: all columns of the former version; ``count`` rows.
    :param after: all columns of the new one.
    """
    import numpy as np

    keys, contents = np.empty(count, np.uint64), np.empty(count, np.uint64)
    end = 0
    for batch in before:
        start, end = end, end + batch.num_rows
        keys[start:end] = digests.rows(batch.select(list(key)))
        contents[start:end] = digests.rows(batch)
    order = np.argsort(keys)
    keys = keys[order]
    contents = contents[order]
    del order
    rows = common = changed = 0
    for batch in after:
        rows += batch.num_rows
        new_keys = digests.rows(batch.select(list(key)))
        # Sorted, because neighbouring keys are then looked up in the same part of the processor's cache.
        order = np.argsort(new_keys)
        new_keys = new_keys[order]
        place = np.searchsorted(keys, new_keys)
        order, new_keys, place = (array[place < count] for array in (order, new_keys, place))
        matches = keys[place] == new_keys
        common += int(matches.sum())
        changed += int((matches & (contents[place] != digests.rows(batch)[order])).sum())
    return Difference(added=rows - common, removed=count - common, changed=changed)
