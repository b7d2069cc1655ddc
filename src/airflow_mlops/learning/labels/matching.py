"""Keys of labels, in the types of the published data, and the labels whose key no published row has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.labels import Unmatched
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores.arrow import exactly
from airflow_mlops.stores.sources.unreadable import is_number, is_text, plain, trimmed
from airflow_mlops.stores.tables import delta, tables, versions

if TYPE_CHECKING:
    import pyarrow as pa

_SEARCHED = 400
"""Newest partitions of the data that are searched for a key that its own partition lacks."""


def types(data: str | None, key: Sequence[str]) -> dict[str, str]:
    """Return the Arrow type that each key column has in the published data.

    Before anything is published, keys are read as text, which has every digit of them.

    :param data: URI of the data; None means any data, in which keys have the types that the labels have.
    """
    if data is None:
        return {}
    columns = tables.schema_of(published(data))
    return {name: columns.get(name, "string") for name in key}


def published(data: str) -> pa.Schema:
    """Return the columns of the published data; none before anything is published."""
    import pyarrow as pa

    if not tables.exists(data):
        return pa.schema([])
    return tables.normalise(tables.dataset(data).schema.empty_table()).schema


def refuse_other_grain(data: str, partition: Partition, where: str) -> None:
    """Refuse labels whose partitions are not those of the data.

    :raises OtherPartitions: if the data has partitions of another length or time zone.
    """
    newest = next(versions.versions(data), None) if tables.exists(data) else None
    if newest is not None:
        versions.refuse_other_grain(newest, partition, where)


def fitted(
    rows: pa.Table, key: Sequence[str], others: pa.Schema, where: str
) -> tuple[pa.Table, int, dict[str, tuple[str, str]]]:
    """Return rows with their keys in the types that the rows of another table have.

    :return: the rows; how many are left out, since the other table can have no such key; and the former and the new type
        of each column that had another one.
    :raises SchemaMismatch: if no value of a column can be a key of the other table.
    """
    retyped: dict[str, tuple[str, str]] = {}
    count = rows.num_rows
    for name in key:
        kind = rows.schema.field(name).type
        if name in others.names and others.field(name).type != kind:
            column = in_type(rows[name], name, others.field(name).type, where)
            retyped[name] = str(kind), str(column.type)
            rows = rows.set_column(rows.column_names.index(name), name, column)
    for name in retyped:
        rows = rows.filter(rows[name].is_valid())
    return rows, count - rows.num_rows, retyped


def in_type(column: pa.ChunkedArray, name: str, kind: pa.DataType, where: str) -> pa.ChunkedArray:
    """Return a key column in the type of the data; null where that type has no such value.

    :raises SchemaMismatch: if no value of the one type can be one of the other.
    """
    import pyarrow as pa

    if is_text(column.type) and is_number(kind):
        column = trimmed(plain(column))
    try:
        return exactly(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatch(
            f"{where}: {name!r} is {column.type}, and {kind} in the other table: {error}"
        ) from error


def as_stored(uri: str, rows: pa.Table, stored: pa.Schema, names: list[str]) -> pa.Table:
    """Return labels in the types of the table of labels.

    :param names: columns of the key and the target.
    :raises SchemaMismatch: if that changes a value, as a table does that was made when its keys looked like numbers.
    """
    for name in names:
        column = exactly(rows[name], stored.field(name).type)
        if not exactly(column, rows[name].type).equals(rows[name]):
            raise SchemaMismatch(
                f"the labels at {uri} have {name!r} as {stored.field(name).type}, which cannot hold those of these "
                f"labels, {rows[name].type}. They were brought before the data, or the classes, had their type: move that table away, and run "
                "their partitions again."
            )
        rows = rows.set_column(rows.column_names.index(name), name, column)
    return rows.cast(stored)


def unmatched(rows: pa.Table, key: Sequence[str], data: str) -> Unmatched:
    """Count the labels that belong to no published row, by what keeps them from it.

    :param rows: keys in the types of the data, and in :data:`~airflow_mlops.stores.tables.tables.PARTITION` the partition
        of each label's event time.
    :param data: URI of the data.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    partitions = versions.partitions(data) if tables.exists(data) else []
    there = pc.is_in(rows[tables.PARTITION], pa.array(partitions, pa.string()))
    strangers = [rows.select(key).slice(0, 0)]
    for name in pc.unique(rows[tables.PARTITION].filter(there)).to_pylist():
        own = rows.filter(pc.equal(rows[tables.PARTITION], name)).select(key)
        theirs = tables.read(data, partition=name, columns=list(key))
        strangers.append(own.join(theirs, keys=list(key), join_type="left anti"))
    lost = pa.concat_tables(strangers)
    elsewhere = _elsewhere(lost, key, data, partitions[-_SEARCHED:]) if lost.num_rows else 0
    return Unmatched(
        unknown=lost.num_rows - elsewhere,
        elsewhere=elsewhere,
        unpublished=rows.num_rows - pc.sum(there, min_count=0).as_py(),
    )


def _elsewhere(lost: pa.Table, key: Sequence[str], data: str, partitions: Sequence[str]) -> int:
    """Return how many labels have a key that some partitions of the data have."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    chosen = ds.field(tables.PARTITION).isin(list(partitions)) & ds.field(key[0]).isin(lost[key[0]].unique())
    count: int = lost.num_rows
    with delta.errors(data):
        for batch in delta.scan(tables.dataset(data), list(key), chosen):
            theirs = tables.normalise(pa.Table.from_batches([batch]))
            lost = lost.join(theirs, keys=list(key), join_type="left anti")
    return count - int(lost.num_rows)
