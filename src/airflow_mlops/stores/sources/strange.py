"""Values of CSV that are not what a column is said to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.stores.sources import quotes
from airflow_mlops.stores.sources.bytes import File

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 3
"""Values that a message shows."""
_LONGEST = 40


class Strange:
    """The first values of a column that are not what it is said to hold, and how many there are.

    :ivar count: how many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._first: list[tuple[int, str]] = []

    def add(self, column: pa.StringArray, read: pa.Array, before: int) -> None:
        """Add the values of a batch that could not be read.

        :param read: what was read; null where a value could not be.
        :param before: rows before the batch.
        """
        import pyarrow.compute as pc

        self.count += read.null_count - column.null_count
        if len(self._first) < SHOWN and read.null_count > column.null_count:
            places = pc.indices_nonzero(pc.and_(pc.is_valid(column), pc.is_null(read))).to_pylist()
            places = places[: SHOWN - len(self._first)]
            self._first += [(before + place, column[place].as_py()) for place in places]

    def describe(self, file: File) -> str:
        """Return the number of values, and the first ones with their lines."""
        lines = quotes.lines_of(file, [place for place, _ in self._first])
        shown = [
            f"{value[:_LONGEST]!r} (line {line:,})"
            for (_, value), line in zip(self._first, lines, strict=True)
        ]
        more = ", …" if self.count > len(shown) else ""
        return f"{self.count:,} value{'s' * (self.count > 1)} ({', '.join(shown)}{more})"
