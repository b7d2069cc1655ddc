"""Rows to train and to evaluate on: those of a dataset version, each with the label that it has as of a partition.

Where labels have a source of their own (:mod:`airflow_mlops.learning.labels.labels`), a dataset version says which version of
their table counts, and up to when. A row that has no label yet, or several that contradict each other, has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.learning.labels import maturity
from airflow_mlops.stores.tables import delta, tables

if TYPE_CHECKING:
    import pyarrow as pa

_PLACE = "_place"
_TICK = timedelta(microseconds=1)
_ROWS = 1_000_000


def with_labels(dataset: DatasetVersion, uri: str, target: str) -> DatasetVersion:
    """Pin a dataset version to the labels that are known by the end of its partition.

    :param uri: of the table of labels; there may be none yet.
    :param target: its column with the label.
    """
    until = Partition.parse(dataset.partition, dataset.grain).end
    return dataset.model_copy(update={"labels": maturity.pin(uri, target, until)})


def seal(
    dataset: DatasetVersion, since: datetime | None = None, until: datetime | None = None
) -> DatasetVersion:
    """Add the digest of the labels that count, of rows of ``since <= event time < until``; None means all.

    A dataset that has its labels in a column is returned unchanged.

    :raises SchemaMismatch: see :func:`read`.
    """
    if dataset.labels is None:
        return dataset
    return dataset.model_copy(update={"labels": maturity.sealed(dataset, dataset.labels, since, until)})


def content(dataset: DatasetVersion) -> DatasetVersion:
    """Return the dataset without the version of its labels, so that it is equal for equal rows and labels.

    Labels that were added since, of other rows, change that version but not the training.

    :param dataset: of :func:`seal`, if its labels have a source of their own.
    """
    if dataset.labels is None or dataset.labels.digest is None:
        return dataset
    return dataset.model_copy(update={"labels": dataset.labels.model_copy(update={"version": None})})


def read(
    dataset: DatasetVersion,
    *,
    columns: Sequence[str] | None = None,
    partition: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pa.Table:
    """Read rows of ``since <= event time < until`` at one version, with their labels.

    :param columns: only these; None means all of the data, and the label.
    :param partition: only this partition; None means all.
    :raises TableMissing: if there is no table.
    :raises SchemaMismatch: if the table of labels lacks a column, or its keys are of another type than the data's.
    """
    labels = dataset.labels
    bounds: dict[str, Any] = {"event_time": dataset.event_time, "since": since, "until": until}
    if labels is None or (columns is not None and labels.target not in columns):
        return tables.read(
            dataset.uri, version=dataset.version, columns=columns, partition=partition, **bounds
        )
    available = tables.dataset(dataset.uri, dataset.version).schema.names
    others = [name for name in columns or available if name not in (tables.PARTITION, labels.target)]
    keys = [tables.PARTITION, *dataset.key]
    needed = list(dict.fromkeys([*keys, *others]))
    rows = tables.read(dataset.uri, version=dataset.version, columns=needed, partition=partition, **bounds)
    if partition is not None:
        span = Partition.parse(partition, dataset.grain)
        since, until = max(since or span.start, span.start), min(until or span.end, span.end)
    values = _beside(rows, maturity.labels_between(dataset, labels, since, until), keys, labels.target)
    labelled = rows.select(others).append_column(labels.target, values)
    return labelled.select(list(columns)) if columns is not None else labelled


def scan(
    dataset: DatasetVersion, columns: Sequence[str], since: datetime, until: datetime
) -> Iterator[pa.Table]:
    """Yield the rows that :func:`read` returns, without holding more than a few partitions of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if dataset.labels is not None:
        for first, last in _spans(dataset, since, until):
            yield read(dataset, columns=columns, since=max(since, first.start), until=min(until, last.end))
        return
    time = pc.field(dataset.event_time)
    files = tables.dataset(dataset.uri, dataset.version)
    with delta.errors(dataset.uri):
        for batch in delta.scan(files, columns, (time >= since) & (time < until)):
            yield pa.Table.from_batches([batch])


def _spans(
    dataset: DatasetVersion, since: datetime, until: datetime
) -> Iterator[tuple[Partition, Partition]]:
    """Yield the first and last of neighbouring partitions that have about :data:`_ROWS` rows together."""
    import pyarrow as pa

    files = pa.table(tables.open_table(dataset.uri, dataset.version).get_add_actions(flatten=True))
    folders, counts = files[f"partition.{tables.PARTITION}"].to_pylist(), files["num_records"].to_pylist()
    rows = 0
    first = last = None
    for key, count in sorted(zip(folders, counts, strict=True)):
        place = Partition.parse(str(key), dataset.grain)
        if place.end <= since or place.start >= until:
            continue
        if first is not None and last is not None and place != last and rows >= _ROWS:
            yield first, last
            first, rows = None, 0
        first, last, rows = first or place, place, rows + (count or 0)
    if first is not None and last is not None:
        yield first, last


def _beside(rows: pa.Table, labels: pa.Table, keys: list[str], target: str) -> pa.ChunkedArray:
    """Return the label of each row, in the order of the rows."""
    import numpy as np
    import pyarrow as pa

    # Only the keys of the rows are joined: Arrow cannot join lists, and returns rows in any order.
    places = rows.select(keys).append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
    joined = places.join(maturity.same_keys(labels, rows, keys), keys=keys, join_type="left outer")
    return joined.sort_by(_PLACE)[target]
