"""Labels that have a source of their own: which of them count as of a partition, in which version of their table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import DatasetVersion, LabelsVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.matching import in_type
from airflow_mlops.stores.tables import delta, tables

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

_TICK = timedelta(microseconds=1)


def pin(uri: str, target: str, until: datetime | None) -> LabelsVersion:
    """Return the latest version of the table of labels.

    :param uri: of the table; there may be none yet.
    :param target: its column with the label.
    :param until: labels that were known before this time count; None counts all.
    """
    version = tables.open_table(uri).version() if tables.exists(uri) else None
    return LabelsVersion(uri=uri, target=target, version=version, until=until)


def sealed(
    dataset: DatasetVersion, version: LabelsVersion, since: datetime | None, until: datetime | None
) -> LabelsVersion:
    """Add the digest of the labels that count, of rows of ``since <= event time < until``; None means all."""
    return version.model_copy(
        update={"digest": tables.digest(labels_between(dataset, version, since, until))}
    )


def labels_between(
    dataset: DatasetVersion, version: LabelsVersion, since: datetime | None, until: datetime | None
) -> pa.Table:
    """Return the labels that count, of rows of a span of event time, one for each partition and key."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _read(dataset, version, since, until)
    if version.until is not None:
        until_then = pa.scalar(version.until, pa.timestamp("us", "UTC"))
        rows = rows.filter(pc.less(rows[labels.LABELLED_AT], until_then))
    keys = [tables.PARTITION, *dataset.key]
    once = rows.group_by(keys).aggregate([(version.target, "min"), (version.target, "max")])
    return _agreed(once, keys, version.target)


def pinned(
    datasets: Sequence[DatasetVersion], uri: str, target: str
) -> tuple[tuple[DatasetVersion, ...], tuple[LabelsVersion, ...]]:
    """Pin each partition twice, sealed: to the labels known by its end, and to all labels that its rows ever got.

    The labels are read once, however many partitions there are.

    :param datasets: partitions in order.
    :param uri: as for :func:`airflow_mlops.learning.labels.labelled.with_labels`, as is ``target``.
    :return: the partitions as :func:`airflow_mlops.learning.labels.labelled.with_labels` pins them, and the labels of their rows whenever they became known.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    latest = pin(uri, target, None)
    rows = _read(datasets[0], latest, None, None).sort_by(labels.LABELLED_AT)
    keys = [tables.PARTITION, *datasets[0].key]
    agreed = _agreed(rows.group_by(keys).aggregate([(target, "min"), (target, "max")]), keys, target)
    partitions, hindsight, digested, digest = [], [], 0, ""
    for dataset in datasets:
        until = Partition.parse(dataset.partition, dataset.grain).end
        end = pa.scalar(until, pa.timestamp("us", "UTC"))
        seen = pc.sum(pc.less(rows[labels.LABELLED_AT], end), min_count=0).as_py()
        # The digest of the labels that were known before, joined with that of the labels that became known since.
        if seen > digested:
            new = tables.digest(rows.slice(digested, seen - digested))
            digest, digested = hashlib.sha256(f"{digest} {new}".encode()).hexdigest(), seen
        as_of = latest.model_copy(update={"until": until, "digest": digest})
        partitions.append(dataset.model_copy(update={"labels": as_of}))
        own = tables.digest(agreed.filter(pc.field(tables.PARTITION) == dataset.partition))
        hindsight.append(latest.model_copy(update={"digest": own}))
    return tuple(partitions), tuple(hindsight)


def matured(dataset: DatasetVersion, since: datetime, delay: timedelta) -> pa.Table:
    """Return the labels that began to count between a time and the end of the dataset's partition.

    A label counts from ``delay`` after the event time of its row, and not before it is known; one that contradicts
    another does not count.

    :param dataset: with labels of a source of their own.
    :return: partition, key and label.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    version = dataset.labels
    if version is None:
        raise ValueError("the labels of this dataset have no source of their own")
    if version.version is None:
        return _none(dataset, version).select([tables.PARTITION, *dataset.key, version.target])
    end = Partition.parse(dataset.partition, dataset.grain).end
    at, time = ds.field(labels.LABELLED_AT), ds.field(dataset.event_time)
    table = _table(dataset, version)
    counted = (at < end) & (time < end - delay)
    recent = ((at >= since) | (time >= since - delay)) & counted
    with delta.errors(version.uri):
        touched = pc.unique(table.to_table(columns=[tables.PARTITION], filter=recent)[tables.PARTITION])
        rows = table.to_table(
            columns=_columns(dataset, version), filter=ds.field(tables.PARTITION).isin(touched) & counted
        )
    rows = tables.normalise(rows)
    times = pc.add(rows[dataset.event_time], pa.scalar(delay, pa.duration("us")))
    moments = labels.later(times, rows[labels.LABELLED_AT])
    rows = rows.set_column(rows.column_names.index(labels.LABELLED_AT), labels.LABELLED_AT, moments)
    keys = [tables.PARTITION, *dataset.key]
    # In threads they would come in any order, on which the last digits of a mean depend.
    new = rows.group_by(keys, use_threads=False).aggregate(
        [(version.target, "min"), (version.target, "max"), (labels.LABELLED_AT, "min")]
    )
    new = new.filter(pc.field(f"{labels.LABELLED_AT}_min") >= pa.scalar(since, pa.timestamp("us", "UTC")))
    return _agreed(new, keys, version.target)


