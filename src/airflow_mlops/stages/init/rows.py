"""Rows by what is in them: a digest of each, and rows that cannot be told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.counts import counted
from airflow_mlops.exceptions import BadRows

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

_BYTES = 16
_SHOWN = 3
_BETWEEN, _MISSING = "\x1f", "\x00"


class Repeated(NamedTuple):
    """Rows that have the same values in some columns as another row.

    :param later: places of rows that have the values of an earlier one, in ascending order.
    :param first: place of the first row of that kind, for each of them.
    """

    later: Sequence[int]
    first: Sequence[int]


def digests(table: pa.Table, names: Sequence[str]) -> list[bytes]:
    """Return 128 bits for each row, which depend on nothing but its values in some columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [_text(table[name]) for name in names]
    joined = pc.binary_join_element_wise(*texts, pa.scalar(_BETWEEN, pa.large_string()))
    return [hashlib.blake2b(text.encode(), digest_size=_BYTES).digest() for text in joined.to_pylist()]


def repeated(batches: Iterable[pa.RecordBatch], names: Sequence[str]) -> Repeated:
    """Return the rows that cannot be told apart by some columns; 16 bytes a row are held."""
    import numpy as np
    import pyarrow as pa

    parts = [np.frombuffer(b"".join(digests(pa.table(batch), names)), "u8") for batch in batches]
    halves = np.concatenate(parts).reshape(-1, 2) if parts else np.empty((0, 2), "u8")
    # By digest, and rows of one digest as they stand.
    order = np.lexsort((np.arange(len(halves)), halves[:, 1], halves[:, 0]))
    ordered = halves[order]
    same = (ordered[1:] == ordered[:-1]).all(axis=1)
    again = np.concatenate([[False], same])
    # Where the rows of the same digest begin.
    begin = np.maximum.accumulate(np.where(again, 0, np.arange(len(again))))[: len(order)]
    again = again[: len(order)]
    later, first = order[again], order[begin][again]
    ascending = np.argsort(later)
    return Repeated(later[ascending].tolist(), first[ascending].tolist())


def refuse(twice: Repeated, what: str, places: Callable[[Sequence[int]], list[str]], advice: str) -> None:
    """Refuse rows that cannot be told apart.

    :param what: what is the same in them.
    :param places: says where rows are that have so many rows before them.
    :raises BadRows: with their number, the first of their places, and what to do.
    """
    if not twice.later:
        return
    pairs = list(zip(twice.later[:_SHOWN], twice.first, strict=False))
    rows = sorted({row for pair in pairs for row in pair})
    where = dict(zip(rows, places(rows), strict=True))
    shown = ", ".join(f"{where[later]} repeats {where[first]}" for later, first in pairs)
    more = ", …" if len(twice.later) > _SHOWN else ""
    raise BadRows(
        f"{counted(len(twice.later), 'row has', 'rows have')} {what} of an earlier one: {shown}{more}; {advice}"
    )


def _text(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    try:
        texts = column.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = pa.chunked_array([pa.array(map(repr, column.to_pylist()), pa.large_string())])
    return texts.combine_chunks().fill_null(_MISSING)
