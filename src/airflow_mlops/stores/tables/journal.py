"""Journals: Delta tables that are only ever appended to, one row at a time and in one order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import TableMissing, TableUnreadable, WriteConflict
from airflow_mlops.stores import disks
from airflow_mlops.stores.tables import delta, erasure, log, tables
from airflow_mlops.stores.tables.ordered import AT, JournalRow, OrderedRows

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

__all__ = ["JournalRow", "OrderedRows", "append", "complete", "forget_former", "read", "rows"]

_ATTEMPTS = 50
# Every append leaves a file. As many of one size become one, so that there are as many sizes as the logarithm of the rows,
# and a row is written again as often.
_FILES = 8
# A row that is looked for is read with those around it.
_GROUP_ROWS = 1024
# Nobody asks what a journal was: commits, and files that have been merged, go once no reader can be using them.
_KEPT = {
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}


def rows(uri: str) -> list[JournalRow]:
    """Return every row, oldest first; none if there is no journal yet.

    :raises TableUnreadable: if the journal is damaged.
    """
    return read(uri).rows()


def read(uri: str) -> OrderedRows:
    """Open a journal as it is now, to read some of its rows; an empty one if there is none yet.

    :raises TableUnreadable: if the journal is damaged.
    """
    try:
        return OrderedRows(uri, tables.open_table(uri))
    except TableMissing:
        return OrderedRows(uri, None)


def append(
    uri: str,
    columns: Sequence[str],
    decide: Callable[[OrderedRows, datetime], JournalRow | None],
    *,
    now: datetime | None = None,
) -> None:
    """Append a row that ``decide`` makes from all earlier rows.

    A row is only added to the version of the table that was read. If another process appended a row since, ``decide`` is
    called again with all rows, so the new row always follows from those before it.

    :param columns: columns of text; beside them a row has ``at``. A table of a former build gets those that it lacks.
    :param decide: given the rows and a time in UTC that is later than all of theirs, returns the new row with ``at``, or
        None to add nothing.
    :param now: the time now; None means the time of this machine.
    :raises WriteConflict: if other writers were faster again and again.
    :raises TableUnreadable: if the journal is damaged or cannot be written.
    :raises StoreUnavailable: if its disk is full, read-only, or closed to this user.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake
    from deltalake.exceptions import CommitFailedError

    schema = _schema(columns)
    tables.create(uri, schema)
    # Without retries a commit succeeds only on the version that was read. Application transactions, being recorded but
    # not enforced, do not give that.
    alone = CommitProperties(max_commit_retries=0)
    for _ in range(_ATTEMPTS):
        table = tables.open_table(uri)
        earlier = OrderedRows(uri, table)
        row = decide(earlier, _after(earlier.last, now))
        if row is None:
            return
        try:
            write_deltalake(
                table,
                pa.Table.from_pylist([row], schema),
                mode="append",
                schema_mode=None if set(columns) <= earlier.names else "merge",
                commit_properties=alone,
            )
        except CommitFailedError:
            continue
        except Exception as error:
            refusal = disks.refusal_of(error, uri)
            raise refusal or TableUnreadable(f"The journal at {uri} cannot be written: {error}") from error
        # The row has been written already, so an error here must not make the append fail. If another process appends
        # meanwhile, its own append does it.
        with suppress(Exception):
            _tidy(uri, earlier)
        return
    raise WriteConflict(f"The journal at {uri} is being written by too many at once.")


def complete(uri: str, columns: Sequence[str], completed: Callable[[JournalRow], JournalRow]) -> None:
    """Write every row again, with other values or with columns that a former build did not write.

    :param columns: as of :func:`append`.
    :param completed: returns a row with all columns.
    :raises WriteConflict: if other writers were faster again and again.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake
    from deltalake.exceptions import CommitFailedError

    for _ in range(_ATTEMPTS):
        table = tables.open_table(uri)
        rows = [completed(row) for row in OrderedRows(uri, table).rows()]
        with delta.errors(uri), suppress(CommitFailedError):
            write_deltalake(
                table,
                pa.Table.from_pylist(rows, _schema(columns)),
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=CommitProperties(max_commit_retries=0),
            )
            return
    raise WriteConflict(f"The journal at {uri} is being written by too many at once.")


def forget_former(uri: str) -> None:
    """Delete the files whose rows were written again, and what the log says of their values; nothing if there is no journal.

    A file of no version that is less than a day old stays: another process may be about to append it.

    :raises TableUnreadable: if the journal is damaged.
    """
    if not tables.exists(uri):
        return
    log.forget_ranges(uri, {*log.spans(uri)} - erasure.part_of(uri))
    with delta.errors(uri):
        table = tables.open_table(uri)
        table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        table.vacuum(retention_hours=24, dry_run=False, enforce_retention_duration=False, full=True)


def _schema(columns: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(AT, pa.timestamp("us", "UTC")), *((name, pa.string()) for name in columns)])


def _after(last: datetime | None, now: datetime | None) -> datetime:
    # Clocks of two machines differ; the order of the rows must not.
    now = now or datetime.now(UTC)
    return now if last is None else max(now, last + timedelta(microseconds=1))


def _tidy(uri: str, earlier: OrderedRows) -> None:
    """Make one file of the latest files, once there are many of their size.

    :param earlier: the rows before the one that was appended.
    """
    from deltalake import CommitProperties, WriterProperties, write_deltalake

    sizes = [*earlier.sizes, 1]
    first = _first_merged(sizes) if earlier.in_order else 0
    if first is None:
        return
    table = tables.open_table(uri)
    stored = OrderedRows(uri, table)
    if first and stored.sizes != sizes:
        return
    position = sum(sizes[:first])
    # In one piece: deltalake writes the pieces of a table in any order.
    merged = stored.table(range(position, len(stored))).combine_chunks()
    write_deltalake(
        table,
        merged,
        mode="overwrite",
        predicate=f"{AT} >= '{merged[AT][0].as_py().isoformat()}'" if first else None,
        # Only onto the version that was read. Two of deltalake's own compactions at once can double the rows.
        commit_properties=CommitProperties(max_commit_retries=0),
        writer_properties=WriterProperties(max_row_group_size=_GROUP_ROWS),
    )
    if len(merged) >= _FILES**2:
        _forget(tables.open_table(uri))


def _first_merged(sizes: Sequence[int]) -> int | None:
    """Return the first of the latest files that become one; None if they stay as they are."""
    first, start, count, limit = None, len(sizes), 0, _FILES
    while start and count < _FILES:
        while start and sizes[start - 1] < limit:
            start, count = start - 1, count + 1
        if count < _FILES:
            return first
        # Merged, they are one file of the next size.
        first, count, limit = start, 1, limit * _FILES
    return first


def _forget(table: DeltaTable) -> None:
    """Remove commits and files that have been merged since long."""
    if not _KEPT.items() <= table.metadata().configuration.items():
        table.alter.set_table_properties(_KEPT)
    table.create_checkpoint()
    table.cleanup_metadata()
    # Full: a checkpoint may have forgotten the files that were removed before it.
    table.vacuum(dry_run=False, full=True)
