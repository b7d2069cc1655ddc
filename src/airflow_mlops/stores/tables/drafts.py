"""Drafts: a partition's files, which are written whole before a commit names them."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from airflow_mlops.stores import disks
from airflow_mlops.stores.tables import delta
from airflow_mlops.stores.tables.delta import PARTITION

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction

# A row group is held in memory until it is full.
_GROUP_ROWS = 1 << 17
_GROUP_BYTES = 1 << 26
_FILE_BYTES = 1 << 28
_CHUNK = 1 << 22
# The longest text, in characters, that the log of the table keeps as the end of a range.
_LONGEST = 256


class Draft:
    """Write the files of one partition beside a table, without making them part of it.

    On exit its files are deleted unless they were committed.

    :param uri: URI of the table, which need not exist.
    :param partition: key of the partition.
    :raises StoreUnavailable: by every method, if the disk is full, read-only, or closed to this user.
    """

    def __init__(self, uri: str, partition: str) -> None:
        self.uri = uri
        self.partition = partition
        self.rows = 0
        self.schema: pa.Schema | None = None
        self.committed = False
        self._files = delta.filesystem(uri)
        self._folder = f"{PARTITION}={partition}"
        # Sorted by name, the files are in the order in which they were written.
        self._name = f"part-{time.time_ns():020d}-{uuid4().hex[:12]}"
        self._paths: list[str] = []
        self._actions: list[AddAction] = []
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._writer: Any = None
        self._sink: Any = None
        # One group is compressed and written while the next one is read.
        self._pool = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()
        if not self.committed:
            # A disk that is full or read-only says so again, which must not take the place of the first error.
            with suppress(OSError) if any(error) else disks.errors(self.uri):
                self._discard()

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add rows, which must have the columns of those added first."""
        import pyarrow as pa

        if self.schema is None:
            self.schema = rows.schema.remove_metadata()
        self._waiting += rows.to_batches() if isinstance(rows, pa.Table) else [rows]
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        self.rows += rows.num_rows
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._write()

    def add_files(self, table: DeltaTable, uri: str) -> None:
        """Copy the files that another table has of this partition, byte by byte.

        :param uri: where the table is.
        """
        import pyarrow as pa

        schema = pa.schema(table.schema().to_arrow())
        self.schema = schema.remove(schema.get_field_index(PARTITION))
        source = delta.filesystem(uri)
        for path in paths(table, self.partition):
            with disks.errors(self.uri):
                with source.open_input_stream(path) as old, self._open() as new:
                    while chunk := old.read(_CHUNK):
                        new.write(chunk)
                self.rows += self._name_last()

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read back some columns of what was written."""
        import pyarrow.parquet as pq

        for action in self.finish():
            with self._files.open_input_file(action.path) as file:
                yield from pq.ParquetFile(file, pre_buffer=False).iter_batches(columns=list(columns))

    def finish(self) -> list[AddAction]:
        """Write the rows that are left, and return the files as the commit has to name them."""
        self._write()
        with disks.errors(self.uri):
            self._wait()
            self._close()
        return self._actions

    def _write(self) -> None:
        import pyarrow as pa

        with disks.errors(self.uri):
            self._wait()
        if self._rows:
            group = pa.Table.from_batches(self._waiting, self.schema)
            self._waiting, self._rows, self._bytes = [], 0, 0
            self._writing = self._pool.submit(self._write_group, group)

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write_group(self, group: pa.Table) -> None:
        import pyarrow.parquet as pq

        if self._writer is None:
            self._sink = self._open()
            self._writer = pq.ParquetWriter(self._sink, self.schema)
        self._writer.write_table(group, row_group_size=_GROUP_ROWS)
        if self._sink.tell() >= _FILE_BYTES:
            self._close()

    def _open(self) -> Any:
        path = f"{self._folder}/{self._name}-{len(self._paths):05d}.parquet"
        self._files.create_dir(self._folder, recursive=True)
        self._paths.append(path)
        # Chunks that fit into a buffer: deltalake's streams cannot take what Arrow hands to them directly.
        return self._files.open_output_stream(path, buffer_size=2 * _CHUNK)

    def _close(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._sink.close()
        self._writer = self._sink = None
        self._name_last()

    def _name_last(self) -> int:
        import pyarrow.parquet as pq
        from deltalake.transaction import AddAction

        path = self._paths[-1]
        with self._files.open_input_file(path) as file:
            size, metadata = file.size(), pq.read_metadata(file)
        self._actions.append(
            AddAction(
                path=path,
                size=size,
                partition_values={PARTITION: self.partition},
                modification_time=time.time_ns() // 1_000_000,
                data_change=True,
                stats=json.dumps(_statistics(metadata)),
            )
        )
        return int(metadata.num_rows)

    def _discard(self) -> None:
        with ExitStack() as stack:
            for path in self._paths:
                stack.callback(self._files.delete_file, path)
            if self._writer is not None:
                self._writer.close()
                self._sink.close()


def paths(table: DeltaTable, partition: str) -> list[str]:
    """Return the files that a table has of a partition, in the order in which they were written."""
    import pyarrow as pa
    import pyarrow.compute as pc

    files = pa.table(table.get_add_actions(flatten=True))
    chosen = files.filter(pc.equal(files[f"partition.{PARTITION}"], partition))
    return sorted(str(path) for path in chosen["path"].to_pylist())


def _statistics(metadata: Any) -> dict[str, Any]:
    """Return what lets a reader skip a file: the range of each column that is not nested, and how often it is null.

    The ranges of all columns or of none: if only some columns have a range, deltalake reads that of the others as empty,
    and a filter on them finds no row.
    """
    # Parts of nested columns are leaves too: a struct's child may have the name of another column.
    leaves = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    places, occurrences = {leaf: index for index, leaf in enumerate(leaves)}, Counter(leaves)
    counted: dict[str, Any] = {"numRecords": metadata.num_rows}
    nulls: dict[str, int] = {}
    ranges: dict[str, tuple[Any, Any]] = {}
    for field in metadata.schema.to_arrow_schema():
        if occurrences[field.name] != 1:
            continue
        column = places[field.name]
        groups = [
            metadata.row_group(index).column(column).statistics for index in range(metadata.num_row_groups)
        ]
        if not all(group is not None and group.has_null_count for group in groups):
            return counted
        nulls[field.name] = sum(group.null_count for group in groups)
        filled = [group for group in groups if group.num_values]
        try:
            ends = [(_bound(group.min), _bound(group.max)) for group in filled if group.has_min_max]
        except (OverflowError, ValueError):  # such as a time after the year 9999, or an infinite number
            return counted
        if len(ends) < len(filled):
            return counted
        if ends:
            ranges[field.name] = min(low for low, _ in ends), max(high for _, high in ends)
    return counted | {
        "minValues": {name: _written(low) for name, (low, _) in ranges.items()},
        "maxValues": {name: _written(high) for name, (_, high) in ranges.items()},
        "nullCount": nulls,
    }


def _bound(value: Any) -> Any:
    """Return an end of a range.

    :raises ValueError: if Delta has no way to write it down, or it is long.
    """
    if not isinstance(value, bool | int | float | str | date) or value in (math.inf, -math.inf):
        raise ValueError(f"{type(value).__name__} has no range")
    if isinstance(value, str) and len(value) > _LONGEST:
        raise ValueError("the text is long")
    return value


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return value.isoformat() if isinstance(value, date) else value
