"""Rows in order: those of a journal at one version, of which no more is read than is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.stores.tables import delta

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

JournalRow = dict[str, Any]
AT = "at"
"""The column that rows are in the order of."""


class Match(NamedTuple):
    """What is looked for in a column of text.

    :param texts: one of these; with ``other``, none of these.
    :param lowest: at least this, in the order of texts; None for any.
    :param missing: no text at all.
    """

    name: str
    texts: tuple[str, ...] = ()
    other: bool = False
    lowest: str | None = None
    missing: bool = False

    def mask(self, column: Any) -> Any:
        """Tell of each value whether it is looked for."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.missing:
            return pc.is_null(column)
        if self.lowest is not None:
            return pc.fill_null(pc.greater_equal(column, self.lowest), False)
        has = pc.is_in(column, pa.array(self.texts, pa.string()))
        return pc.invert(has) if self.other else has

    def within(self, least: str, greatest: str) -> bool:
        """Tell whether values between two others may be looked for."""
        if self.missing:
            return False
        if self.lowest is not None:
            return greatest >= self.lowest
        if self.other:
            return not (least == greatest and least in self.texts)
        return any(least <= text <= greatest for text in self.texts)


def counted(first: int, end: int) -> pa.Array:
    """Return the whole numbers from one to before another."""
    import numpy as np
    import pyarrow as pa

    return pa.array(np.arange(first, end, dtype=np.int64))


class OrderedRows:
    """Read a table in the order of its column ``at``: some columns of all rows, then all columns of some rows.

    A row is known by its position in that order.

    :param uri: the table.
    :param table: the table at the version to read; None means that there is none, and no rows.
    :raises TableUnreadable: if a file is damaged or gone; so do the methods.
    """

    def __init__(self, uri: str, table: DeltaTable | None) -> None:
        import pyarrow as pa

        self._uri = uri
        self._schema = pa.schema([] if table is None else table.schema().to_arrow())
        with delta.errors(uri):
            files = delta.filesystem(uri)
            paths = [] if table is None else pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()
            parts = [_File(files, path) for path in paths]
        self._files = sorted((part for part in parts if len(part.at)), key=lambda part: part.at[0].as_py())
        self._starts = [0, *accumulate(len(part.at) for part in self._files)]
        self._order = self._sorted()

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def names(self) -> set[str]:
        """The columns of the table."""
        return set(self._schema.names)

    @property
    def last(self) -> datetime | None:
        """When the last row was recorded; None without rows."""
        return max((part.at[-1].as_py() for part in self._files), default=None)

    @property
    def sizes(self) -> list[int]:
        """How many rows each file has, the oldest first."""
        return [len(part.at) for part in self._files]

    @property
    def in_order(self) -> bool:
        """Whether the files, one after the other, hold the rows in order; a compaction by somebody else may not keep it."""
        return self._order is None

    def find(self, matches: Match) -> pa.Array:
        """Return the positions of the rows of which a column has what is looked for.

        What lies where no such row can be, by the range of the column there, is not read.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        with delta.errors(self._uri):
            places = [part.find(matches) for part in self._files]
        shifted = [
            pc.add(place, start) for place, start in zip(places, self._starts, strict=False) if len(place)
        ]
        stored = pa.concat_arrays([pa.array([], pa.int64()), *shifted])
        if self._order is None:
            return stored
        return pc.indices_nonzero(pc.is_in(self._order, stored)).cast(pa.int64())

    def rows(self, positions: Iterable[int] | None = None) -> list[JournalRow]:
        """Return rows with all their columns, in order.

        :param positions: None means all.
        """
        rows: list[JournalRow] = self.table(positions).to_pylist()
        return rows

    def table(self, positions: Iterable[int] | None = None, names: Sequence[str] | None = None) -> pa.Table:
        """Return rows as a table, in order; what a file lacks is null.

        :param positions: in order; None means all.
        :param names: the columns; None means all.
        """
        import pyarrow as pa

        fields = [
            self._schema.field(name) if name in self.names else (name, pa.string()) for name in names or []
        ]
        schema = self._schema if names is None else pa.schema(fields)
        with delta.errors(self._uri):
            if positions is None:
                table = pa.concat_tables([schema.empty_table(), *(part.read(schema) for part in self._files)])
                return table if self._order is None else table.take(self._order)
            places = (
                list(positions)
                if self._order is None
                else self._order.take(pa.array(positions, pa.int64())).to_pylist()
            )
            by_file: dict[int, list[int]] = {}
            for place in sorted(places):
                index = bisect_right(self._starts, place) - 1
                by_file.setdefault(index, []).append(place - self._starts[index])
            parts = [self._files[index].take(rows, schema) for index, rows in by_file.items()]
        table = pa.concat_tables([schema.empty_table(), *parts])
        if self._order is None:
            return table
        # As they lie in the files, and each where it was asked for.
        ranks = {place: rank for rank, place in enumerate(sorted(places))}
        return table.take(pa.array([ranks[place] for place in places], pa.int64()))

    def _sorted(self) -> pa.Array | None:
        """Return where each row is found in the files; None if these are in order."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._files:
            return None
        moments = pa.concat_arrays([part.at for part in self._files])
        in_order = pc.all(pc.less(moments[:-1], moments[1:]), min_count=0).as_py()
        return None if in_order else pc.sort_indices(moments)


