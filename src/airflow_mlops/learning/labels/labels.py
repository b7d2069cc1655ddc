"""Labels that come later than their rows: a table of their own, which says from when each label is known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import are_texts
from airflow_mlops.domain.facts.labels import LabelsReport
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import BadRows, SchemaMismatch, SourceMissing, WriteConflict
from airflow_mlops.learning.labels import due, matching, reading
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import pipeline
from airflow_mlops.stores.arrow import count_missing, is_beyond_years, unsigned
from airflow_mlops.stores.clocks import Clocks
from airflow_mlops.stores.tables import column_types, delta, tables
from airflow_mlops.stores.tables.drafts import paths

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stores.sources.source import Source

LABELLED_AT = "labelled_at"
"""Column of the time from which a label is known."""
_TICK = timedelta(microseconds=1)
_ATTEMPTS = 50


def ingest(
    source: Source,
    partition: Partition,
    *,
    uri: str,
    key: Sequence[str],
    event_time: str,
    target: str,
    task: str,
    data: str | None = None,
    ambiguous: str | None = None,
    classes: tuple[str, ...] = (),
    pii: Collection[str] = (),
    delay: timedelta = timedelta(0),
) -> LabelsReport:
    """Write the labels that a source has for a partition: those that became known during it.

    Keys are read with the types that the published data has, as the source writes them. One that cannot be read so is
    a key that the data lacks.

    :param data: URI of the published data; None means data that is not a table of ours, so that nobody knows its keys.
    :param ambiguous: as of :func:`write`, as is ``classes``.
    :param pii: columns whose values no message about cells that cannot be read, or are no class, shows.
    :param delay: how long after its event time a label is known: until a published row is that old, a source may have nothing.
    :raises SourceMissing: if the source has nothing for the partition, and a row can have a label by its end.
    :raises SchemaMismatch: if a cell of another column cannot be read; else errors are those of :func:`write`.
    """
    types = matching.types(data, key)
    if are_texts(classes):
        types |= {target: "string"}
    expected = dict.fromkeys([event_time, LABELLED_AT], "timestamp[us, tz=UTC]")
    expected |= {target: "double"} if task == "regression" else {}
    keys = [name for name in key if name != event_time]
    early = [] if data is None else [name for name in keys if name not in matching.published(data).names]
    unnamed = target if task == "classification" and not classes else None
    try:
        read = reading.read(source, partition, types, keys, expected, early, unnamed, pii)
    except SourceMissing as error:
        return due.none(source, partition, error, data, delay)
    if read is None:
        return LabelsReport(partition=partition.key, rows=0, new=0, empty=0, contradictory=0)
    strangers = read.labelled(target, task, classes, f"the labels of partition {partition.key}", pii)
    report = write(
        uri,
        read.rows,
        partition,
        key=key,
        event_time=event_time,
        target=target,
        task=task,
        data=data,
        ambiguous=ambiguous,
        classes=classes,
        pii=pii,
    )
    return read.counted(report, strangers)


def write(
    uri: str,
    rows: pa.Table,
    partition: Partition,
    *,
    key: Sequence[str],
    event_time: str,
    target: str,
    task: str,
    data: str | None = None,
    ambiguous: str | None = None,
    classes: tuple[str, ...] = (),
    pii: Collection[str] = (),
) -> LabelsReport:
    """Add labels to the table. A label that is there already changes nothing, and the order of runs does not matter.

    A label is known from its ``labelled_at``, or the end of the partition if there is no such column; never from before
    the partition, whose run was the first that could see it. Labels of one key that differ are all kept: which one is
    true cannot be decided here (see :mod:`airflow_mlops.learning.labels.join`).

    :param partition: partition of the run that adds them.
    :param rows: key, event time (of the row that the label is about), target and perhaps ``labelled_at``.
    :param data: URI of the published data, whose types keys take, and whose rows the labels are counted against; None
        if nobody knows its keys.
    :param ambiguous: which one is meant by a time without an offset that occurs twice in the time zone of the partition:
        ``earlier`` or ``later``; None refuses it.
    :param classes: names of the classes that labels may have; none takes any text, and of numbers 0 and 1.
    :param pii: columns whose values no message shows.
    :raises OtherPartitions: if the data has partitions of another length or time zone.
    :raises SchemaMismatch: if a column is missing or of a wrong type, or a label is none of the classes.
    :raises BadRows: if a key or time is missing, or the clocks of the time zone show a time twice or never.
    :raises WriteConflict: if other writers were faster again and again.
    """
    import pyarrow.compute as pc

    where = f"the labels of partition {partition.key}"
    columns = None if data is None else matching.published(data)
    if data is not None:
        matching.refuse_other_grain(data, partition, where)
    rows = _instants(rows, partition, [*key], event_time, columns, ambiguous, where)
    prepared = _columns(tables.normalise(rows), partition, [*key], event_time, target, task, where)
    labelled, values = pipeline.labels(prepared, target, task)
    if task == "classification":
        label_classes.refuse_others(values, classes, target, where, masked=target in pii)
    column = label_classes.column_of(values, as_text=are_texts(classes))
    labelled = labelled.set_column(labelled.column_names.index(target), target, column)
    fitting, misfits, retyped = matching.fitted(labelled, key, columns or labelled.schema, where)
    folders = _partitions(fitting[event_time], partition)
    new = contradictory = 0
    touched = []
    for name in pc.unique(folders).sort().to_pylist() if fitting.num_rows else []:
        added, clashes = _merge(uri, fitting.filter(pc.equal(folders, name)), name, [*key], target)
        contradictory += clashes
        if added:
            new += added
            touched.append(name)
    unmatched = None
    if data is not None:
        unmatched = matching.unmatched(fitting.append_column(tables.PARTITION, folders), key, data)
        unmatched = unmatched.model_copy(update={"unknown": unmatched.unknown + misfits, "retyped": retyped})
    return LabelsReport(
        partition=partition.key,
        rows=labelled.num_rows,
        new=new,
        empty=prepared.num_rows - labelled.num_rows,
        contradictory=contradictory,
        touched=tuple(touched),
        unmatched=unmatched,
    )


def touched(uri: str, partition: Partition) -> list[str]:
    """Return the partitions of event time that have labels which became known during a partition."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    if not tables.exists(uri):
        return []
    at = ds.field(LABELLED_AT)
    with delta.errors(uri):
        recent = tables.dataset(uri).to_table(
            columns=[tables.PARTITION], filter=(at >= partition.start) & (at < partition.end)
        )
    return sorted(pc.unique(recent[tables.PARTITION]).to_pylist())


