"""Guesses at what a person would answer, each with its reason."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from itertools import combinations, islice
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.calendars import Calendar, Grain
from airflow_mlops.domain.classes import MOST
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.stages.init import column_names
from airflow_mlops.stages.init.look import ColumnLook, Look
from airflow_mlops.stages.validate.learned import CODES
from airflow_mlops.stages.validate.profiles import is_number
from airflow_mlops.stores.sources.bytes import NULLS

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST, MANY = 6, 60
"""Partitions that a history should have."""
_ROWS = 100
"""Rows that a partition should have."""
_NEARLY = 0.9
"""Share of rows that a column tells apart from which on it is named as one that nearly does."""
_TRIES = 200
"""Keys of several columns that are tried."""
_YEARS = (1950, 2100)
"""Years of events that somebody predicts; a time elsewhere is rather one that stands for a missing one."""
_CATEGORIES = 50


class Guess(NamedTuple):
    """A value, and why it is likely."""

    value: str
    reason: str


class KeyGuess(NamedTuple):
    """Columns that identify a row, none if no columns do, and why they are likely."""

    columns: tuple[str, ...]
    reason: str


def task_of(column: ColumnLook) -> Task | None:
    """Return the task of a target; None if it can be none."""
    from pyarrow import types

    kind, values = column.kind, column.profile.values
    if types.is_boolean(kind):
        return Task.CLASSIFICATION
    if types.is_string(kind) or types.is_large_string(kind):
        few = values is not None or column.distinct <= min(MOST, column.profile.present // 10)
        return Task.CLASSIFICATION if few and column.distinct > 1 else None
    if not is_number(kind) or column.is_constant:
        return None
    return Task.CLASSIFICATION if column.whole and column.distinct <= CODES else Task.REGRESSION


def target(look: Look) -> Guess | None:
    """Guess the column to predict: by its name, then the last that can be a target."""
    able = {
        name: task
        for name, column in look.columns.items()
        if (task := task_of(column)) and column.missing < 1 and not column_names.is_row_number(name)
    }
    named = [name for name in able if column_names.target_place(name) is not None]
    if named:
        name = min(named, key=lambda name: (column_names.target_place(name), name))
        return Guess(name, f"{describe(look.columns[name])}, and its name")
    plain = [
        name for name in able if not column_names.identifies(name) and not column_names.is_personal(name)
    ]
    if not plain:
        return None
    last = plain[-1]
    is_last = last == list(look.columns)[-1]
    return Guess(
        last,
        f"{describe(look.columns[last])}, {'last column' if is_last else 'last that is no time or text'}",
    )


def describe(column: ColumnLook) -> str:
    """Say in a few words which values a column holds."""
    from pyarrow import types

    if types.is_boolean(column.kind):
        return "true or false"
    if task_of(column) is Task.CLASSIFICATION:
        number = {2: "two", 3: "three", 4: "four", 5: "five"}.get(column.distinct, f"{column.distinct:,}")
        return f"{number} values"
    if is_number(column.kind):
        return "numbers"
    return "times" if column.hours else "texts"


def times(look: Look, besides: Collection[str] = (), *, is_named: bool = False) -> list[str]:
    """Return the columns that can be event times, the likeliest first.

    They have a time in each row, and unless a person names them more than one, of years in which there may be events.
    """
    able = [
        name
        for name, column in look.columns.items()
        if name not in besides
        and column.hours
        and sum(column.hours.values()) == column.rows
        and (is_named or _is_likely(column))
    ]
    order = list(look.columns)
    return sorted(able, key=lambda name: (_or_last(column_names.time_place(name)), order.index(name)))


def time(look: Look, besides: Collection[str] = ()) -> Guess | None:
    """Guess the event time; None if no column can be one."""
    names = times(look, besides)
    if not names:
        return None
    column = look.columns[names[0]]
    span = f"{min(column.hours):%Y-%m-%d} to {max(column.hours):%Y-%m-%d}"
    only = "the only column of times" if len(names) == 1 else "a time in each row"
    return Guess(names[0], f"{only}, {span}")


def grain(column: ColumnLook) -> Guess:
    """Guess how long a partition is: the longest of which there are enough, with enough rows."""
    counts = {grain: partitions(column, grain) for grain in Grain}
    longest = [Grain.MONTH, Grain.WEEK, Grain.DAY, Grain.HOUR]
    fits = [
        grain
        for grain in longest
        if len(counts[grain]) >= FEWEST and _middle(counts[grain].values()) >= _ROWS
    ]
    chosen = fits[0] if fits else next(
        (grain for grain in longest if len(counts[grain]) > 1 and _middle(counts[grain].values()) >= _ROWS),
        next((grain for grain in longest if len(counts[grain]) > 1), Grain.DAY),
    )  # fmt: skip
    rows = _middle(counts[chosen].values())
    return Guess(chosen.value, f"{counted(len(counts[chosen]), 'partition')} of about {counted(rows, 'row')}")


def partitions(column: ColumnLook, grain: Grain) -> dict[str, int]:
    """Return the number of rows of each partition, by its key, in order."""
    calendar = Calendar.of(grain)
    rows: dict[str, int] = {}
    for hour in sorted(column.hours):
        key = Partition.containing(hour, calendar).key
        rows[key] = rows.get(key, 0) + column.hours[hour]
    return rows


def keys(look: Look, target: str, time: str | None) -> Iterator[KeyGuess]:
    """Yield keys that are unique in the sample, the likeliest first: one column, then two and three."""
    able = [
        column
        for name, column in look.columns.items()
        if name != target and not column.missing and not _is_measure(column) and column.distinct > 1
    ]
    alone = [column for column in able if column.distinct == look.sample.num_rows and column.name != time]
    for column in sorted(
        alone,
        key=lambda column: (
            not column_names.identifies(column.name),
            column_names.is_row_number(column.name),
        ),
    ):
        if column_names.identifies(column.name) or column_names.is_row_number(column.name):
            yield KeyGuess((column.name,), "unique, and its name")
        elif not is_number(column.kind) and not column.hours and column.words < 2:
            yield KeyGuess((column.name,), "unique, one word in each row")
    parts = [column for column in able if not is_number(column.kind) or column_names.identifies(column.name)]
    parts = [
        column
        for column in parts
        if column.missing == 0 and not (set(NULLS) & (column.profile.values or {}).keys())
    ]
    parts = sorted(
        parts,
        key=lambda column: (column.name != time, not column_names.identifies(column.name), -column.distinct),
    )
    several = [names for size in (2, 3) for names in combinations([part.name for part in parts[:10]], size)]
    for names in islice(several, _TRIES):
        if any(column_names.identifies(name) or name == time for name in names) and is_unique(
            look.sample, names
        ):
            order = [name for name in look.columns if name in names]
            yield KeyGuess(tuple(order), "together unique")


def near_key(look: Look, target: str) -> str | None:
    """Return the column whose name says that it identifies rows, and which does so for most of the sample; None without one."""
    least = _NEARLY * look.sample.num_rows
    near = [
        column
        for name, column in look.columns.items()
        if name != target
        and not column.missing
        and column.distinct >= least
        and column_names.identifies(name)
    ]
    return max(near, key=lambda column: column.distinct).name if near else None


def is_unique(rows: pa.Table, names: Collection[str]) -> bool:
    """Tell whether no two rows have the same values in some columns."""
    import numpy as np

    from airflow_mlops.stores.tables import digests

    row_digests = digests.rows(rows.select(list(names)))
    return np.unique(row_digests).size == row_digests.size


def delay(column: ColumnLook, labelled_until: datetime | None, until: datetime) -> Guess:
    """Guess how long labels take, from the last row that has one.

    :param column: the target.
    :param labelled_until: time of the last row with a label.
    :param until: time of the last row.
    """
    late = until - (labelled_until or until)
    if not column.missing or late < timedelta(days=1):
        return Guess("P0D", "the latest rows have a label")
    days = -(-late // timedelta(days=1))
    return Guess(f"P{days}D", f"the rows of the last {counted(days, 'day')} have no label")


def _middle(counts: Collection[int]) -> int:
    return sorted(counts)[len(counts) // 2] if counts else 0


def _is_likely(column: ColumnLook) -> bool:
    years = _YEARS[0] <= min(column.hours).year <= max(column.hours).year < _YEARS[1]
    return years and len(column.hours) > 1 and not column_names.is_personal(column.name)


def _or_last(place: int | None) -> int:
    return 10**6 if place is None else place


def _is_measure(column: ColumnLook) -> bool:
    """Tell whether a column measures something, so that its values are different by chance."""
    from pyarrow import types

    kind = column.kind
    if types.is_floating(kind) or types.is_nested(kind) or types.is_boolean(kind) or types.is_decimal(kind):
        return True
    return column.words >= 3 and not column.hours
