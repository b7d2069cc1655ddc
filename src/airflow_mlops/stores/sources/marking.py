"""CSV and JSON lines whose columns hold cells that cannot be read as their type: these are set apart from the values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.arrow import arrow_type
from airflow_mlops.stores.sources import csv, json, quotes
from airflow_mlops.stores.sources.bytes import File
from airflow_mlops.stores.sources.unreadable import (
    COLUMN,
    Cell,
    Tally,
    is_legible,
    is_number,
    is_text,
    marked,
    misfits,
    taken,
    trimmed,
    without,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Survey:
    """What a look at all cells of a file has shown.

    :param schema: its columns, each with a type that holds all values that can be read.
    :param expected: the type of each column that holds what cannot be read as such.
    :param places: CSV alone: how many rows are before each of these cells, by column, in ascending order.
    :param lines: CSV alone: the line of each row with such a cell.
    """

    file: File
    schema: pa.Schema
    expected: Mapping[str, pa.DataType] = field(default_factory=dict)
    places: Mapping[str, np.ndarray] = field(default_factory=dict)
    lines: Mapping[int, int] = field(default_factory=dict)

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows; those with a cell that cannot be read have it in the column that ``unreadable`` adds.

        :param schema: the columns in types that hold their values, which other files may have widened.
        """
        if not self.expected:
            yield from (csv if self.file.format == "csv" else json).batches(self.file, schema)
        elif self.file.format == "csv":
            yield from self._of_csv(schema)
        else:
            yield from self._of_json(schema)

    def refuse(self) -> None:
        """Refuse a file that has cells which cannot be read.

        :raises SourceUnreadable: if there are any; the message has the first of each column, with their lines.
        """
        import pyarrow as pa

        if not self.expected:
            return
        tally = Tally()
        for batch in self.batches(self.schema):
            tally.add(*taken(pa.Table.from_batches([batch])))
        if tally.counts:
            raise SourceUnreadable(
                f"{self.file.name}: {'; '.join(map(tally.sentence, tally.counts))}; correct them, or read the column as "
                "text (types: string)"
            )

    def _of_csv(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import numpy as np

        start = 0
        for batch in csv.batches(self.file, _as_text(schema, self.expected)):
            cells: dict[int, list[Cell]] = {}
            for name in self.expected:
                first, last = np.searchsorted(self.places[name], [start, start + batch.num_rows])
                rows = (self.places[name][first:last] - start).tolist()
                lines = {row: self.lines[start + row] for row in rows}
                column = csv.without_nulls(self.file, batch.column(name))
                batch = self._read(batch, name, column, schema.field(name).type, rows, lines, cells)
            start += batch.num_rows
            yield marked(batch, cells)

    def _of_json(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for line, block in json.blocks(self.file):
            lines = [line + place for place, text in enumerate(block.split(b"\n")) if text.strip()]
            start = 0
            for batch in json.parsed(self.file, line, block, _as_text(schema, self.expected), self.expected):
                cells: dict[int, list[Cell]] = {}
                here = dict(enumerate(lines[start : start + batch.num_rows]))
                for name, kind in self.expected.items():
                    column = batch.column(name)
                    rows = misfits(column, kind)
                    batch = self._read(batch, name, column, schema.field(name).type, rows, here, cells)
                start += batch.num_rows
                yield marked(batch, cells)

    def _read(
        self,
        batch: pa.RecordBatch,
        name: str,
        column: pa.Array,
        kind: pa.DataType,
        rows: list[int],
        lines: Mapping[int, int],
        cells: dict[int, list[Cell]],
    ) -> pa.RecordBatch:
        import pyarrow as pa

        for row in rows:
            place = f"line {lines[row]:,} of {self.file.name.rpartition('/')[2]}"
            cells.setdefault(row, []).append(Cell(name, column[row].as_py(), str(self.expected[name]), place))
        rest = without(column, rows)
        try:
            values = rest if is_text(kind) else _plain(self.file, name, rest, kind).cast(kind)
        except pa.ArrowInvalid as error:
            raise SourceUnreadable(f"{self.file.name}: {name!r} cannot be read: {error}") from error
        return batch.set_column(batch.schema.get_field_index(name), pa.field(name, kind), values)


def survey(file: File, types: Mapping[str, str], expected: Mapping[str, str] | None) -> Survey:
    """Look at all cells of a file of CSV or JSON lines.

    :param types: types that columns are read as where all of their values allow.
    :param expected: types that columns must have, besides those that the layout of the file names; None refuses a file
        with cells that cannot be read.
    :raises SourceUnreadable: if the file cannot be read, or has a column that is ours.
    """
    texts = {**(expected or {}), **file.layout.types}
    kinds = {name: arrow_type(text) for name, text in texts.items()} | file.layout.notation.kinds
    legible = {name: kind for name, kind in kinds.items() if kind is not None and is_legible(kind)}
    if file.format == "csv":
        looked = _csv(file, types, legible, lenient=expected is not None)
    else:
        looked = _json(file, types, legible)
    if expected is None:
        looked.refuse()
    if looked.expected and COLUMN in looked.schema.names:
        raise SourceUnreadable(f"{file.name} has {COLUMN!r}, which our tables add; rename it")
    return looked


def _csv(file: File, types: Mapping[str, str], legible: Mapping[str, pa.DataType], lenient: bool) -> Survey:
    import numpy as np
    import pyarrow.compute as pc

    schema = csv.find(file, types, lenient=lenient)
    doubtful = _doubtful(schema, legible)
    if not doubtful:
        return Survey(file, schema)
    kinds = _beginnings(doubtful)
    places: dict[str, list[np.ndarray]] = {name: [] for name in doubtful}
    start = 0
    for batch in csv.batches(file, schema):
        for name, kind in doubtful.items():
            column = csv.without_nulls(file, batch.column(name))
            plain = _plain(file, name, column, kind)
            strange = pc.indices_nonzero(pc.and_(pc.is_valid(column), pc.is_null(plain))).to_pylist()
            rows = sorted({*strange, *misfits(plain, kind)})
            places[name].append(np.array(rows, np.int64) + start)
            kinds[name] = csv.holding(without(plain, rows), kinds[name], is_number(kind))
        start += batch.num_rows
    joined = {
        name: np.concatenate(parts) if parts else np.empty(0, np.int64) for name, parts in places.items()
    }
    all_places = np.unique(np.concatenate(list(joined.values()))).tolist()
    lines = dict(zip(all_places, quotes.lines_of(file, all_places), strict=True)) if all_places else {}
    return Survey(file, _settled(schema, kinds, doubtful, file), doubtful, joined, lines)


def _json(file: File, types: Mapping[str, str], legible: Mapping[str, pa.DataType]) -> Survey:
    try:
        schema = json.find(file, types)
        doubtful = _doubtful(schema, legible)
    except SourceUnreadable:
        # A key has values of several kinds: which it is, is seen when all of them are read as text.
        doubtful = dict(legible)
        if not doubtful:
            raise
        schema = json.find(file, types, doubtful)
        doubtful = _doubtful(schema, legible)
    if not doubtful:
        return Survey(file, schema)
    kinds = _beginnings(doubtful)
    texts = _as_text(schema, doubtful)
    for line, block in json.blocks(file):
        for batch in json.parsed(file, line, block, texts, doubtful):
            for name, kind in doubtful.items():
                column = batch.column(name)
                rest = without(column, misfits(column, kind))
                kinds[name] = csv.holding(rest, kinds[name], is_number(kind))
    return Survey(file, _settled(schema, kinds, doubtful, file), doubtful)


def _doubtful(schema: pa.Schema, legible: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Return the columns that are text, and should be something else."""
    return {
        field.name: legible[field.name] for field in schema if field.name in legible and is_text(field.type)
    }


def _beginnings(doubtful: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    import pyarrow as pa
    from pyarrow import types

    # Times are written in different ways, and published as one type.
    return {
        name: pa.null() if types.is_timestamp(kind) or types.is_date(kind) else kind
        for name, kind in doubtful.items()
    }


def _settled(
    schema: pa.Schema, kinds: Mapping[str, pa.DataType], doubtful: Mapping[str, pa.DataType], file: File
) -> pa.Schema:
    import pyarrow as pa

    fields = []
    for column in schema:
        kind = kinds.get(column.name, column.type)
        if pa.types.is_null(kind) and column.name in doubtful:
            kind = doubtful[column.name]
        declared = file.layout.types.get(column.name)
        if column.name in doubtful and declared and kind != arrow_type(declared):
            raise SourceUnreadable(
                f"{file.name}: {column.name!r} holds values that are no {declared}, as types says"
            )
        fields.append(pa.field(column.name, kind))
    return pa.schema(fields)


def _plain(file: File, name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return texts as Arrow reads them; null where one is not of the notation of its file."""
    notation = file.layout.notation
    if name in notation.kinds or (is_number(kind) and not notation.is_plain):
        return notation.plain(name, column)
    return trimmed(column)


def _as_text(schema: pa.Schema, names: Mapping[str, pa.DataType]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [pa.field(column.name, pa.string() if column.name in names else column.type) for column in schema]
    )