def later(times: pa.ChunkedArray, others: pa.ChunkedArray | pa.Scalar) -> pa.ChunkedArray:
    """Return the later of two times, row by row; null where either is null."""
    import pyarrow.compute as pc

    return pc.if_else(pc.less(times, others), others, times)


def _instants(
    rows: pa.Table,
    partition: Partition,
    key: list[str],
    event_time: str,
    columns: pa.Schema | None,
    ambiguous: str | None,
    where: str,
) -> pa.Table:
    """Return rows whose times are instants, also in a key that is a time in the data."""
    import pyarrow as pa

    clocks = Clocks(partition.grain.timezone, ambiguous, where)
    times = [event_time, LABELLED_AT]
    if columns is not None and partition.grain.timezone != "UTC":
        times += [
            name for name in key if name in columns.names and pa.types.is_timestamp(columns.field(name).type)
        ]
    rows = clocks.read(column_types.plain(rows, where), times)
    clocks.check()
    for position, field in enumerate(rows.schema):
        if pa.types.is_uint64(field.type):
            # Delta has no such type, and half of its numbers are beyond the signed one.
            rows = rows.set_column(position, field.name, rows[field.name].cast(unsigned()))
    return rows


def _columns(
    rows: pa.Table,
    partition: Partition,
    key: list[str],
    event_time: str,
    target: str,
    task: str,
    where: str,
) -> pa.Table:
    import pyarrow as pa

    roles = {
        target: "the target",
        event_time: "the event time of the row",
        **dict.fromkeys(key, "of the key"),
    }
    names = [*dict.fromkeys([*key, event_time, target])]
    if missing := [name for name in names if rows.column_names.count(name) != 1]:
        columns = ", ".join(f"{name!r} ({roles[name]})" for name in missing)
        raise SchemaMismatch(
            f"{where}: column {columns} must be there once; there is {', '.join(rows.column_names)}. Labels have the "
            "key, the event time of the row that they are about, and the target, by the names that the data has: add or rename "
            "the column in the source"
        )
    kind = pa.timestamp("us", "UTC")
    # A label without a time of its own became known at the end of the partition.
    labelled_at = pa.array([partition.end - _TICK] * rows.num_rows, kind)
    if LABELLED_AT in rows.column_names:
        labelled_at = later(rows[LABELLED_AT], pa.scalar(partition.start, kind))
    rows = rows.select(names).append_column(LABELLED_AT, labelled_at)
    # A row without a label is left out, so its key and times may be missing.
    labelled, _ = pipeline.labels(rows, target, task)
    for name in [*key, event_time, LABELLED_AT]:
        _check(labelled[name], name, where)
    return rows


