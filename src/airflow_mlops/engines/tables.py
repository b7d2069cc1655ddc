"""Delta tables of one dataset: partitions replaced as a whole, versions read back for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.results import DatasetVersion
from airflow_mlops.exceptions import TableMissing, TableUnreadable, WriteConflict

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

PARTITION = "_partition"
"""The Delta partition column: a key such as ``2013-01``."""

_PUBLISHED = "airflow_mlops.dataset"
# Versions are found again in the commit log, so it must outlive Delta's default of 30 days.
_CONFIGURATION: dict[str, str | None] = {"delta.logRetentionDuration": "interval 3650 days"}


def uri_of(storage: str, name: str, table: str) -> str:
    """Return the URI of one of a dataset's tables, e.g. ``file:///data/flights/predictions``."""
    return f"{storage.rstrip('/')}/{name}/{table}"


@contextmanager
def _errors(uri: str) -> Iterator[None]:
    from deltalake.exceptions import CommitFailedError, TableNotFoundError

    try:
        yield
    except TableNotFoundError as error:
        raise TableMissing(f"There is no table at {uri} yet.") from error
    except CommitFailedError as error:
        raise WriteConflict(f"Another writer changed {uri} at the same time: {error}") from error
    except FileNotFoundError as error:
        raise TableUnreadable(f"The table at {uri} refers to a file that is gone: {error}") from error
    except (OSError, ValueError, TypeError):
        raise
    except Exception as error:  # deltalake raises bare Exception for torn logs and bad files
        raise TableUnreadable(f"The table at {uri} cannot be read: {error}") from error


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """Open a Delta table, at its latest version if ``version`` is None.

    :raises TableMissing: if there is no table.
    :raises TableUnreadable: if its log is damaged.
    """
    from deltalake import DeltaTable

    with _errors(uri):
        return DeltaTable(uri, version=version)


def exists(uri: str) -> bool:
    """Tell whether there is a Delta table at a URI."""
    from deltalake import DeltaTable

    return DeltaTable.is_deltatable(uri)


