"""Delta tables as files: where they are, how they are opened, created and read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_mlops.domain.addresses import shown
from airflow_mlops.exceptions import (
    PlaceRefused,
    StoreUnavailable,
    TableMissing,
    TableUnreadable,
    UnsafeStore,
    WriteConflict,
)
from airflow_mlops.stores import disks
from airflow_mlops.stores.tables import conditional
from airflow_mlops.stores.tables.column_types import kept, open_types, plain

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.fs as pafs
    from deltalake import DeltaTable

PARTITION = "_partition"
"""The Delta partition column: a key such as ``2013-01``."""

_BATCH_ROWS = 65_536
# What deltalake says of an address that it cannot use, and of a store that does not answer; it has no errors for these.
_ADDRESS = re.compile(
    r"Unknown scheme|Could not parse \S+ as a URL|Unable to recognise URL|No fs\.defaultFS setting"
)
_GENERIC = re.compile(r"\bGeneric \w+ error")
# Versions are found again in the commit log, so it must outlive Delta's default of 30 days.
_CONFIGURATION: dict[str, str | None] = {"delta.logRetentionDuration": "interval 3650 days"}


@contextmanager
def errors(uri: str) -> Iterator[None]:
    """Turn what deltalake raises into errors of ours.

    :raises TableMissing: if there is no table.
    :raises TableUnreadable: if its log or a file is damaged.
    :raises WriteConflict: if another writer was faster.
    :raises StoreUnavailable: if its disk is full, read-only, or closed to this user, or its store does not answer.
    :raises PlaceRefused: if its address is none of a store.
    """
    from deltalake.exceptions import CommitFailedError, TableNotFoundError

    try:
        with disks.errors(uri):
            yield
    except TableNotFoundError as error:
        _refuse_address(error, uri)
        raise TableMissing(f"There is no table at {uri} yet.") from error
    except CommitFailedError as error:
        raise WriteConflict(f"Another writer changed {uri} at the same time: {error}") from error
    except FileNotFoundError as error:
        raise TableUnreadable(f"The table at {uri} refers to a file that is gone: {error}") from error
    except OSError as error:
        _refuse_address(error, uri)
        if _GENERIC.search(str(error)) and type(error).__module__ != TableMissing.__module__:
            raise StoreUnavailable(f"{uri} cannot be reached: {_plain(error)}") from error
        raise
    except (ValueError, TypeError):
        raise
    except (TableUnreadable, UnsafeStore, WriteConflict):
        raise
    except Exception as error:  # deltalake raises bare Exception for torn logs and bad files
        _refuse_address(error, uri)
        raise TableUnreadable(f"The table at {uri} cannot be read: {error}") from error


def _refuse_address(error: Exception, uri: str) -> None:
    if _ADDRESS.search(str(error)):
        raise PlaceRefused(
            f"{uri} is no place for tables: {_plain(error)}; write file:///folder, s3://bucket/folder or the like"
        ) from error


def _plain(error: Exception) -> str:
    """Return the text of an error of deltalake in one line, without colours."""
    return shown(" ".join(re.sub(r"\x1b\[\d*m|↳", "", str(error)).split()))[:300]


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """Open a Delta table, at its latest version if ``version`` is None.

    :raises TableMissing: if there is no table.
    :raises TableUnreadable: if its log is damaged.
    """
    from deltalake import DeltaTable

    with errors(uri):
        return DeltaTable(uri, version=version)


def exists(uri: str) -> bool:
    """Tell whether there is a Delta table at a URI."""
    from deltalake import DeltaTable

    with errors(uri):
        return DeltaTable.is_deltatable(uri)


def create(uri: str, schema: pa.Schema, partition_by: list[str] | None = None) -> None:
    """Make an empty table, if there is none.

    An overwrite that creates its table would replace what another writer published at the same moment.

    :raises TableUnreadable: if it cannot be made.
    :raises StoreUnavailable: if its disk is full, read-only, or closed to this user.
    :raises UnsafeStore: if its store would lose one of two commits; so too where the table is there already.
    """
    from deltalake import DeltaTable

    with errors(uri):
        conditional.prove(uri)
    if exists(uri):
        return
    try:
        DeltaTable.create(uri, schema, mode="ignore", partition_by=partition_by, configuration=_CONFIGURATION)
    except Exception as error:  # deltalake raises bare exceptions, also when another writer was first
        if not exists(uri):
            refusal = disks.refusal_of(error, uri)
            raise refusal or TableUnreadable(f"The table at {uri} cannot be created: {error}") from error


def schema(uri: str) -> pa.Schema:
    """Return the columns of a table, the partition column among them.

    :raises TableMissing: if there is no table.
    """
    import pyarrow as pa

    return pa.schema(open_table(uri).schema().to_arrow())


def append(uri: str, rows: pa.Table) -> None:
    """Add rows to a table; a column that is new to it is null in the rows that are there.

    :param rows: a column that the table has already must have the type that it has there.
    :raises WriteConflict: if another writer changed the table at the same time.
    """
    from deltalake import write_deltalake

    with errors(uri):
        conditional.prove(uri)
        write_deltalake(uri, rows, mode="append", schema_mode="merge")


def filesystem(uri: str) -> pafs.FileSystem:
    """Return the file system of a table's files, rooted at the table."""
    import pyarrow.fs as pafs
    from deltalake.fs import DeltaStorageHandler

    # Arrow's own, where it can be: a process that has read through deltalake's, which is written in Python, is aborted
    # at its exit half of the time.
    if uri.startswith("file://"):
        return pafs.SubTreeFileSystem(unquote(uri.removeprefix("file://")), pafs.LocalFileSystem())
    if "://" not in uri:
        return pafs.SubTreeFileSystem(str(Path(uri).absolute()), pafs.LocalFileSystem())
    with errors(uri):
        return pafs.PyFileSystem(DeltaStorageHandler(uri))