def _check(column: pa.ChunkedArray, name: str, where: str) -> None:
    import pyarrow as pa

    if pa.types.is_nested(column.type):
        raise SchemaMismatch(f"{where}: {name!r} is {column.type}: a key is text, a number or a time")
    if nulls := count_missing(column):
        raise BadRows(f"{where}: {name} is missing in {nulls:,} of {len(column):,} rows with a label")
    if is_beyond_years(column):
        raise BadRows(f"{where}: {name!r} has times before year 1 or after 9999: correct them in the source")


def _partitions(times: pa.ChunkedArray, partition: Partition) -> pa.Array:
    """Return the key of the partition that holds each time."""
    import pyarrow as pa

    encoded = times.cast(pa.timestamp("s", "UTC"), safe=False).combine_chunks().dictionary_encode()
    keys = [Partition.containing(moment, partition.grain).key for moment in encoded.dictionary.to_pylist()]
    return pa.array(keys, pa.string()).take(encoded.indices)


def _merge(uri: str, rows: pa.Table, name: str, key: list[str], target: str) -> tuple[int, int]:
    """Add labels to one partition of event time; return how many are new, and how many keys have several."""
    for _ in range(_ATTEMPTS):
        earlier, files = rows.schema.empty_table(), list[str]()
        if tables.exists(uri):
            table = tables.open_table(uri)
            earlier, files = tables.read(uri, version=table.version(), partition=name), paths(table, name)
        merged, clashes = _joined(uri, earlier, rows, key, target)
        try:
            # Replace only the files that were read, or labels that another writer has added meanwhile would be lost.
            if tables.digest(merged) != tables.digest(earlier):
                tables.replace_partition(uri, merged, name, seen=files)
        except WriteConflict:
            continue
        return merged.num_rows - earlier.num_rows, clashes
    raise WriteConflict(f"The labels at {uri} are being written by too many at once.")


def _joined(uri: str, earlier: pa.Table, rows: pa.Table, key: list[str], target: str) -> tuple[pa.Table, int]:
    """Return earlier labels and new ones, each once and from its earliest time, and how many keys have several."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        rows = matching.as_stored(uri, rows.select(earlier.column_names), earlier.schema, [*key, target])
        both = pa.concat_tables([earlier, rows])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError) as error:
        raise SchemaMismatch(f"the labels at {uri} have other columns than these: {error}") from error
    same = [column for column in both.column_names if column != LABELLED_AT]
    earliest = both.group_by(same).aggregate([(LABELLED_AT, "min")])
    earliest = earliest.rename_columns([*same, LABELLED_AT]).select(both.column_names)
    earliest = earliest.sort_by([(column, "ascending") for column in [*key, target]])
    values = earliest.group_by(key).aggregate([(target, "count_distinct")])
    return earliest, pc.sum(pc.greater(values[f"{target}_count_distinct"], 1), min_count=0).as_py()
