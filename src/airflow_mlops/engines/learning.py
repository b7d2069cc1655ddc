"""Rows to learn from and to judge on: those of a dataset version, each with the label that it has as of a partition.

Where labels have a source of their own (:mod:`airflow_mlops.engines.labels`), a dataset version says which version of
their table counts, and up to when. A row that has no label yet, or several that contradict each other, has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.results import DatasetVersion, LabelsVersion
from airflow_mlops.engines import delta, labels, tables
from airflow_mlops.exceptions import SchemaMismatch

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

_PLACE = "_place"
_TICK = timedelta(microseconds=1)


def with_labels(dataset: DatasetVersion, uri: str, target: str) -> DatasetVersion:
    """Pin a dataset version to the labels that are known by the end of its partition.

    :param uri: of the table of labels; there may be none yet.
    :param target: its column with the label.
    """
    until = Partition.parse(dataset.partition, dataset.grain).end
    return dataset.model_copy(update={"labels": _pinned(uri, target, until)})


def in_hindsight(dataset: DatasetVersion, uri: str, target: str) -> LabelsVersion:
    """Return all labels of a dataset's partition, sealed, whenever they became known; as for :func:`with_labels`."""
    told, span = _pinned(uri, target, None), Partition.parse(dataset.partition, dataset.grain)
    return _sealed(dataset, told, span.start, span.end)


def seal(
    dataset: DatasetVersion, since: datetime | None = None, until: datetime | None = None
) -> DatasetVersion:
    """Add the digest of the labels that count, of rows of ``since <= event time < until``; None means all.

    A dataset whose labels are a column of it is returned as it is.

    :raises SchemaMismatch: see :func:`read`.
    """
    if dataset.labels is None:
        return dataset
    return dataset.model_copy(update={"labels": _sealed(dataset, dataset.labels, since, until)})


def content(dataset: DatasetVersion) -> DatasetVersion:
    """Return what is the same for the same rows and labels: labels that came later, of other rows, make no other training.

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
    told = dataset.labels
    bounds: dict[str, Any] = {"event_time": dataset.event_time, "since": since, "until": until}
    if told is None or (columns is not None and told.target not in columns):
        return tables.read(
            dataset.uri, version=dataset.version, columns=columns, partition=partition, **bounds
        )
    there = tables.dataset(dataset.uri, dataset.version).schema.names
    wanted = [name for name in columns or there if name not in (tables.PARTITION, told.target)]
    keys = [tables.PARTITION, *dataset.key]
    needed = list(dict.fromkeys([*keys, *wanted]))
    rows = tables.read(dataset.uri, version=dataset.version, columns=needed, partition=partition, **bounds)
    if partition is not None:
        span = Partition.parse(partition, dataset.grain)
        since, until = max(since or span.start, span.start), min(until or span.end, span.end)
    values = _beside(rows, _known(dataset, told, since, until), keys, told.target)
    found = rows.select(wanted).append_column(told.target, values)
    return found.select(list(columns)) if columns is not None else found


def scan(
    dataset: DatasetVersion, columns: Sequence[str], since: datetime, until: datetime
) -> Iterator[pa.Table]:
    """Yield the rows that :func:`read` returns, without holding more of them than one partition."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if dataset.labels is not None:
        first = Partition.containing(since, dataset.grain).key
        table = tables.open_table(dataset.uri, dataset.version)
        for key in sorted(str(each[tables.PARTITION]) for each in table.partitions()):
            if first <= key:
                yield read(dataset, columns=columns, partition=key, since=since, until=until)
        return
    time = pc.field(dataset.event_time)
    found = tables.dataset(dataset.uri, dataset.version)
    with delta.errors(dataset.uri):
        for batch in delta.scan(found, columns, (time >= since) & (time < until)):
            yield pa.Table.from_batches([batch])


