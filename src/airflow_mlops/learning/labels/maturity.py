"""Labels of a source of their own: which count as of a partition, and in which version of their table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import DatasetVersion, LabelsVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels import labels
from airflow_mlops.stores.tables import delta, tables

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

_TICK = timedelta(microseconds=1)


def pin(uri: str, target: str, until: datetime | None) -> LabelsVersion:
    """Return the version of the table of labels that is the latest now.

    :param uri: of the table; there may be none yet.
    :param target: its column with the label.
    :param until: labels count that were known before; None counts all.
    """
    version = tables.open_table(uri).version() if tables.exists(uri) else None
    return LabelsVersion(uri=uri, target=target, version=version, until=until)


def sealed(
    dataset: DatasetVersion, told: LabelsVersion, since: datetime | None, until: datetime | None
) -> LabelsVersion:
    """Add the digest of the labels that count of ``since <= event time < until``; None means all."""
    return told.model_copy(update={"digest": tables.digest(known(dataset, told, since, until))})


def known(
    dataset: DatasetVersion, told: LabelsVersion, since: datetime | None, until: datetime | None
) -> pa.Table:
    """Return the labels that count of a span of event time, once for each partition and key."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _read(dataset, told, since, until)
    if told.until is not None:
        until_then = pa.scalar(told.until, pa.timestamp("us", "UTC"))
        rows = rows.filter(pc.less(rows[labels.LABELLED_AT], until_then))
    keys = [tables.PARTITION, *dataset.key]
    once = rows.group_by(keys).aggregate([(told.target, "min"), (told.target, "max")])
    return _agreed(once, keys, told.target)


def pinned(
    datasets: Sequence[DatasetVersion], uri: str, target: str
) -> tuple[tuple[DatasetVersion, ...], tuple[LabelsVersion, ...]]:
    """Pin partitions to labels, both sealed: to those known by the end of each, and to all of its rows' labels.

    The labels are read once, however many partitions there are.

    :param datasets: partitions in order.
    :param uri: as for :func:`airflow_mlops.learning.labels.labelled.with_labels`, as is ``target``.
    :return: the partitions as :func:`airflow_mlops.learning.labels.labelled.with_labels` pins them, and the labels of their rows whenever they became known.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    told = pin(uri, target, None)
    rows = _read(datasets[0], told, None, None).sort_by(labels.LABELLED_AT)
    keys = [tables.PARTITION, *datasets[0].key]
    agreed = _agreed(rows.group_by(keys).aggregate([(target, "min"), (target, "max")]), keys, target)
    found, hindsight, known, digest = [], [], 0, ""
    for dataset in datasets:
        until = Partition.parse(dataset.partition, dataset.grain).end
        end = pa.scalar(until, pa.timestamp("us", "UTC"))
        seen = pc.sum(pc.less(rows[labels.LABELLED_AT], end), min_count=0).as_py()
        # Of what was known before, and what became known since.
        if seen > known:
            new = tables.digest(rows.slice(known, seen - known))
            digest, known = hashlib.sha256(f"{digest} {new}".encode()).hexdigest(), seen
        as_of = told.model_copy(update={"until": until, "digest": digest})
        found.append(dataset.model_copy(update={"labels": as_of}))
        own = tables.digest(agreed.filter(pc.field(tables.PARTITION) == dataset.partition))
        hindsight.append(told.model_copy(update={"digest": own}))
    return tuple(found), tuple(hindsight)


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
        return _none(dataset, told).select([tables.PARTITION, *dataset.key, told.target])
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

    :raises SchemaMismatch: if a key cannot be of that type, or different keys are the same then.
    """
    import pyarrow as pa

    given = known
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
    if known is not given and known.group_by(list(key)).aggregate([]).num_rows < known.num_rows:
        raise SchemaMismatch(
            f"Labels have different keys that are the same as {', '.join(str(known.schema.field(name).type) for name in key)}, "
            f"such as '1' and '01': write {', '.join(map(repr, key))} in labels.source as in the data."
        )
    return known


def _read(
    dataset: DatasetVersion, told: LabelsVersion, since: datetime | None, until: datetime | None
) -> pa.Table:
    """Return the rows of the labels' table of a span of event time."""
    if told.version is None:
        return _none(dataset, told)
    _table(dataset, told)
    # The time that a source gives with a label may be another one of the same partition.
    return tables.read(
        told.uri,
        version=told.version,
        columns=_columns(dataset, told),
        event_time=dataset.event_time,
        since=since and Partition.containing(since, dataset.grain).start,
        until=until and Partition.containing(until - _TICK, dataset.grain).end,
    )


def _agreed(once: pa.Table, keys: list[str], target: str) -> pa.Table:
    import pyarrow.compute as pc

    low, high = f"{target}_min", f"{target}_max"
    once = once.filter(pc.field(low) == pc.field(high))
    return once.select([*keys, low]).rename_columns([*keys, target])


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
    own = {told.target: pa.float64(), labels.LABELLED_AT: pa.timestamp("us", "UTC")}
    names = _columns(dataset, told)
    return pa.schema([(name, own.get(name) or schema.field(name).type) for name in names]).empty_table()