class _File:
    """One file of a table, opened once."""

    def __init__(self, files: Any, path: str) -> None:
        import pyarrow.parquet as pq

        # Without threads and buffers of Arrow's own: they may call a file system of deltalake's, which is written in
        # Python, while the interpreter ends.
        self._file: pq.ParquetFile = pq.ParquetFile(files.open_input_file(path), pre_buffer=False)
        self.at = self._file.read([AT], use_threads=False)[AT].combine_chunks()
        metadata = self._file.metadata
        counts = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._starts = [0, *accumulate(counts)]

    def read(self, schema: pa.Schema) -> pa.Table:
        """Return some columns of every row."""
        return self._shaped(self._file.read(self._names(schema), use_threads=False), schema, len(self.at))

    def find(self, matches: Match) -> pa.Array:
        """Return where rows are that a column of text says to be looked for."""
        import pyarrow as pa

        names = self._file.schema_arrow.names
        if matches.name not in names:
            return counted(0, len(self.at) if matches.other or matches.missing else 0)
        groups = [
            group
            for group in range(len(self._starts) - 1)
            if self._may_have(group, names.index(matches.name), matches)
        ]
        if not groups:
            return pa.array([], pa.int64())
        column = self._file.read_row_groups(groups, [matches.name], use_threads=False)[matches.name]
        rows = pa.concat_arrays([counted(self._starts[group], self._starts[group + 1]) for group in groups])
        return rows.filter(matches.mask(column.combine_chunks()))

    def _may_have(self, group: int, column: int, matches: Match) -> bool:
        statistics = self._file.metadata.row_group(group).column(column).statistics
        if (
            statistics is None
            or not statistics.has_min_max
            or statistics.null_count
            or not statistics.has_null_count
        ):
            return True
        return matches.within(str(statistics.min), str(statistics.max))

    def take(self, rows: Sequence[int], schema: pa.Schema) -> pa.Table:
        """Return some rows, reading the row groups that they are in."""
        groups: dict[int, list[int]] = {}
        for row in rows:
            groups.setdefault(bisect_right(self._starts, row) - 1, []).append(row)
        table = self._file.read_row_groups(list(groups), self._names(schema), use_threads=False)
        indices, before = [], 0
        for group, members in groups.items():
            indices += [row - self._starts[group] + before for row in members]
            before += self._starts[group + 1] - self._starts[group]
        return self._shaped(table.take(indices), schema, len(rows))

    def _names(self, schema: pa.Schema) -> list[str]:
        return [name for name in schema.names if name in self._file.schema_arrow.names]

    def _shaped(self, table: pa.Table, schema: pa.Schema, count: int) -> pa.Table:
        import pyarrow as pa

        columns = [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(count, field.type)
            for field in schema
        ]
        return pa.table(columns, schema=schema)
