"""Ingest: read one partition of a source, and hold it to what the dataset promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.engines.sources import Source
from airflow_mlops.engines.tables import normalise
from airflow_mlops.exceptions import BadRows, EmptyPartition, SchemaMismatch

if TYPE_CHECKING:
    import pyarrow as pa


def ingest(
    source: Source,
    partition: Partition,
    *,
    key: Sequence[str],
    event_time: str,
    required: Sequence[str] = (),
    expected: dict[str, str] | None = None,
) -> pa.Table:
    """Read a partition and check it against the dataset.

    :param required: columns that the model needs besides key and event time.
    :param expected: column types of what is already published; None for the first partition.
    :raises EmptyPartition: if the source has no rows.
    :raises SchemaMismatch: if a column is lost, new, or of another type.
    :raises BadRows: if keys are missing or repeat, or event times lie outside of the partition.
    """
    table = source.read(partition)
    where = f"partition {partition.key} of {source.describe(partition)}"
    if not table.num_rows:
        raise EmptyPartition(f"{where} has no rows")
    if missing := [name for name in (*key, event_time, *required) if name not in table.column_names]:
        raise SchemaMismatch(f"{where} lacks {_names(missing)}; it has {_names(table.column_names)}")
    table = _with_event_time(normalise(table), event_time, where)
    if expected is not None:
        table = _conform(table, expected, where)
    _check_keys(table, key, where)
    _check_times(table, event_time, partition, where)
    return table


def _names(columns: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in columns)


def _with_event_time(table: pa.Table, event_time: str, where: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table[event_time]
    utc = pa.timestamp("us", "UTC")
    try:
        if pa.types.is_string(column.type):
            # A time that names its offset is read as such; one that does not is in UTC.
            named = pc.any(pc.match_substring_regex(column, r"(Z|[+-]\d\d:?\d\d)$")).as_py()
            column = column if named else column.cast(pa.timestamp("us"))
        elif not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
            raise SchemaMismatch(f"{where}: {event_time!r} is {column.type}, not a time")
        column = column.cast(utc)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatch(f"{where}: {event_time!r} cannot be read as a time: {error}") from error
    return table.set_column(table.column_names.index(event_time), event_time, column)


def _conform(table: pa.Table, expected: dict[str, str], where: str) -> pa.Table:
    """Cast columns whose type only looks different, losing nothing; name every real difference."""
    import pyarrow as pa

    problems = [f"column {name!r} is lost" for name in expected if name not in table.column_names]
    problems += [f"column {name!r} is new" for name in table.column_names if name not in expected]
    columns: dict[str, pa.ChunkedArray] = {}
    for name in (name for name in expected if name in table.column_names):
        column, kind = table[name], expected[name]
        wanted = pa.timestamp("us", "UTC") if "[" in kind else pa.type_for_alias(kind)
        try:
            columns[name] = _alike(column, wanted)
        except pa.ArrowInvalid:
            problems.append(f"column {name!r} is {column.type}, was {kind}")
    if problems:
        raise SchemaMismatch(f"{where} has another schema: " + "; ".join(problems))
    return pa.table(columns)


def _alike(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Cast between kinds of numbers, and what has no values; Arrow refuses to lose anything."""
    import pyarrow as pa

    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (column.type, wanted))
    if column.type == wanted:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), wanted)])
    if not numbers:
        raise pa.ArrowInvalid(f"{column.type} is not {wanted}")
    return column.cast(wanted)


def _check_keys(table: pa.Table, key: Sequence[str], where: str) -> None:
    import pyarrow.compute as pc

    for name in key:
        if nulls := table[name].null_count:
            raise BadRows(f"{where}: {nulls:,} rows have no {name!r}, which is part of the key")
    counts = table.select(list(key)).group_by(list(key)).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        first = {name: repeated[name][0].as_py() for name in key}
        raise BadRows(f"{where}: {repeated.num_rows:,} keys stand more than once, for example {first}")


def _check_times(table: pa.Table, event_time: str, partition: Partition, where: str) -> None:
    import pyarrow.compute as pc

    if nulls := table[event_time].null_count:
        raise BadRows(f"{where}: {nulls:,} rows have no {event_time!r}")
    span = pc.min_max(table[event_time]).as_py()
    if span["min"] < partition.start or span["max"] >= partition.end:
        raise BadRows(
            f"{where}: {event_time!r} runs from {span['min']:%Y-%m-%d %H:%M} to {span['max']:%Y-%m-%d %H:%M}, "
            f"outside of {partition.start:%Y-%m-%d %H:%M} to {partition.end:%Y-%m-%d %H:%M} (UTC)"
        )
