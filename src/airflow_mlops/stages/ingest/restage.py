"""Stage a partition once more: without some of its rows, and with others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa


def batches(dataset: DatasetVersion) -> pa.RecordBatchReader:
    """Read the rows of a staged partition, in order."""
    return tables.batches(dataset.uri, version=dataset.version, partition=dataset.partition)


def rows_at(dataset: DatasetVersion, positions: Sequence[int]) -> pa.Table:
    """Return rows of a partition, in order.

    :param positions: sorted, counted from 0.
    """
    import numpy as np
    import pyarrow as pa

    ordered, start, parts = np.asarray(positions, np.int64), 0, []
    reader = batches(dataset)
    for batch in reader:
        first, last = np.searchsorted(ordered, [start, start + batch.num_rows])
        if last > first:
            parts.append(batch.take(pa.array(ordered[first:last] - start)))
        start += batch.num_rows
    return pa.Table.from_batches(parts, reader.schema)


def stage(
    dataset: DatasetVersion, without: Sequence[int], instead: pa.Table | None, run: str
) -> DatasetVersion:
    """Stage a partition again, without some rows and with others.

    :param without: positions of the rows to leave out, sorted.
    :param instead: rows to add; None adds none.
    """
    import numpy as np
    import pyarrow as pa

    reader = batches(dataset)

    def kept() -> Iterator[pa.RecordBatch]:
        gone, start = np.asarray(without, np.int64), 0
        for batch in reader:
            first, last = np.searchsorted(gone, [start, start + batch.num_rows])
            keep = np.ones(batch.num_rows, bool)
            keep[gone[first:last] - start] = False
            yield batch.filter(pa.array(keep)) if last > first else batch
            start += batch.num_rows
        if instead is not None:
            yield from _like(instead, reader.schema).to_batches()

    return tables.publish(
        dataset.uri,
        pa.RecordBatchReader.from_batches(reader.schema, kept()),
        name=dataset.name,
        grain=dataset.grain,
        partition=dataset.partition,
        key=dataset.key,
        event_time=dataset.event_time,
        source=dataset.uri,
        run=run,
        transform=dataset.transform,
    )


def _like(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows in the columns of a partition: missing columns are null, other columns are dropped."""
    import pyarrow as pa

    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
