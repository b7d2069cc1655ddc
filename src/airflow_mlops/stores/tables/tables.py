"""Delta tables of one dataset: partitions replaced as a whole, versions read back for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.stores.tables import digests
from airflow_mlops.stores.tables.commits import Change, commit
from airflow_mlops.stores.tables.delta import (
    PARTITION,
    create,
    dataset,
    errors,
    exists,
    normalise,
    open_table,
    scan,
    schema_of,
)
from airflow_mlops.stores.tables.drafts import Draft
from airflow_mlops.stores.tables.places import uri_of
from airflow_mlops.stores.tables.versions import (
    Commit,
    coverage,
    current,
    describe,
    history,
    latest,
    newest,
    published,
    versions,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "PARTITION",
    "Change",
    "Commit",
    "batches",
    "coverage",
    "create",
    "dataset",
    "digest",
    "exists",
    "history",
    "latest",
    "newest",
    "normalise",
    "open_table",
    "publish",
    "published",
    "read",
    "replace_partition",
    "schema_of",
    "uri_of",
    "versions",
]


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
    :param event_time: the column that ``since`` (inclusive) and ``until`` (exclusive) bound.
    :raises TableMissing: if there is no table.
    """
    import pyarrow.dataset as ds

    condition = None
    for bound in (
        ds.field(PARTITION) == partition if partition is not None else None,
        ds.field(event_time) >= since if since is not None else None,
        ds.field(event_time) < until if until is not None else None,
    ):
        if bound is not None:
            condition = bound if condition is None else condition & bound
    files = dataset(uri, version)
    names = [name for name in files.schema.names if name != PARTITION]
    with errors(uri):
        return normalise(files.to_table(columns=list(columns or names), filter=condition))


def batches(
    uri: str,
    *,
    version: int | None = None,
    partition: str | None = None,
    columns: Sequence[str] | None = None,
) -> pa.RecordBatchReader:
    """Read the rows that :func:`read` returns, in the same order, without holding all of them.

    :raises TableMissing: if there is no table.
    """
    import pyarrow.dataset as ds

    files = dataset(uri, version)
    names = [name for name in files.schema.names if name != PARTITION]
    condition = ds.field(PARTITION) == partition if partition is not None else None
    return scan(files, columns or names, condition)


def digest(table: pa.Table) -> str:
    """Return a sha256 of the rows and their types; neither row order nor file layout matters."""
    return digests.of([table])


def replace_partition(
    uri: str,
    rows: pa.Table | pa.RecordBatchReader,
    partition: str,
    metadata: Mapping[str, str] | None = None,
    change: Change = Change.MERGE,
    seen: Sequence[str] | None = None,
) -> None:
    """Replace the rows of a partition, in one commit.

    :param metadata: facts that the commit keeps beside its rows.
    :param change: what happens to the table if the rows have other columns than it has.
    :param seen: files of the partition that the rows were made from; None if they were made from none of them.
    :raises WriteConflict: if another writer changed the same partition meanwhile, or since it was seen.
    :raises SchemaMismatch: if the type of a column does not fit the table's.
    """
    with Draft(uri, partition) as draft:
        _fill(draft, rows, None)
        commit(draft, metadata or {}, change, seen)


def publish(
    uri: str,
    rows: pa.Table | pa.RecordBatchReader,
    *,
    name: str,
    grain: str,
    partition: str,
    key: Sequence[str],
    event_time: str,
    source: str,
    run: str,
    transform: str | None = None,
    change: Change = Change.MERGE,
) -> DatasetVersion:
    """Write a partition as a dataset version; the same content again writes nothing.

    :param source: where the rows came from, in words; kept in the commit.
    :param run: the run that writes; kept in the commit.
    :param transform: what prepared the features; None if nothing did.
    :param change: what happens to the table if the rows have other columns than it has.
    """
    content = digests.Content()
    with Draft(uri, partition) as draft:
        _fill(draft, rows, content)
        version = DatasetVersion(
            name=name,
            uri=uri,
            version=0,
            grain=grain,
            partition=partition,
            rows=draft.rows,
            digest=content.digest(),
            columns=schema_of(draft.schema),
            key=tuple(key),
            event_time=event_time,
            transform=transform,
        )
        return put(draft, version, describe(version, run, source, None), change)


def put(draft: Draft, version: DatasetVersion, metadata: Mapping[str, str], change: Change) -> DatasetVersion:
    """Commit a draft as a dataset version, unless its content is there already."""
    former = current(draft.uri, draft.partition)
    if former is not None and same(former, version):
        return former.model_copy(update={"changed": False})
    return version.model_copy(update={"version": commit(draft, metadata, change)})


def same(one: DatasetVersion, other: DatasetVersion) -> bool:
    """Tell whether two versions have the same content, prepared by the same code."""
    return (one.digest, one.transform) == (other.digest, other.transform)


def _fill(draft: Draft, rows: pa.Table | pa.RecordBatchReader, content: digests.Content | None) -> None:
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        rows = rows.to_reader()
    draft.add(normalise(rows.schema.empty_table()))
    for batch in rows:
        table = normalise(pa.Table.from_batches([batch]))
        draft.add(table)
        if content is not None:
            content.add(table)


def record_report(uri: str, partition: str, report: Fact, **facts: str | int | None) -> None:
    """Keep a report; the same partition again replaces its row.

    :param report: kept as JSON, in the column ``report``.
    :param facts: columns beside it, to query by.
    """
    import pyarrow as pa

    row = {"partition": partition, **facts, "report": report.model_dump_json()}
    kinds = {name: pa.int64() if isinstance(value, int) else pa.string() for name, value in row.items()}
    replace_partition(uri, pa.Table.from_pylist([row], pa.schema(list(kinds.items()))), partition)
