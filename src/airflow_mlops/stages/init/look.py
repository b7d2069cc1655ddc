"""A look at all rows: what each column holds, in memory that does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stages.validate.profiles import Profile
from airflow_mlops.stores.arrow import decoded, times_of

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = 50_000
"""Rows, evenly spaced, that are kept for a closer look."""


@dataclass
class ColumnLook:
    """What a column holds.

    :param kind: its Arrow type.
    :param distinct: number of different values in the sample.
    :param whole: whether all numbers in the sample are whole.
    :param hours: rows by hour, of a column of times; empty for any other.
    :param is_no_time: whether a value is no time.
    """

    name: str
    kind: pa.DataType
    profile: Profile = field(default_factory=Profile)
    distinct: int = 0
    whole: bool = False
    hours: Counter[datetime] = field(default_factory=Counter)
    is_no_time: bool = False

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.profile.rows

    @property
    def missing(self) -> float:
        """Share of rows without a value."""
        return self.profile.missing

    @property
    def is_constant(self) -> bool:
        """Whether all values are the same."""
        if self.profile.values is not None:
            return len(self.profile.values) <= 1
        return self.distinct <= 1 and self.profile.low == self.profile.high

    @property
    def words(self) -> float:
        """Words of a text, on average."""
        return 1 + self.profile.spaces / self.profile.present if self.profile.present else 0.0


@dataclass(frozen=True)
class Look:
    """What rows hold.

    :param sample: evenly spaced rows.
    """

    columns: dict[str, ColumnLook]
    sample: pa.Table
    rows: int


def look(batches: Iterable[pa.RecordBatch], where: str) -> Look:
    """Look at rows.

    :raises SourceUnreadable: if there are none.
    """

    columns: dict[str, ColumnLook] = {}
    sample, rows = _Sample(), 0
    for batch in batches:
        table = plain(batch)
        for name in table.column_names:
            column = columns.setdefault(name, ColumnLook(name, table.schema.field(name).type))
            for chunk in table[name].chunks:
                column.profile.add(chunk)
            _add_hours(column, table[name])
        sample.add(table)
        rows += table.num_rows
    if not rows:
        raise SourceUnreadable(f"{where} has no rows")
    table = sample.table()
    for name, column in columns.items():
        column.distinct = _distinct(table[name])
        column.whole = _is_whole(table[name])
    return Look(columns, table, rows)


def plain(batch: pa.RecordBatch) -> pa.Table:
    """Return rows with categories as their values, and text of any kind as one."""
    import pyarrow as pa
    from pyarrow import types

    columns = [decoded(column) for column in batch.columns]
    for place, column in enumerate(columns):
        if types.is_large_string(column.type) or types.is_string_view(column.type):
            columns[place] = column.cast(pa.string())
    return pa.table(columns, names=batch.schema.names)


def times(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return times in UTC, from times, dates and texts of ISO 8601; None if the column holds others."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    kind = column.type
    if not (types.is_timestamp(kind) or types.is_date(kind) or types.is_string(kind)):
        return None
    try:
        with_offset, without = times_of(column)
        moments = without.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
        return moments if with_offset is None else pc.coalesce(with_offset, moments)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None


def _is_whole(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return bool(pa.types.is_integer(column.type))
    numbers = column.filter(pc.is_finite(column)).drop_null()
    return bool(pc.all(pc.equal(numbers, pc.floor(numbers)), min_count=0).as_py())


def _add_hours(column: ColumnLook, values: pa.ChunkedArray) -> None:
    import pyarrow.compute as pc

    if column.is_no_time or not len(values):
        return
    moments = times(values)
    if moments is None:
        # One text that is no time makes a column of texts.
        column.is_no_time = True
        column.hours.clear()
        return
    for part in pc.value_counts(pc.floor_temporal(moments.drop_null(), unit="hour")).to_pylist():
        column.hours[part["values"]] += part["counts"]


def in_utc(rows: pa.Table, names: Collection[str]) -> pa.Table:
    """Return rows with the times of some columns as tables keep them."""
    for name in names:
        moments = times(rows[name])
        if moments is not None:
            rows = rows.set_column(rows.column_names.index(name), name, moments)
    return rows


def _distinct(column: pa.ChunkedArray) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(column.type) or pa.types.is_null(column.type):
        return 0
    values = column.drop_null()
    if pa.types.is_floating(column.type):
        values = values.filter(pc.invert(pc.is_nan(values)))
    return int(pc.count_distinct(values).as_py())


class _Sample:
    """Every row at first, and every second of them whenever there are too many."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._step, self._next, self._rows = 1, 0, 0

    def add(self, rows: pa.Table) -> None:
        import numpy as np

        places = np.arange(self._next, rows.num_rows, self._step)
        self._next = (self._next - rows.num_rows) % self._step
        self._parts.append(rows.take(places))
        self._rows += len(places)
        if self._rows > 2 * SAMPLE:
            self._thin()

    def _thin(self) -> None:
        import numpy as np

        table = self.table()
        self._parts = [table.take(np.arange(0, table.num_rows, 2))]
        self._next += self._step * (table.num_rows % 2)
        self._step *= 2
        self._rows = self._parts[0].num_rows

    def table(self) -> pa.Table:
        import pyarrow as pa

        return pa.concat_tables(self._parts, promote_options="default").combine_chunks()
