"""Promises that every partition of a dataset keeps: unique keys, and event times within the partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.offsets import local, zone_of
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import BadRows, SchemaMismatch
from airflow_mlops.stores.arrow import count_missing, is_beyond_years
from airflow_mlops.stores.tables.digests import Numbers, rows

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pyarrow as pa

_LOOK_AT = 1000
_INEXACT = 2**53


class Keys:
    """Check that keys, which come batch by batch, are complete and unique; 8 bytes a row are kept."""

    def __init__(self, key: Sequence[str], where: str) -> None:
        self._key = list(key)
        self._where = where
        self._digests = Numbers()
        self._nulls = dict.fromkeys(key, 0)

    def add(self, batch: pa.Table) -> None:
        """Add the keys of a batch.

        :raises SchemaMismatch: if a key is a list or has parts.
        :raises BadRows: if a key is a floating-point number too large to be exact.
        """
        import pyarrow as pa

        for name in self._key:
            if pa.types.is_nested(batch[name].type):
                raise SchemaMismatch(
                    f"{self._where}: {name!r}, which is part of the key, is {batch[name].type}: a key is text, a number "
                    "or a time; make a column of each part, or text of it, in the source"
                )
        self._digests.add(rows(batch.select(self._key)))
        for name in self._key:
            self._nulls[name] += count_missing(batch[name])
            self._refuse_inexact(name, batch[name])

    def _refuse_inexact(self, name: str, column: pa.ChunkedArray) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not pa.types.is_floating(column.type):
            return
        most = pc.max(pc.abs(column)).as_py()
        if most is not None and most >= _INEXACT:
            raise BadRows(
                f"{self._where}: {name!r}, which is part of the key, is {column.type} with values of 2^53 "
                f"or more, where different whole numbers become the same: read it as text (types: {{{name}: string}}; in a "
                "query, cast it to text)"
            )

    def check(self, again: Callable[[Sequence[str]], Iterable[pa.RecordBatch]]) -> None:
        """Check the keys of all rows that were added.

        :param again: reads the named columns of all rows once more. Different keys may have the same digest,
            so keys whose digests repeat are compared themselves.
        :raises BadRows: if a key lacks a part, or occurs twice.
        """
        for name, nulls in self._nulls.items():
            if nulls:
                raise BadRows(
                    f"{self._where}: {counted(nulls, 'row has', 'rows have')} no {name!r}, which is part of the key"
                )
        key_digests = self._digests.sorted()
        repeated = key_digests[1:][key_digests[1:] == key_digests[:-1]]
        if len(repeated):
            self._look_again(repeated, again)

    def _look_again(
        self, repeated: np.ndarray, again: Callable[[Sequence[str]], Iterable[pa.RecordBatch]]
    ) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        distinct = np.unique(repeated)
        few = distinct[:_LOOK_AT]
        suspects = [pa.table(batch).filter(pa.array(np.isin(rows(batch), few))) for batch in again(self._key)]
        counts = pa.concat_tables(suspects).group_by(self._key).aggregate([([], "count_all")])
        twice = counts.filter(pc.greater(counts["count_all"], 1))
        if twice.num_rows:
            count = twice.num_rows if len(distinct) <= _LOOK_AT else len(distinct)
            # No example: a key may be personal, and this ends up in the log.
            keys = counted(count, "key")
            verb = "stands" if count == 1 else "stand"
            raise BadRows(f"{self._where}: {keys} ({', '.join(self._key)}) {verb} more than once")


def refuse_odd_times(batch: pa.Table, where: str) -> None:
    """Refuse times that no calendar has, and that nothing could write down later.

    :raises BadRows: naming their columns.
    """
    if beyond := [name for name in batch.column_names if is_beyond_years(batch[name])]:
        raise BadRows(
            f"{where}: {', '.join(map(repr, beyond))} has times before year 1 or after 9999: correct them, or make them "
            "null, in the source"
        )


class Times:
    """Check that every row has an event time, and that it lies within the partition."""

    def __init__(self, event_time: str, partition: Partition, where: str) -> None:
        self._name = event_time
        self._partition = partition
        self._where = where
        self._nulls = 0
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, batch: pa.Table) -> None:
        """Add the event times of a batch."""
        import pyarrow.compute as pc

        column = batch[self._name]
        self._nulls += column.null_count
        span = pc.min_max(column).as_py()
        if span["min"] is not None:
            self._first = min(self._first or span["min"], span["min"])
            self._last = max(self._last or span["max"], span["max"])

    def check(self) -> None:
        """Check the event times of all rows that were added.

        :raises BadRows: if one is missing, or lies outside of the partition.
        """
        if self._nulls:
            raise BadRows(f"{self._where}: {counted(self._nulls, 'row has', 'rows have')} no {self._name!r}")
        first, last, start, end = self._first, self._last, self._partition.start, self._partition.end
        if first is not None and last is not None and (first < start or last >= end):
            zone = zone_of(self._partition.grain.timezone)
            shown = [f"{local(moment, zone):%Y-%m-%d %H:%M}" for moment in (first, last, start, end)]
            raise BadRows(
                f"{self._where}: {self._name!r} runs from {shown[0]} to {shown[1]}, outside of {shown[2]} to {shown[3]} "
                f"({zone})"
            )
