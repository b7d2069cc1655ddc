"""Files of partitions that are written from rows, batch by batch; the rows where they are stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.calendars import Calendar, Grain
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import BadRows, SettingRefused
from airflow_mlops.stages.init import rows as row_digests
from airflow_mlops.stages.init.look import in_utc, plain
from airflow_mlops.stages.init.partition_profiles import PartitionProfiles
from airflow_mlops.stages.init.plan import Plan
from airflow_mlops.stores import disks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MOST = 500
"""Partitions that are written at a time, each to a file of its own."""
_WAITING = 500_000
"""Rows that wait to be written."""
_SPREAD = 1_000_000
"""Microseconds that rows without a time are spread over, in random order."""


def write(plan: Plan, folder: Path, leave_out: Sequence[int] = ()) -> PartitionProfiles:
    """Write the rows of a plan as a Parquet file for each partition, and return what is in them.

    :param leave_out: places of rows that are not written, in ascending order.
    :raises SettingRefused: if there would be more than :data:`MOST` files.
    :raises BadRows: if rows have no time.
    :raises StoreUnavailable: if the disk is full or read-only.
    """
    profiles, files = PartitionProfiles(plan.types, plan.data.name), _Files(folder)
    dates = plan.roles.named("dates")
    try:
        with disks.errors(str(folder)):
            for key, table in _rows(plan, leave_out):
                for part_key, part in _parts(plan, key, in_utc(table, [plan.event_time, *dates])):
                    profiles.add(part_key, part)
                    files.add(part_key, part)
            files.flush()
    finally:
        files.close()
    profiles.finish()
    return profiles


def _rows(plan: Plan, leave_out: Sequence[int]) -> Iterator[tuple[str | None, pa.Table]]:
    """Yield the rows with the columns that are added to them, and the partition that the name of their file holds."""
    import numpy as np

    left, before = np.asarray(leave_out, np.int64), 0
    for key, batch in _batches(plan):
        first, end = np.searchsorted(left, [before, before + batch.num_rows])
        keep = np.ones(batch.num_rows, bool)
        keep[left[first:end] - before] = False
        before += batch.num_rows
        table = _with_added(plan, key, batch)
        yield key, table if keep.all() else table.filter(keep)


def _batches(plan: Plan) -> Iterator[tuple[str | None, pa.RecordBatch]]:
    named = plan.data.named
    if named is None:
        for batch in plan.data.read():
            yield None, batch
        return
    for key in dict.fromkeys(named.keys):
        for batch in plan.data.rows_of(key):
            yield key, batch


def _with_added(plan: Plan, key: str | None, batch: pa.RecordBatch) -> pa.Table:
    import pyarrow as pa

    table = plain(batch)
    has_digest = plan.key[0] in plan.added
    names = plan.digested if has_digest else list(plan.key)
    digests = row_digests.digests(table, names) if has_digest or plan.answers.as_of else []
    if has_digest:
        table = table.append_column(plan.key[0], pa.array([digest.hex() for digest in digests], pa.string()))
    if plan.event_time in plan.added:
        table = table.append_column(plan.event_time, _times(plan, key, table.num_rows, digests))
    return table


def _times(plan: Plan, key: str | None, count: int, digests: Sequence[bytes]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    if plan.answers.as_of is None:
        assert plan.data.named is not None
        assert key is not None
        start = Partition.parse(key, plan.data.named.grain.value).start
        offsets = np.zeros(count, np.int64)
    else:
        start = plan.answers.as_of
        offsets = np.array([int.from_bytes(digest[:8], "big") % _SPREAD for digest in digests], np.int64)
    times: np.ndarray = np.datetime64(start.replace(tzinfo=None), "us") + offsets
    return pa.array(times, pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))


def _parts(plan: Plan, key: str | None, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    times = table[plan.event_time]
    if times.null_count:
        raise BadRows(
            f"{counted(times.null_count, 'row has', 'rows have')} no {plan.event_time!r}; correct them, or name another column with --time"
        )
    if not pa.types.is_timestamp(times.type):
        raise SettingRefused(f"{plan.event_time!r} holds no times; name another column with --time")
    if key is not None:
        yield key, table
        return
    calendar = Calendar.of(Grain(plan.answers.grain))
    starts = pc.floor_temporal(times, unit=calendar.grain.value, week_starts_monday=True)
    for start in pc.unique(starts).to_pylist():
        yield Partition.containing(start, calendar).key, table.filter(pc.equal(starts, start))


class _Files:
    """Parquet files, one for each partition, written when many rows wait."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}
        self._waiting: dict[str, list[pa.Table]] = {}
        self._rows = 0

    def add(self, key: str, rows: pa.Table) -> None:
        self._waiting.setdefault(key, []).append(rows)
        self._rows += rows.num_rows
        if len(self._writers.keys() | self._waiting.keys()) > MOST:
            raise SettingRefused(f"there are more than {MOST} partitions; name a longer one with --partition")
        if self._rows > _WAITING:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        for key, tables in self._waiting.items():
            rows = pa.concat_tables(tables)
            if key not in self._writers:
                self._writers[key] = parquet.ParquetWriter(self._folder / f"{key}.parquet", rows.schema)
            self._writers[key].write_table(rows)
        self._waiting, self._rows = {}, 0

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
