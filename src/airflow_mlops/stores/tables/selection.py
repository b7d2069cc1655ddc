"""Selections: rows that are chosen by some of their columns, and read when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from airflow_mlops.stores.tables.ordered import JournalRow, Match, OrderedRows, counted

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
R = TypeVar("R", covariant=True)

# Whoever looks at one row often looks at the next one, too; and each look reads a whole row group.
_BLOCK = 16


class RowSource(Protocol[R]):
    """Where the rows of a selection come from; each has a position in the order of all."""

    def __len__(self) -> int:
        """Return how many rows there are."""

    def find(self, matches: Match) -> pa.Array:
        """Return the positions of the rows that are looked for."""

    def column(self, name: str, positions: pa.Array) -> pa.ChunkedArray:
        """Return a column of text of the rows at some positions."""

    def read(self, positions: list[int]) -> Sequence[R]:
        """Return the rows at some positions."""


class Selection(Sequence[T], Generic[T]):
    """Some rows, in order.

    :param positions: which rows these are; None means all.
    :param rows: rows that were read before, by their position.
    """

    def __init__(
        self, source: RowSource[T], positions: pa.Array | None = None, rows: dict[int, T] | None = None
    ) -> None:
        self._source = source
        self._whole = positions is None
        self._positions = counted(0, len(source)) if positions is None else positions
        self._rows: dict[int, T] = {} if rows is None else rows

    @classmethod
    def stored(cls, stored: OrderedRows, decode: Callable[[JournalRow], T]) -> Selection[T]:
        """Return every row of a journal."""
        return cls(_Stored(stored, decode))

    @classmethod
    def of(cls, rows: Sequence[T]) -> Selection[T]:
        """Return rows that were read before."""
        return cls(_Listed(rows))

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column of text of these rows."""
        return self._source.column(name, self._positions)

    def texts(self, name: str) -> list[str]:
        """Return what a column of these rows says, without those that say nothing."""
        texts: list[str] = self.column(name).drop_null().to_pylist()
        return texts

    def has(self, name: str, *texts: str) -> Any:
        """Tell of each row whether its column has one of some texts."""
        return Match(name, tuple(map(str, texts))).mask(self.column(name))

    def having(self, name: str, *texts: str) -> Selection[T]:
        """Return the rows whose column has one of some texts."""
        return self._where(Match(name, tuple(map(str, texts))))

    def without(self, name: str, *texts: str) -> Selection[T]:
        """Return the rows whose column has none of some texts."""
        return self._where(Match(name, tuple(map(str, texts)), other=True))

    def from_on(self, name: str, lowest: str) -> Selection[T]:
        """Return the rows whose column has a text, or one after it in the order of texts."""
        return self._where(Match(name, lowest=lowest))

    def before(self, name: str, text: str) -> Selection[T]:
        """Return the rows whose column has a text before another, in the order of texts."""
        import pyarrow.compute as pc

        return self.where(pc.less(self.column(name), text))

    def lacks(self, name: str) -> bool:
        """Tell whether a row has nothing in a column."""
        return len(self._where(Match(name, missing=True))) > 0

    def where(self, mask: Any) -> Selection[T]:
        """Return the rows for which an array of truth values holds."""
        return self._chosen(self._positions.filter(mask))

    def since(self, other: Selection[T]) -> Selection[T]:
        """Return the rows after the last one of another selection from the same source."""
        import pyarrow.compute as pc

        return self.where(pc.greater(self._positions, other._positions[-1]))

    def tail(self, count: int) -> Selection[T]:
        """Return the last rows."""
        return self._chosen(self._positions[-count:])

    def last_of_each(self, name: str) -> Selection[T]:
        """Return the last row of each text of a column."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.table({"text": self.column(name), "position": self._positions})
        last = table.group_by("text").aggregate([("position", "max")])["position_max"].combine_chunks()
        return self._chosen(last.take(pc.sort_indices(last)))

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return self._read(range(len(self))[index])
        place = range(len(self))[index]
        position = self._positions[place].as_py()
        if position not in self._rows:
            first = place - place % _BLOCK
            self._read(range(first, min(first + _BLOCK, len(self))))
        return self._rows[position]

    def __iter__(self) -> Iterator[T]:
        return iter(self._read(range(len(self))))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))

    def _where(self, matches: Match) -> Selection[T]:
        if self._whole:
            return self._chosen(self._source.find(matches))
        return self.where(matches.mask(self.column(matches.name)))

    def _chosen(self, positions: pa.Array) -> Selection[T]:
        return Selection(self._source, positions, self._rows)

    def _read(self, places: range) -> list[T]:
        import pyarrow as pa

        positions: list[int] = self._positions.take(pa.array(places, pa.int64())).to_pylist()
        missing = sorted({position for position in positions if position not in self._rows})
        if missing:
            self._rows.update(zip(missing, self._source.read(missing), strict=True))
        return [self._rows[position] for position in positions]


class _Stored(Generic[T]):
    """Rows of a journal."""

    def __init__(self, stored: OrderedRows, decode: Callable[[JournalRow], T]) -> None:
        self._stored = stored
        self._decode = decode

    def __len__(self) -> int:
        return len(self._stored)

    def find(self, matches: Match) -> pa.Array:
        return self._stored.find(matches)

    def column(self, name: str, positions: pa.Array) -> pa.ChunkedArray:
        places = None if len(positions) == len(self) else positions.to_pylist()
        return self._stored.table(places, [name])[name]

    def read(self, positions: list[int]) -> list[T]:
        return [self._decode(row) for row in self._stored.rows(positions)]


class _Listed(Generic[T]):
    """Rows in memory."""

    def __init__(self, rows: Sequence[T]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, matches: Match) -> pa.Array:
        everything = counted(0, len(self))
        return everything.filter(matches.mask(self.column(matches.name, everything)))

    def column(self, name: str, positions: pa.Array) -> pa.ChunkedArray:
        import pyarrow as pa

        texts = [getattr(self._rows[position], name) for position in positions.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])

    def read(self, positions: list[int]) -> list[T]:
        return [self._rows[position] for position in positions]