def dataset(uri: str, version: int | None = None) -> ds.FileSystemDataset:
    """Return a table as a dataset whose files are in the order in which they were written.

    :raises TableMissing: if there is no table.
    """
    import pyarrow.dataset as ds

    table = open_table(uri, version)
    with errors(uri):
        unordered = table.to_pyarrow_dataset(filesystem=filesystem(uri))
    files = sorted(
        (_with_whole_ranges(fragment) for fragment in unordered.get_fragments()), key=lambda file: file.path
    )
    return ds.FileSystemDataset(files, unordered.schema, unordered.format, unordered.filesystem)


def _with_whole_ranges(file: ds.ParquetFileFragment) -> ds.ParquetFileFragment:
    """Return a file, without the ranges of its columns if the log lacks some of them.

    deltalake reads a missing range as null, and Arrow would skip the file's rows for any filter on such a column.
    """
    import pyarrow.dataset as ds

    if "null[" not in str(file.partition_expression):
        return file
    place = ds.scalar(True)
    for name, value in ds.get_partition_keys(file.partition_expression).items():
        place = place & (ds.field(name) == value)
    return file.format.make_fragment(file.path, file.filesystem, partition_expression=place)


def scan(
    files: ds.FileSystemDataset, columns: Sequence[str], condition: ds.Expression | None = None
) -> pa.RecordBatchReader:
    """Return rows batch by batch, in order, reading little ahead."""
    import pyarrow.dataset as ds

    scanner = files.scanner(
        columns=list(columns),
        filter=condition,
        batch_size=_BATCH_ROWS,
        batch_readahead=4,
        fragment_readahead=1,
        # Threads read ahead of a slow consumer, such as one that writes, as much as half a gigabyte.
        use_threads=False,
        # Buffering ahead would hold whole files in memory.
        fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True),
    )
    return scanner.to_reader()


def normalise(table: pa.Table) -> pa.Table:
    """Cast to the types that Delta keeps, so that a table is equal to itself when it is read back."""
    import pyarrow as pa

    table = plain(table, "the table")
    return table.cast(pa.schema([field.with_type(kept(field.type)) for field in table.schema]))


def schema_of(table: pa.Table | pa.Schema) -> dict[str, str]:
    """Return column names and Arrow types as text; ``null`` for a column that had no value yet."""
    columns: pa.Schema = getattr(table, "schema", table)
    without_type = open_types(columns)
    return {field.name: str(without_type.get(field.name, field.type)) for field in columns}