def same_keys(label_rows: pa.Table, rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return labels with their keys cast to the types that rows have.

    :raises SchemaMismatch: if a key cannot be cast, or different keys become the same by it.
    """
    original = label_rows
    for name in key:
        kind = rows.schema.field(name).type
        if label_rows.schema.field(name).type != kind:
            column = in_type(label_rows[name], name, kind, "labels.source")
            if misfits := column.null_count - label_rows[name].null_count:
                raise SchemaMismatch(
                    f"{name!r} is {label_rows[name].type} in the labels and {kind} in the data: {misfits:,} labels have "
                    f"no {kind}. They were brought before the data: move the table of labels away, and run their "
                    "partitions again."
                )
            label_rows = label_rows.set_column(label_rows.column_names.index(name), name, column)
    if (
        label_rows is not original
        and label_rows.group_by(list(key)).aggregate([]).num_rows < label_rows.num_rows
    ):
        raise SchemaMismatch(
            f"Labels have different keys that are the same as {', '.join(str(label_rows.schema.field(name).type) for name in key)}, "
            f"such as '1' and '01': write {', '.join(map(repr, key))} in labels.source as in the data."
        )
    return label_rows


def _read(
    dataset: DatasetVersion, version: LabelsVersion, since: datetime | None, until: datetime | None
) -> pa.Table:
    """Return the rows of the table of labels whose partitions a span of event time touches."""
    if version.version is None:
        return _none(dataset, version)
    _table(dataset, version)
    # The event time that a source gives with a label may be any within the partition of its row.
    return tables.read(
        version.uri,
        version=version.version,
        columns=_columns(dataset, version),
        event_time=dataset.event_time,
        since=since and Partition.containing(since, dataset.grain).start,
        until=until and Partition.containing(until - _TICK, dataset.grain).end,
    )


def _agreed(once: pa.Table, keys: list[str], target: str) -> pa.Table:
    import pyarrow.compute as pc

    low, high = f"{target}_min", f"{target}_max"
    once = once.filter(pc.field(low) == pc.field(high))
    return once.select([*keys, low]).rename_columns([*keys, target])


def _columns(dataset: DatasetVersion, version: LabelsVersion) -> list[str]:
    names = [tables.PARTITION, *dataset.key, dataset.event_time, version.target, labels.LABELLED_AT]
    return list(dict.fromkeys(names))


def _table(dataset: DatasetVersion, version: LabelsVersion) -> ds.FileSystemDataset:
    table = tables.dataset(version.uri, version.version)
    if missing := [name for name in _columns(dataset, version) if name not in table.schema.names]:
        raise SchemaMismatch(
            f"The labels at {version.uri} have no column {', '.join(missing)}; they have {', '.join(table.schema.names)}. "
            "They were brought by another labels.source: move that table away, and run their partitions again."
        )
    return table


def _none(dataset: DatasetVersion, version: LabelsVersion) -> pa.Table:
    """Return an empty table of labels, in place of one that does not exist yet."""
    import pyarrow as pa

    schema = tables.normalise(tables.dataset(dataset.uri, dataset.version).schema.empty_table()).schema
    own = {version.target: pa.float64(), labels.LABELLED_AT: pa.timestamp("us", "UTC")}
    names = _columns(dataset, version)
    return pa.schema([(name, own.get(name) or schema.field(name).type) for name in names]).empty_table()
