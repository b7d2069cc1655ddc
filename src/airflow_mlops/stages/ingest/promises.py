"""What every partition of a dataset promises: keys that are there once, and event times within it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import BadRows
from airflow_mlops.stores.tables.digests import Numbers, rows

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pyarrow as pa

_LOOK_AT = 1000
_INEXACT = 2**53


class Keys:
    """See that the keys of rows that come batch by batch are there, and unique; it keeps 8 bytes a row."""

    def __init__(self, key: Sequence[str], where: str) -> None:
        self._key = list(key)
        self._where = where
        self._digests = Numbers()
        self._nulls = dict.fromkeys(key, 0)

    def add(self, batch: pa.Table) -> None:
        """Take in some rows.

        :raises BadRows: if a key is a number too large to be exact.
        """
        self._digests.add(rows(batch.select(self._key)))
        for name in self._key:
            self._nulls[name] += batch[name].null_count
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
        """Check all of them.

        :param again: reads some columns of all rows once more. Different keys may have the same digest, so those that
            seem to repeat are compared as they are.
        :raises BadRows: if a key lacks a part, or stands twice.
        """
        for name, nulls in self._nulls.items():
            if nulls:
                raise BadRows(f"{self._where}: {nulls:,} rows have no {name!r}, which is part of the key")
        values = self._digests.sorted()
        repeated = values[1:][values[1:] == values[:-1]]
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
        found = [pa.table(batch).filter(pa.array(np.isin(rows(batch), few))) for batch in again(self._key)]
        counts = pa.concat_tables(found).group_by(self._key).aggregate([([], "count_all")])
        twice = counts.filter(pc.greater(counts["count_all"], 1))
        if twice.num_rows:
            count = twice.num_rows if len(distinct) <= _LOOK_AT else len(distinct)
            # No example: a key may be personal, and this ends up in the log.
            raise BadRows(f"{self._where}: {count:,} keys ({', '.join(self._key)}) stand more than once")


class Times:
    """See that event times are there, and within their partition."""

    def __init__(self, event_time: str, partition: Partition, where: str) -> None:
        self._name = event_time
        self._partition = partition
        self._where = where
        self._nulls = 0
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, batch: pa.Table) -> None:
        """Take in some rows.

        :raises BadRows: if a time is none that Python knows.
        """
        import pyarrow.compute as pc

        column = batch[self._name]
        self._nulls += column.null_count
        try:
            span = pc.min_max(column).as_py()
        except (OverflowError, ValueError) as error:
            raise BadRows(
                f"{self._where}: {self._name!r} has times before year 1 or after 9999: {error}"
            ) from error
        if span["min"] is not None:
            self._first = min(self._first or span["min"], span["min"])
            self._last = max(self._last or span["max"], span["max"])

    def check(self) -> None:
        """Check all of them.

        :raises BadRows: if one is missing, or lies outside of the partition.
        """
        if self._nulls:
            raise BadRows(f"{self._where}: {self._nulls:,} rows have no {self._name!r}")
        first, last, start, end = self._first, self._last, self._partition.start, self._partition.end
        if first is not None and last is not None and (first < start or last >= end):
            raise BadRows(
                f"{self._where}: {self._name!r} runs from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}, "
                f"outside of {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} (UTC)"
            )