def normalise(table: pa.Table) -> pa.Table:
    """Cast to the types that Delta keeps, so that a table is equal to itself when it is read back."""
    import pyarrow as pa

    def kept(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_dictionary(kind):
            return kept(kind.value_type)
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
            return pa.string()
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return pa.timestamp("us", "UTC")
        if pa.types.is_unsigned_integer(kind):
            return pa.int64()
        return pa.float64() if pa.types.is_float16(kind) else kind

    fields = [pa.field(field.name, kept(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def read(
    uri: str,
    *,
    version: int | None = None,
    partition: str | None = None,
    columns: Sequence[str] | None = None,
    event_time: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pa.Table:
    """Read rows at one version.

    :param partition: only this partition; None means all.
    :param columns: only these; None means all but the partition column.
    :param event_time: the column that ``since`` (inclusive) and ``until`` (exclusive) are about.
    :raises TableMissing: if there is no table.
    """
    import pyarrow.dataset as ds

    table = open_table(uri, version)
    condition = None
    for bound in (
        ds.field(PARTITION) == partition if partition is not None else None,
        ds.field(event_time) >= since if since is not None else None,
        ds.field(event_time) < until if until is not None else None,
    ):
        if bound is not None:
            condition = bound if condition is None else condition & bound
    with _errors(uri):
        dataset = table.to_pyarrow_dataset()
        names = [name for name in dataset.schema.names if name != PARTITION]
        return normalise(dataset.to_table(columns=list(columns or names), filter=condition))


def digest(table: pa.Table) -> str:
    """Return a sha256 of the rows and their types; neither row order nor file layout matters.

    Rows are hashed by :func:`pandas.util.hash_pandas_object`.
    """
    import hashlib

    import numpy as np
    import pandas as pd

    ordered = table.select(sorted(table.column_names))
    rows = pd.util.hash_pandas_object(ordered.to_pandas(), index=False).to_numpy()
    schema = json.dumps([[field.name, str(field.type)] for field in ordered.schema])
    return hashlib.sha256(schema.encode() + np.sort(rows).tobytes()).hexdigest()


def schema_of(table: pa.Table) -> dict[str, str]:
    """Return column names and Arrow types as text."""
    return {field.name: str(field.type) for field in table.schema}


def replace_partition(
    uri: str, table: pa.Table, partition: str, metadata: dict[str, Any] | None = None
) -> None:
    """Put a partition's rows in place of those it had, in one commit.

    :param metadata: what the commit says of itself; values are text.
    :raises WriteConflict: if another writer changed the same partition meanwhile.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake

    keys = pa.array([partition] * table.num_rows, pa.string())
    rows = table.append_column(PARTITION, keys)
    create(uri, rows.schema, [PARTITION])
    with _errors(uri):
        write_deltalake(
            uri,
            rows,
            mode="overwrite",
            predicate=f"{PARTITION} = '{partition}'",
            commit_properties=CommitProperties(custom_metadata=metadata or {}),
        )


def create(uri: str, schema: pa.Schema, partition_by: list[str] | None = None) -> None:
    """Make an empty table, if there is none.

    An overwrite that creates its table would take the place of what another writer has published at the same moment.

    :raises TableUnreadable: if it cannot be made.
    """
    from deltalake import DeltaTable

    if exists(uri):
        return
    try:
        DeltaTable.create(uri, schema, mode="ignore", partition_by=partition_by, configuration=_CONFIGURATION)
    except Exception as error:  # deltalake raises bare exceptions, also when another writer was first
        if not exists(uri):
            raise TableUnreadable(f"The table at {uri} cannot be created: {error}") from error


def publish(
    uri: str,
    table: pa.Table,
    *,
    name: str,
    grain: str,
    partition: str,
    key: Sequence[str],
    event_time: str,
    source: str,
    run: str,
) -> DatasetVersion:
    """Publish a partition as a dataset version; the same content again writes nothing.

    :param source: where the rows came from, in words; kept in the commit.
    :param run: the run that publishes; kept in the commit.
    """
    table = normalise(table)
    facts: dict[str, Any] = {
        "name": name,
        "uri": uri,
        "grain": grain,
        "partition": partition,
        "rows": table.num_rows,
        "digest": digest(table),
        "columns": schema_of(table),
        "key": tuple(key),
        "event_time": event_time,
    }
    former = published(uri, partition)
    if former is not None and former.digest == facts["digest"]:
        return former.model_copy(update={"changed": False})
    metadata = {_PUBLISHED: json.dumps(facts), "source": source, "run": run}
    replace_partition(uri, table, partition, metadata)
    # Another partition may have been committed since, so the version is read from our own commit.
    return next(
        each for each in versions(uri) if (each.partition, each.digest) == (partition, facts["digest"])
    )


def versions(uri: str) -> Iterator[DatasetVersion]:
    """Yield every published version of a dataset, the newest first."""
    if not exists(uri):
        return
    limit, seen = 16, 0
    table = open_table(uri)
    while True:
        history = table.history(limit)
        for commit in history[seen:]:
            if _PUBLISHED in commit:
                yield DatasetVersion(version=commit["version"], **json.loads(commit[_PUBLISHED]))
        if len(history) < limit:
            return
        seen, limit = limit, limit * 4


def published(uri: str, partition: str) -> DatasetVersion | None:
    """Return the newest version of one partition; None if it was never published."""
    return next((version for version in versions(uri) if version.partition == partition), None)


def latest(uri: str) -> DatasetVersion | None:
    """Return the version of the latest partition; None if nothing was published."""
    newest: dict[str, DatasetVersion] = {}
    for version in versions(uri):
        newest.setdefault(version.partition, version)
    return newest[max(newest)] if newest else None
