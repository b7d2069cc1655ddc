"""Which partitions a spec has: their calendar, and the first and the last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationInfo

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.loading import describe


def calendar(info: ValidationInfo) -> Calendar | None:
    """Return what a spec says about the length of partitions and their time zone; None if it cannot be used."""
    grain, timezone = info.data.get("partition"), info.data.get("timezone")
    return None if grain is None or timezone is None else Calendar.of(grain, timezone)


def bound(value: Any, calendar: Calendar, start: str | None) -> str:
    """Return the key of a partition.

    :param start: key of the partition that it must not be before; None if there is none.
    :raises ValueError: if it is no key of a partition.
    """
    grain = calendar.grain
    example = Partition.containing(datetime(2013, 1, 7, tzinfo=UTC), grain).key
    if not isinstance(value, str):
        raise ValueError(f"must be the key of a {grain} partition such as {example}, not {describe(value)}")
    try:
        here = Partition.parse(value, calendar)
    except ValueError as error:
        raise ValueError(str(error).replace(f"as {grain.key_format}", f"like {example}")) from None
    if start and here < Partition.parse(start, calendar):
        raise ValueError(f"{value} is before start, {start}")
    return value
