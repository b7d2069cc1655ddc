"""Types of the values in a spec."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from math import isfinite, isinf
from typing import Annotated, Any, NamedTuple
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    WithJsonSchema,
)

from airflow_mlops.domain.metrics import FAMILIES, METRICS, Metric, Task, find, forms, metric_of, nearest
from airflow_mlops.domain.offsets import zone_of
from airflow_mlops.domain.spec.loading import Place, describe, shorten
from airflow_mlops.domain.spec.problems import Problems, did_you_mean, one_of
from airflow_mlops.exceptions import UnknownPartition

BY_METRIC = "by metric: the least of a score, the greatest of a loss or an error."
"""How a floor is read, for descriptions of keys."""
RESERVED_COLUMNS = ("_partition", "_reasons", "_was", "_unreadable", "_reason", "_by", "_at", "_columns")
"""Columns that our tables add to the columns of the data."""
RESERVED_NAMES = ("artifacts", "changes", "reports")
"""Folders of the storage that are no dataset's."""

_SPELT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "ł": "l"}
)
"""Letters that others stand for where only those of English can be written; of the rest the marks are left out."""


class KofN(NamedTuple):
    """At least ``k`` of the last ``n`` partitions; written ``2 of 3``."""

    k: int
    n: int

    def __str__(self) -> str:
        return f"{self.k} of {self.n}"


def identifier(text: str) -> str:
    """Return a text as small letters of English, digits and underscores: ``Kündigungen 2025`` is ``kuendigungen_2025``."""
    spelt = unicodedata.normalize("NFC", text.lower()).translate(_SPELT)
    bare = "".join(
        letter for letter in unicodedata.normalize("NFD", spelt) if not unicodedata.combining(letter)
    )
    return re.sub(r"[^a-z0-9_]+", "_", bare).strip("_")


def checked_name(value: object) -> str:
    """Return the name of a dataset, a model or a table; refuse what cannot name all that is called after it."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", value):
        valid = identifier(str(value))
        hint = f", for example {valid}" if re.fullmatch(r"[a-z][a-z0-9_]{0,99}", valid) else ""
        rule = "begin with a small letter, then small letters, digits and _, at most 100 in all"
        raise ValueError(f"{shorten(repr(value))} cannot name DAGs and a registered model: {rule}{hint}")
    if value in RESERVED_NAMES:
        raise ValueError(f"{value!r} is a folder of ours beside the tables; choose another name")
    return value


def _time_zone(value: str) -> str:
    try:
        zone_of(value)
    except UnknownPartition as error:
        raise ValueError(f"{error}{did_you_mean(value, available_timezones())}".rstrip(";")) from None
    return value


def _line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError(f"must be one line of text, not {describe(value)}")
    return value


def _column(value: str) -> str:
    if _line(value).casefold() in RESERVED_COLUMNS:
        raise ValueError(f"{value!r} is a column that our tables add; rename yours")
    return value


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values, and refuse a value that is listed twice."""
    first: dict[Any, int] = {}
    Problems.raise_any(
        ((position,), f"{shorten(repr(value))} is listed twice")
        for position, value in enumerate(values)
        if first.setdefault(value, position) < position
    )
    return values


def _metric(value: str) -> str:
    if find(value) is None:
        allowed = "; ".join(f"{', '.join(forms(task))} ({task})" for task in Task)
        raise ValueError(
            f"{shorten(repr(value))} is no metric{did_you_mean(value, nearest(value))} allowed: {allowed}"
        )
    return value


def of_another_task(name: str, task: Task) -> str:
    """Return the complaint that a metric is not for a task, with the metrics that are."""
    return f"{name} judges {metric_of(name).task}, not {task}{one_of(name, forms(task))}"


def other_task(bounds: Iterable[str], task: Task, place: Place) -> list[tuple[Place, str]]:
    """Return a complaint about each metric that is not for a task, with its place.

    :param bounds: names of metrics.
    :param place: place of the mapping whose keys they are.
    """
    return [((*place, name), of_another_task(name, task)) for name in bounds if metric_of(name).task != task]


def _bounds(metric: Metric) -> str:
    if isinf(metric.low):
        return f"at most {metric.high:g}"
    return f"at least {metric.low:g}" if isinf(metric.high) else f"{metric.low:g} to {metric.high:g}"


def _possible(floor: dict[str, float]) -> dict[str, float]:
    Problems.raise_any(
        ((name,), f"cannot be {value:g}: {name} is {_bounds(metric_of(name))}")
        for name, value in floor.items()
        if not metric_of(name).low <= value <= metric_of(name).high
    )
    return floor


