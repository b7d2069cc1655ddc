"""Columns of a database whose values are of several kinds, such as text among numbers: told, or read as one type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.arrow import arrow_type, is_beyond_exact, wider
from airflow_mlops.stores.sources import csv
from airflow_mlops.stores.sources.batches import cast
from airflow_mlops.stores.sources.unreadable import (
    SHOWN,
    Cell,
    is_legible,
    is_number,
    is_text,
    marked,
    misfits,
    quoted,
    trimmed,
    without,
)

if TYPE_CHECKING:
    import pyarrow as pa

_FAMILIES = {"bool": "truth values", "int": "numbers", "float": "numbers", "Decimal": "numbers"}
_FAMILIES |= {"timedelta": "numbers", "datetime": "times", "date": "times"}
_FAMILIES |= {"bytes": "bytes", "memoryview": "bytes", "bytearray": "bytes"}
"""What values are, by the name of their type in Python; those of any other type become text."""


class SeveralKinds(SourceUnreadable):
    """Columns hold values of several kinds, which the message shows."""

    kinds: Kinds

    def masked(self, names: Collection[str]) -> SourceUnreadable:
        """Return the error without the values of some columns."""
        return SourceUnreadable(self.kinds.sentence(names))


def masking(batches: Iterable[pa.RecordBatch], pii: Collection[str]) -> Iterator[pa.RecordBatch]:
    """Yield batches; an error about values of several kinds shows none of some columns.

    :raises SourceUnreadable: if there are such values.
    """
    try:
        yield from batches
    except SeveralKinds as error:
        raise error.masked(pii) from None


class Kinds:
    """Count the kinds of values that the columns of a query have, chunk by chunk, and read columns of several kinds.

    :param expected: Arrow type that columns must have. One of several kinds is read as that type: numbers that are text
        are numbers, and a cell that is none is marked, as in a file of CSV.
    :param where: the name of the query in messages.
    """

    def __init__(self, expected: Mapping[str, str], where: str) -> None:
        kinds = {name: arrow_type(text) for name, text in expected.items()}
        self._expected = {
            name: kind
            for name, kind in kinds.items()
            if kind is not None and (is_legible(kind) or is_text(kind))
        }
        self._where = where
        self._rows = self._read = 0
        self._counts: dict[str, Counter[str]] = {}
        self._first: dict[str, dict[str, list[tuple[int, Any]]]] = {}
        self._types: dict[str, pa.DataType] = {}

    def add(self, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> list[str]:
        """Count the values of a chunk, and return the columns in which they are of several kinds."""
        several = []
        for name, values in zip(names, columns, strict=True):
            counts = Counter(map(type, values))
            counts.pop(type(None), None)
            total = self._counts.setdefault(name, Counter())
            first = self._first.setdefault(name, {})
            for kind, count in counts.items():
                total[kind.__name__] += count
                shown = first.setdefault(kind.__name__, [])
                if len(shown) < SHOWN:
                    places = (place for place, value in enumerate(values) if type(value) is kind)
                    shown += [
                        (self._rows + place, values[place])
                        for place, _ in zip(places, range(SHOWN - len(shown)), strict=False)
                    ]
            if len(_families(kind.__name__ for kind in counts)) > 1:
                several.append(name)
        self._rows += len(columns[0]) if columns else 0
        return several

    def look(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Look at the types of a chunk, for columns of which a later chunk may have values of another kind."""
        for column, field in zip(batch.columns, batch.schema, strict=True):
            kind = self._expected.get(field.name)
            if kind is None or not is_number(kind):
                continue
            former = self._types.get(field.name, kind)
            if is_text(field.type):
                rest = without(column, misfits(column, kind))
                self._types[field.name] = csv.holding(trimmed(rest), former, is_number=True)
            else:
                self._types[field.name] = wider(former, field.type) or former
        return batch

    def check(self) -> None:
        """Check the values of all chunks.

        :raises SeveralKinds: if a column has several kinds of them, and is not expected to be of a type that they can be
            read as.
        """
        if text := self.sentence():
            error = SeveralKinds(text)
            error.kinds = self
            raise error

    def sentence(self, masked: Collection[str] = ()) -> str:
        """Say which columns have values of several kinds that cannot be read, and what to do; nothing if none has.

        :param masked: columns whose values are not shown.
        """
        wrong = [name for name in self._several() if not self._is_readable(name)]
        if not wrong:
            return ""
        contents = "; ".join(f"{name!r} holds {self._told(name, masked=name in masked)}" for name in wrong)
        name = wrong[0]
        return (
            f"{self._where}: {contents}: values of several kinds make no one type. Correct them; or, if {name!r} is text, write "
            f"cast({name} as text) as {name} in the query; or, if it is a number and there is no transform, list it under "
            "features.numeric: then numbers that are text are read, and rows with any other text can be set aside "
            "(on_unreadable: quarantine)"
        )

    def planned(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema of a chunk in which columns of several kinds have the type that holds all of their values."""
        import pyarrow as pa

        types = {name: self._type(name) for name in self._several()}
        return pa.schema([pa.field(field.name, types.get(field.name, field.type)) for field in schema])

    def read(self, batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
        """Return a chunk in a schema, with the cells that cannot be read marked."""
        import pyarrow as pa

        cells: dict[int, list[Cell]] = {}
        for name in self._several():
            column, kind, expected = batch.column(name), self._type(name), self._expected[name]
            if not is_text(column.type) and not (is_number(column.type) and is_number(kind)):
                column = as_text(column.to_pylist())
            if is_text(column.type) and not is_text(expected):
                rows = misfits(column, expected)
                for row in rows:
                    place = f"row {self._read + row + 1:,}"
                    cells.setdefault(row, []).append(Cell(name, column[row].as_py(), str(expected), place))
                column = without(column, rows)
                if not is_text(kind):
                    column = self._cast(name, trimmed(column), kind)
            batch = batch.set_column(batch.schema.get_field_index(name), pa.field(name, column.type), column)
        self._read += batch.num_rows
        return marked(cast(batch, schema, where), cells)

    def _several(self) -> list[str]:
        return [name for name, counts in self._counts.items() if len(_families(counts)) > 1]

    def _is_readable(self, name: str) -> bool:
        families = _families(self._counts[name])
        if name not in self._expected or "times" in families:
            return False
        return "bytes" not in families or not is_text(self._expected[name])

    def _type(self, name: str) -> pa.DataType:
        """Return the type of a column of several kinds; times stay text, since their time zone is seen to elsewhere."""
        import pyarrow as pa

        expected = self._expected[name]
        if pa.types.is_temporal(expected):
            return pa.string()
        return self._types.get(name, expected)

    def _cast(self, name: str, texts: pa.Array, kind: pa.DataType) -> pa.Array:
        import pyarrow as pa

        values = texts.cast(kind)
        if pa.types.is_floating(kind) and is_beyond_exact(values):
            for row, (text, value) in enumerate(zip(texts.to_pylist(), values.to_pylist(), strict=True)):
                if text is not None and text.lstrip("+-").isdigit() and int(text) != int(value):
                    raise SourceUnreadable(
                        f"{self._where}: row {self._read + row + 1:,}: {name!r} holds a whole number of more digits than the "
                        f"fractions beside it keep; write cast({name} as text) as {name} in the query"
                    )
        return values

    def _told(self, name: str, *, masked: bool) -> str:
        parts = []
        for kind, count in self._counts[name].items():
            shown = [
                f"row {row + 1:,}" if masked else f"{quoted(_text(value))} (row {row + 1:,})"
                for row, value in self._first[name][kind]
            ]
            parts.append(f"{count:,} {kind}: {', '.join(shown)}{', …' if count > len(shown) else ''}")
        return ", and ".join(parts)


def as_text(values: Sequence[Any]) -> pa.Array:
    """Return values of several kinds as text, which is read once all of them are there."""
    import pyarrow as pa

    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _families(kinds: Iterable[str]) -> set[str]:
    return {_FAMILIES.get(kind, "text") for kind in kinds}


def _text(value: Any) -> str:
    """Return a value as people and SQL write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes | memoryview | bytearray):
        return f"x'{bytes(value).hex()}'"
    return str(value)
