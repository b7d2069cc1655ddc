"""What published partitions let one expect: of each column, and of a partition as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil, floor, log10
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.checks import Severity
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.stages.validate import profiles
from airflow_mlops.stages.validate.history import LAST

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stages.validate.profiles import Profile

CODES = 10
"""Maximum number of different whole numbers of a column that is taken for codes and not for a measure."""

REPEATED = 20
"""Rows that a value of a set must have on average; with fewer, a value that was never seen means little."""

MARGIN = 1.0
"""Share of the spread by which a range is widened on each side.

The margin is wide because rows out of range are set aside, and a summer may well bring values that no winter
has.
"""

LARGEST = 2**53
"""Great Expectations compares floating-point numbers, which are exact for whole numbers up to here."""

_TYPES = {
    "bool": "bool",
    "string": "str",
    "float": "float32",
    "double": "float64",
    "timestamp[us, tz=UTC]": "Timestamp",
    **{f"int{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
}
"""Names that Great Expectations gives to the types of columns, with or without nulls."""


class Suggestion(NamedTuple):
    """One expectation, and what it was learned from.

    :param seen: what it was learned from, in words.
    """

    name: str
    args: Mapping[str, Any]
    severity: Severity
    seen: str


class ProfiledColumn(NamedTuple):
    """One column, with a profile of each partition, the earliest first."""

    name: str
    kind: pa.DataType
    profiles: Sequence[Profile]

    @property
    def present(self) -> int:
        return sum(profile.present for profile in self.profiles)

    @property
    def values(self) -> dict[Any, int] | None:
        """Number of rows by value; None if the values are too many for a set, or the rows too few to tell."""
        counts: dict[Any, int] = {}
        for profile in self.profiles:
            if profile.values is None:
                return None
            for value, rows in profile.values.items():
                counts[value] = counts.get(value, 0) + rows
        limit = profiles.VALUES if str(self.kind) == "string" else CODES
        return counts if 0 < len(counts) <= limit and self.present >= REPEATED * len(counts) else None


def row_count(rows: Mapping[str, int], learned: Sequence[str]) -> Suggestion:
    """Return how far the rows of a partition may be from those of the partitions before it.

    :param rows: number of rows by partition, those that were not learned from included.
    :param learned: keys of the partitions to learn from, in order.
    """
    keys = sorted(rows)
    apart = [0.0]
    for position in range(1, len(keys)):
        if keys[position] in learned:
            middle = median(rows[key] for key in keys[max(0, position - LAST) : position])
            apart.append(abs(rows[keys[position]] - middle) / middle)
    tolerance = max(0.5 if len(keys) == 1 else 0.25, _outward(1.5 * max(apart), ceil))
    seen = [rows[key] for key in learned]
    description = f"{_span(min(seen), max(seen))} rows a partition"
    if len(apart) > 1:
        description += f", up to {max(apart):.0%} from the {LAST} before"
    name = "expect_table_row_count_to_be_near_last_partitions"
    return Suggestion(name, {"tolerance": tolerance}, Severity.WARN, description)


def unique(key: Sequence[str]) -> Suggestion:
    """Return that the key is unique."""
    seen = "the key, unique in each partition"
    if len(key) == 1:
        return Suggestion("expect_column_values_to_be_unique", {"column": key[0]}, Severity.BLOCK, seen)
    columns = {"column_list": list(key)}
    return Suggestion("expect_compound_columns_to_be_unique", columns, Severity.BLOCK, seen)


def freshness(column: ProfiledColumn, learned: Sequence[str], grain: str) -> str:
    """Return how long before the end of its partition the last event was, as a comment.

    :param column: the event time.
    """
    ends = [Partition.parse(key, grain).end for key in learned]
    gaps = [
        end - profile.high
        for end, profile in zip(ends, column.profiles, strict=True)
        if profile.high is not None
    ]
    return (
        f"  # the last event is at most {max(gaps)} before the end of its partition; that none is outside of it is "
        "checked when it is ingested"
    )


def of_column(column: ProfiledColumn, *, key: Sequence[str], event_time: str) -> Iterator[Suggestion]:
    """Yield what a column lets one expect: its type, missing values, and its set or range of values."""
    name = {"column": column.name}
    if kind := _TYPES.get(str(column.kind)):
        args = {**name, "type_": kind}
        yield Suggestion("expect_column_values_to_be_of_type", args, Severity.BLOCK, f"always {column.kind}")
    yield from _nulls(column, identifies=column.name in (*key, event_time))
    if column.name in (*key, event_time) or not column.present:
        return
    values = column.values
    if values is not None:
        yield _set(column, values)
    elif profiles.is_number(column.kind) and not any(profile.infinite for profile in column.profiles):
        yield from _numbers(column)


def _nulls(column: ProfiledColumn, *, identifies: bool) -> Iterator[Suggestion]:
    worst = max(profile.missing for profile in column.profiles)
    name, args = "expect_column_values_to_not_be_null", {"column": column.name}
    if not worst:
        severity = Severity.BLOCK if identifies else Severity.QUARANTINE
        yield Suggestion(name, args, severity, f"never missing in {_basis(column)}")
        return
    mostly = floor((1 - 1.5 * worst - 0.01) * 1000) / 1000
    if mostly > 0:
        least = min(profile.missing for profile in column.profiles)
        seen = f"{_span(least, worst, '.1%')} missing in {_basis(column)}"
        yield Suggestion(name, {**args, "mostly": mostly}, Severity.WARN, seen)


def _set(column: ProfiledColumn, values: Mapping[Any, int]) -> Suggestion:
    seen = f"{counted(len(values), 'different value')} in {_basis(column)}"
    args = {"column": column.name, "value_set": sorted(values)}
    name = "expect_column_values_to_be_in_set"
    if str(column.kind) == "string":
        # A new text, such as another shop or carrier, is worth a warning and no error.
        return Suggestion(name, {**args, "mostly": 0.99}, Severity.WARN, seen)
    return Suggestion(name, args, Severity.QUARANTINE, seen)


def _numbers(column: ProfiledColumn) -> Iterator[Suggestion]:
    import pyarrow as pa

    nonempty = [profile for profile in column.profiles if profile.present]
    low, high = min(profile.low for profile in nonempty), max(profile.high for profile in nonempty)
    if max(abs(low), abs(high)) > LARGEST:
        return
    margin = MARGIN * (float(high) - float(low)) or MARGIN * abs(float(high)) or 1.0
    bounds = _widened(float(low), float(high), margin, whole=pa.types.is_integer(column.kind))
    yield Suggestion(
        "expect_column_values_to_be_between",
        {"column": column.name, "min_value": bounds[0], "max_value": bounds[1]},
        Severity.QUARANTINE,
        f"seen {_span(low, high)} in {_basis(column)}",
    )
    deviations = [profile.deviation for profile in nonempty]
    if min(profile.present for profile in nonempty) < REPEATED:
        return
    # A constant's computed deviation may be a rounding error.
    if min(deviations) <= 1e-9 * max(abs(float(low)), abs(float(high))):
        return
    means = [profile.mean for profile in nonempty]
    room = max(max(means) - min(means), (0.5 if len(nonempty) == 1 else 0.25) * median(deviations))
    for what, seen, (lower, upper) in (
        ("mean", means, _within_sign(low, high, min(means) - room, max(means) + room)),
        ("stdev", deviations, (min(deviations) / 2, max(deviations) * 2)),
    ):
        yield Suggestion(
            f"expect_column_{what}_to_be_between",
            {"column": column.name, "min_value": _outward(lower, floor), "max_value": _outward(upper, ceil)},
            Severity.WARN,
            f"seen {_span(min(seen), max(seen))} in {_basis(column)}",
        )


def _widened(low: float, high: float, margin: float, *, whole: bool) -> tuple[float, float]:
    lower, upper = _within_sign(low, high, low - margin, high + margin)
    if whole:
        return floor(lower), ceil(upper)
    return _outward(lower, floor, margin), _outward(upper, ceil, margin)


def _within_sign(low: float, high: float, lower: float, upper: float) -> tuple[float, float]:
    """Return wider bounds; they are not negative if no value was, and not positive if no value was."""
    return (lower if low < 0 else max(0.0, lower)), (upper if high > 0 else min(0.0, upper))


def _outward(value: float, way: Callable[[float], int], scale: float | None = None) -> float:
    """Round a bound up or down to three significant digits, or to two digits of a scale."""
    if not value:
        return 0.0
    digits = 2 - floor(log10(abs(value))) if scale is None else 1 - floor(log10(scale))
    rounded = round(way(value * 10.0**digits) * 10.0**-digits, max(digits, 0))
    # For numbers far from 0, rounding may lose the last digit.
    return rounded if (rounded <= value if way is floor else rounded >= value) else value


def _span(low: Any, high: Any, form: str = "") -> str:
    ends = [f"{end:{form}}" if form else _number(end) for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else " … ".join(ends)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.6g}"


def _basis(column: ProfiledColumn) -> str:
    return f"{counted(len(column.profiles), 'partition')}, {counted(column.present, 'value')}"