def matured(dataset: DatasetVersion, since: datetime, delay: timedelta) -> pa.Table:
    """Return the labels that have begun to count from a time on, up to the end of the dataset's partition.

    A label counts from ``delay`` after the event time of its row, and not before it is known; one that contradicts
    another does not count.

    :param dataset: with labels of a source of their own.
    :return: partition, key and label.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    told = dataset.labels
    if told is None:
        raise ValueError("the labels of this dataset have no source of their own")
    if told.version is None:
        return _none(dataset, told)
    end = Partition.parse(dataset.partition, dataset.grain).end
    at, time = ds.field(labels.LABELLED_AT), ds.field(dataset.event_time)
    table = _table(dataset, told)
    counted = (at < end) & (time < end - delay)
    recent = ((at >= since) | (time >= since - delay)) & counted
    with delta.errors(told.uri):
        touched = pc.unique(table.to_table(columns=[tables.PARTITION], filter=recent)[tables.PARTITION])
        rows = table.to_table(
            columns=_columns(dataset, told), filter=ds.field(tables.PARTITION).isin(touched) & counted
        )
    rows = tables.normalise(rows)
    times = pc.add(rows[dataset.event_time], pa.scalar(delay, pa.duration("us")))
    moments = labels.later(times, rows[labels.LABELLED_AT])
    rows = rows.set_column(rows.column_names.index(labels.LABELLED_AT), labels.LABELLED_AT, moments)
    keys = [tables.PARTITION, *dataset.key]
    # In threads they would come in any order, on which the last digits of a mean depend.
    new = rows.group_by(keys, use_threads=False).aggregate(
        [(told.target, "min"), (told.target, "max"), (labels.LABELLED_AT, "min")]
    )
    new = new.filter(pc.field(f"{labels.LABELLED_AT}_min") >= pa.scalar(since, pa.timestamp("us", "UTC")))
    return _agreed(new, keys, told.target)


def same_keys(known: pa.Table, rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return labels with keys of the types that rows have.

    :raises SchemaMismatch: if a key cannot be of that type.
    """
    import pyarrow as pa

    for name in key:
        kind = rows.schema.field(name).type
        if known.schema.field(name).type != kind:
            try:
                column = known[name].cast(kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise SchemaMismatch(
                    f"{name!r} is {known[name].type} in the labels and {kind} in the data: {error}"
                ) from error
            known = known.set_column(known.column_names.index(name), name, column)
    return known


def _pinned(uri: str, target: str, until: datetime | None) -> LabelsVersion:
    version = tables.open_table(uri).version() if tables.exists(uri) else None
    return LabelsVersion(uri=uri, target=target, version=version, until=until)


def _sealed(
    dataset: DatasetVersion, told: LabelsVersion, since: datetime | None, until: datetime | None
) -> LabelsVersion:
    return told.model_copy(update={"digest": tables.digest(_known(dataset, told, since, until))})


def _known(
    dataset: DatasetVersion, told: LabelsVersion, since: datetime | None, until: datetime | None
) -> pa.Table:
    """Return the labels that count of a span of event time, once for each partition and key."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if told.version is None:
        return _none(dataset, told)
    _table(dataset, told)
    # The time that a source gives with a label may be another one of the same partition.
    rows = tables.read(
        told.uri,
        version=told.version,
        columns=_columns(dataset, told),
        event_time=dataset.event_time,
        since=since and Partition.containing(since, dataset.grain).start,
        until=until and Partition.containing(until - _TICK, dataset.grain).end,
    )
    if told.until is not None:
        until_then = pa.scalar(told.until, pa.timestamp("us", "UTC"))
        rows = rows.filter(pc.less(rows[labels.LABELLED_AT], until_then))
    keys = [tables.PARTITION, *dataset.key]
    once = rows.group_by(keys).aggregate([(told.target, "min"), (told.target, "max")])
    return _agreed(once, keys, told.target)


def _agreed(once: pa.Table, keys: list[str], target: str) -> pa.Table:
    import pyarrow.compute as pc

    low, high = f"{target}_min", f"{target}_max"
    once = once.filter(pc.field(low) == pc.field(high))
    return once.select([*keys, low]).rename_columns([*keys, target])


def _beside(rows: pa.Table, known: pa.Table, keys: list[str], target: str) -> pa.ChunkedArray:
    """Return the label of each row, in the order of the rows."""
    import numpy as np
    import pyarrow as pa

    # Of the rows no more than their keys: Arrow joins no lists, and gives rows in any order.
    places = rows.select(keys).append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
    joined = places.join(same_keys(known, rows, keys), keys=keys, join_type="left outer")
    return joined.sort_by(_PLACE)[target]


def _columns(dataset: DatasetVersion, told: LabelsVersion) -> list[str]:
    names = [tables.PARTITION, *dataset.key, dataset.event_time, told.target, labels.LABELLED_AT]
    return list(dict.fromkeys(names))


def _table(dataset: DatasetVersion, told: LabelsVersion) -> ds.FileSystemDataset:
    found = tables.dataset(told.uri, told.version)
    if missing := [name for name in _columns(dataset, told) if name not in found.schema.names]:
        raise SchemaMismatch(
            f"The labels at {told.uri} have no column {', '.join(missing)}; they have {', '.join(found.schema.names)}. "
            "They were brought by another labels.source: move that table away, and run their partitions again."
        )
    return found


def _none(dataset: DatasetVersion, told: LabelsVersion) -> pa.Table:
    """Return no labels, as a table that nobody has written to."""
    import pyarrow as pa

    schema = tables.normalise(tables.dataset(dataset.uri, dataset.version).schema.empty_table()).schema
    fields = [schema.field(name) for name in (tables.PARTITION, *dataset.key)]
    return pa.schema([*fields, pa.field(told.target, pa.float64())]).empty_table()
