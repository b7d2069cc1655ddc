"""The point-in-time join: what a slowly changing table said when each row's event happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.counts import counted
from airflow_mlops.exceptions import FutureJoin

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def as_of(
    rows: pa.Table | pd.DataFrame,
    table: pa.Table | pd.DataFrame,
    *,
    time: str,
    known_at: str,
    by: Sequence[str] = (),
    tolerance: timedelta | None = None,
    columns: Sequence[str] | None = None,
    observed_at: str | None = None,
    suffix: str = "",
) -> pa.Table:
    """Add columns of a table as they were known at each row's event time.

    A row gets the values of the latest row of ``table`` with equal ``by`` and ``known_at <= time``, and nulls if there is
    none; its place and the number of rows stay as they are. A null in ``by`` is equal to nothing. The search is that of
    :func:`pandas.merge_asof`.

    :param time: column of ``rows`` with the event time: aware and never null.
    :param known_at: column of ``table`` with the time from which a row could be known, not the time that it is about:
        aware and never null.
    :param by: columns of both that have to be equal, such as an airport.
    :param tolerance: how old a row of ``table`` may be at the event time; None means any age.
    :param columns: columns to add; None means all but ``by``, ``known_at`` and ``observed_at``.
    :param observed_at: column of ``table`` with the time of the observation itself, if there is one: nothing is known
        before it was observed.
    :param suffix: appended to the names of the added columns.
    :raises FutureJoin: if the tolerance is negative, or a row of ``table`` says that it was known before it was observed.
    :raises ValueError: if a column is missing, of a wrong type, or there already; if a time is null; or if two rows of
        ``table`` are equal in ``by`` and ``known_at``, so that neither is the latest.
    """
    rows, table = _table(rows), _table(table)
    if tolerance is not None and tolerance < timedelta(0):
        raise FutureJoin(f"a tolerance of {tolerance} would take what became known after {time!r}")
    if not isinstance(by, list | tuple):
        raise ValueError(f"by is {by!r}; it must be a list of columns")
    others = [name for name in (observed_at,) if name]
    added = list(columns) if columns is not None else _others(table, [*by, known_at, *others])
    _need(rows, [time, *by], "the rows")
    _need(table, [known_at, *by, *others, *added], "the table")
    if clash := sorted({f"{name}{suffix}" for name in added} & {*rows.column_names}):
        raise ValueError(
            f"the rows have {', '.join(map(repr, clash))} already; choose other columns, or a suffix"
        )
    _check_times(rows, [time], "the rows")
    _check_times(table, [known_at, *others], "the table")
    for name in others:
        _check_observed(table, name, known_at)
    _check_unique(table, [*by, known_at])
    latest = table.select(added).take(_latest(rows, table, time, known_at, by, tolerance))
    for name in added:
        rows = rows.append_column(f"{name}{suffix}", latest[name])
    return rows


def _table(rows: Any) -> pa.Table:
    import pyarrow as pa

    return rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)


def _others(table: pa.Table, names: Sequence[str]) -> list[str]:
    return [name for name in table.column_names if name not in names]


def _need(table: pa.Table, names: Sequence[str], which: str) -> None:
    if missing := [name for name in names if table.column_names.count(name) != 1]:
        raise ValueError(
            f"{which} must have {', '.join(map(repr, missing))} once; there is {table.column_names}"
        )


def _check_times(table: pa.Table, names: Sequence[str], which: str) -> None:
    import pyarrow as pa

    for name in names:
        kind = table.schema.field(name).type
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            raise ValueError(
                f"{name!r} of {which} is {kind}; it must be a time with a time zone, such as timestamp[us, tz=UTC]"
            )
        if nulls := table[name].null_count:
            raise ValueError(
                f"{name!r} of {which} is null in {counted(nulls, 'row')}, for example in {_example(table, name)}"
            )


def _example(table: pa.Table, name: str) -> dict[str, Any]:
    import pyarrow.compute as pc

    row: dict[str, Any] = table.filter(pc.is_null(table[name])).slice(0, 1).to_pylist()[0]
    return row


def _check_observed(table: pa.Table, observed_at: str, known_at: str) -> None:
    import pyarrow.compute as pc

    # Compared in one unit, as theirs may differ.
    early = table.filter(pc.greater(_utc(table[observed_at], "ns"), _utc(table[known_at], "ns")))
    if early.num_rows:
        first = early.slice(0, 1).to_pylist()[0]
        raise FutureJoin(
            f"{counted(early.num_rows, 'row of the table was', 'rows of the table were')} known before being observed: {known_at!r} is "
            f"{first[known_at]}, {observed_at!r} is {first[observed_at]}, for example"
        )


def _check_unique(table: pa.Table, names: list[str]) -> None:
    import pyarrow.compute as pc

    counts = table.select(names).group_by(names).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        first = {name: str(repeated[name][0].as_py()) for name in names}
        raise ValueError(
            f"{repeated.num_rows:,} times more than one row of the table became known at once, for example at {first}; "
            "keep the one that counts"
        )


def _latest(
    rows: pa.Table,
    table: pa.Table,
    time: str,
    known_at: str,
    by: Sequence[str],
    tolerance: timedelta | None,
) -> pa.Array:
    """Return, for each row, the position of the row of the table that it gets; null if none."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    units = {rows.schema.field(time).type.unit, table.schema.field(known_at).type.unit}
    unit = "ns" if "ns" in units else "us"
    keys = [f"by{number}" for number in range(len(by))]
    event_columns, history_columns = {"time": _utc(rows[time], unit)}, {"time": _utc(table[known_at], unit)}
    for key, name in zip(keys, by, strict=True):
        event_columns[key], history_columns[key] = _comparable(rows[name], table[name], name)
    events, history = _frame(event_columns), _frame(history_columns)
    if events.empty or history.empty:  # pandas fails on text keys if both are empty
        return pa.nulls(rows.num_rows, pa.int64())
    merged = pd.merge_asof(
        events,
        history.rename(columns={"position": "latest"}),
        on="time",
        by=keys or None,
        tolerance=None if tolerance is None else pd.Timedelta(tolerance).as_unit(unit),
    )
    positions = np.full(rows.num_rows, -1)
    positions[merged["position"].to_numpy()] = merged["latest"].fillna(-1).to_numpy().astype("int64")
    return pa.array(positions, mask=positions < 0)


def _utc(times: pa.ChunkedArray, unit: str) -> pa.ChunkedArray:
    import pyarrow as pa

    return times.cast(pa.timestamp(unit, "UTC"))


def _comparable(
    one: pa.ChunkedArray, two: pa.ChunkedArray, name: str
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    import pyarrow as pa

    def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            kind = pa.string()
        return values.cast(pa.int64() if pa.types.is_integer(kind) else kind)

    first, second = plain(one), plain(two)
    if first.type != second.type:
        raise ValueError(
            f"{name!r} is {one.type} in the rows and {two.type} in the table; convert one of them"
        )
    return first, second


def _frame(columns: dict[str, pa.ChunkedArray]) -> pd.DataFrame:
    import numpy as np
    import pyarrow as pa

    table = pa.table({**columns, "position": np.arange(len(columns["time"]))})
    return table.drop_null().to_pandas().sort_values("time", kind="stable")
