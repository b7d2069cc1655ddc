"""Journals: Delta tables that are only ever appended to, one row at a time and in one order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import TableMissing, TableUnreadable, WriteConflict
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

_ATTEMPTS = 50
# Every append leaves a file, and a reader opens each of them.
_FILES = 50
JournalRow = dict[str, Any]


def rows(uri: str) -> list[JournalRow]:
    """Return every row, oldest first; none if there is no journal yet.

    :raises TableUnreadable: if the journal is damaged.
    """
    try:
        return _rows(uri, None)
    except TableMissing:
        return []


def append(
    uri: str,
    columns: Sequence[str],
    decide: Callable[[list[JournalRow], datetime], JournalRow | None],
    *,
    now: datetime | None = None,
) -> None:
    """Append a row that ``decide`` makes from all earlier rows.

    A row is only added to the version of the table that was read. If another process appended a row since, ``decide`` is
    called again with all rows, so the new row always follows from those before it.

    :param columns: columns of text; beside them a row has ``at``.
    :param decide: given the rows, oldest first, and a time in UTC that is later than all of theirs, returns the new
        row with ``at``, or None to add nothing.
    :param now: the time now; None means the time of this machine.
    :raises WriteConflict: if other writers were faster again and again.
    :raises TableUnreadable: if the journal is damaged or cannot be written.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake
    from deltalake.exceptions import CommitFailedError

    schema = pa.schema([("at", pa.timestamp("us", "UTC")), *((name, pa.string()) for name in columns)])
    tables.create(uri, schema)
    # Without retries a commit succeeds only on the version that was read. Application transactions, being recorded but
    # not enforced, do not give that.
    alone = CommitProperties(max_commit_retries=0)
    for _ in range(_ATTEMPTS):
        table = tables.open_table(uri)
        earlier = _rows(uri, table.version())
        row = decide(earlier, _after(earlier, now))
        if row is None:
            return
        try:
            write_deltalake(
                table, pa.Table.from_pylist([row], schema), mode="append", commit_properties=alone
            )
        except CommitFailedError:
            continue
        except Exception as error:
            raise TableUnreadable(f"The journal at {uri} cannot be written: {error}") from error
        _tidy(uri, schema)
        return
    raise WriteConflict(f"The journal at {uri} is being written by too many at once.")


def _after(earlier: list[JournalRow], now: datetime | None) -> datetime:
    # Clocks of two machines differ; the order of the rows must not.
    now = now or datetime.now(UTC)
    return max(now, earlier[-1]["at"] + timedelta(microseconds=1)) if earlier else now


def _tidy(uri: str, schema: pa.Schema) -> None:
    """Merge small files once there are many; if another process appends meanwhile, the next append does it."""
    from deltalake import CommitProperties, write_deltalake

    # The row has been written already, so an error here must not make the append fail.
    with suppress(Exception):
        table = tables.open_table(uri)
        if len(table.file_uris()) >= _FILES:
            rows = tables.read(uri, version=table.version()).select(schema.names).cast(schema)
            # Only onto the version that was read. Two of deltalake's own compactions at once can double the rows.
            alone = CommitProperties(max_commit_retries=0)
            write_deltalake(table, rows, mode="overwrite", commit_properties=alone)


def _rows(uri: str, version: int | None) -> list[JournalRow]:
    return sorted(tables.read(uri, version=version).to_pylist(), key=lambda row: row["at"])