_DURATION = re.compile(r"P(?=.)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def _duration(value: Any) -> timedelta:
    if isinstance(value, str) and len(value) <= 30 and (match := _DURATION.fullmatch(value)):
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        try:
            return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError:
            raise ValueError(f"{value} is longer than a calendar") from None
    if isinstance(value, timedelta) and value >= timedelta(0) and not value.microseconds:
        return value
    raise ValueError(
        f"must be a duration in weeks, days, hours, minutes and whole seconds, such as P7D or PT12H, not "
        f"{value if isinstance(value, timedelta) else describe(value)}"
    )


def iso(value: timedelta) -> str:
    """Return a duration as ISO 8601 text, as a spec has it."""
    return f"P{value.days}D" + (f"T{value.seconds}S" if value.seconds else "")


def _k_of_n(value: Any) -> KofN:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,6}) of (\d{1,6})", value)):
        value = KofN(int(match[1]), int(match[2]))
    if not isinstance(value, KofN):
        raise ValueError(f"must be written like 2 of 3, not {describe(value)}")
    if not 1 <= value.k <= value.n:
        raise ValueError(f"cannot be {value}: the first number is at least 1 and at most the second")
    return value


def _json(value: Any) -> Any:
    complaints: list[tuple[Place, str]] = []
    plain = _plain(value, (), complaints)
    Problems.raise_any(complaints)
    return plain


def _plain(value: Any, place: Place, complaints: list[tuple[Place, str]]) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(element, (*place, position), complaints) for position, element in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(element, (*place, key), complaints) for key, element in value.items()}
    if isinstance(value, float) and not isfinite(value):
        complaints.append((place, f"must be a finite number, not {value}"))
    elif value is not None and type(value) not in (str, bool, int, float):
        kinds = "text, a number, true, false, null, a list, or a mapping with text as keys"
        complaints.append((place, f"must be {kinds}, not {describe(value)}"))
    return value


_OWN_NAME = {"pattern": r"^[a-z][a-z0-9_.]*$"}


def _range(low: float, high: float) -> dict[str, Any]:
    ends = {"minimum": low, "maximum": high}
    return {"type": "number", **{end: value for end, value in ends.items() if isfinite(value)}}


Text = Annotated[str, Strict()]
Line = Annotated[str, Strict(), AfterValidator(_line), Field(json_schema_extra={"minLength": 1})]
TimeZone = Annotated[str, Strict(), AfterValidator(_time_zone), Field(json_schema_extra={"minLength": 1})]
Name = Annotated[
    str,
    Strict(),
    AfterValidator(checked_name),
    Field(json_schema_extra={"pattern": "^[a-z][a-z0-9_]{0,99}$"}),
]
Column = Annotated[str, Strict(), AfterValidator(_column), Field(json_schema_extra={"minLength": 1})]
Columns = Annotated[tuple[Column, ...], AfterValidator(unique)]
SomeColumns = Annotated[tuple[Column, ...], Field(min_length=1), AfterValidator(unique)]
Whole = Annotated[int, Strict(), Field(ge=0)]
Count = Annotated[int, Strict(), Field(ge=1)]
MOST_PARTITIONS = 1_000_000
"""Most partitions that a number of them in a spec can be: more than a century of hours."""


def too_many(value: int) -> str:
    """Say that a number of partitions is beyond what there can be."""
    return f"must be at most {MOST_PARTITIONS:,} partitions, which are more than a century of hours, not {describe(value)}"


def _partition_count(value: int) -> int:
    if value > MOST_PARTITIONS:
        raise ValueError(too_many(value))
    return value


WholePartitions = Annotated[
    Whole, AfterValidator(_partition_count), Field(json_schema_extra={"maximum": MOST_PARTITIONS})
]
PartitionCount = Annotated[
    Count, AfterValidator(_partition_count), Field(json_schema_extra={"maximum": MOST_PARTITIONS})
]
Number = Annotated[float, Strict()]
Share = Annotated[float, Strict(), Field(gt=0, le=1)]
Confidence = Annotated[float, Strict(), Field(ge=0.5, lt=1)]
MetricName = Annotated[
    str,
    Strict(),
    AfterValidator(_metric),
    WithJsonSchema(
        {
            "type": "string",
            # The last are names of one's own, which no schema knows.
            "anyOf": [
                {"enum": list(METRICS)},
                *({"pattern": f"^{family.pattern}$"} for family in FAMILIES),
                _OWN_NAME,
            ],
        }
    ),
]
Floor = Annotated[
    dict[MetricName, Number],
    AfterValidator(_possible),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {name: _range(metric.low, metric.high) for name, metric in METRICS.items()},
            "patternProperties": {f"^{family.pattern}$": _range(0, family.high) for family in FAMILIES},
            "propertyNames": _OWN_NAME,
            "additionalProperties": {"type": "number"},
        }
    ),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(iso),
    WithJsonSchema({"type": "string", "pattern": r"^P(\d+W)?(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?$"}),
]
KofNText = Annotated[
    KofN,
    PlainValidator(_k_of_n),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^[1-9]\d* of [1-9]\d*$"}),
]
Json = Annotated[Any, AfterValidator(_json)]
