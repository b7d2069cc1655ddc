from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.exceptions import OtherValue
from airflow_mlops.stores import written

INSTANT = pa.timestamp("us", "UTC")


def read(value: Any, kind: pa.DataType = INSTANT, zone: str = "Europe/Berlin") -> Any:
    cell = written.read(value, kind, zone)
    assert cell.type == kind
    return cell[0].as_py()


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2024-07-15 12:00:00", "2024-07-15T10:00Z"),
        ("2024-01-15T12:00", "2024-01-15T11:00Z"),
        ("2024-07-15", "2024-07-14T22:00Z"),
        (date(2024, 7, 15), "2024-07-14T22:00Z"),
        (datetime.fromisoformat("2024-07-15T12:00"), "2024-07-15T10:00Z"),
        ("2024-07-15 12:00:00Z", "2024-07-15T12:00Z"),
        ("2024-07-15 12:00:00.000000+05:30", "2024-07-15T06:30Z"),
        (datetime(2024, 7, 15, 12, tzinfo=UTC), "2024-07-15T12:00Z"),
        # The hour that occurs twice, told apart.
        ("2024-10-27 02:30:00+02:00", "2024-10-27T00:30Z"),
        ("2024-10-27 02:30:00+01:00", "2024-10-27T01:30Z"),
    ],
)
def test_a_time_is_what_the_clocks_show_or_what_its_offset_says(value: Any, instant: str) -> None:
    assert read(value) == datetime.fromisoformat(instant)


def test_a_date_is_the_beginning_of_its_day_even_where_clocks_skip_midnight() -> None:
    assert read(date(2018, 11, 4), zone="America/Sao_Paulo") == datetime(2018, 11, 4, 3, tzinfo=UTC)


def test_in_utc_a_time_without_an_offset_is_one_of_utc() -> None:
    assert read("2024-10-27 02:30:00", zone="UTC") == datetime(2024, 10, 27, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "zone", "problem"),
    [
        (
            "2024-10-27 02:30:00",
            "Europe/Berlin",
            "occurs twice in Europe/Berlin, as clocks are set back: write its offset behind it, +02:00 or +01:00",
        ),
        ("2024-11-03 01:15:00", "America/New_York", "write its offset behind it, -04:00 or -05:00"),
        (datetime.fromisoformat("2024-11-03T02:00"), "America/St_Johns", None),
        (datetime.fromisoformat("2024-11-03T01:00"), "America/St_Johns", "it, -02:30 or -03:30"),
        (
            "2024-03-31 02:30:00",
            "Europe/Berlin",
            "never occurs in Europe/Berlin, as clocks are set ahead: correct it, or write its offset behind it",
        ),
        ("2018-11-04 00:00:00", "America/Sao_Paulo", "never occurs in America/Sao_Paulo"),
    ],
)
def test_a_time_that_clocks_show_twice_or_never_is_refused_with_what_to_write(
    value: Any, zone: str, problem: str | None
) -> None:
    if problem is None:
        assert read(value, zone=zone) == datetime(2024, 11, 3, 5, 30, tzinfo=UTC)
        return
    with pytest.raises(OtherValue) as refused:
        read(value, zone=zone)
    assert problem in str(refused.value)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize(
    ("value", "kind", "problem"),
    [
        ("28.10.2024 04:55", INSTANT, "is no timestamp[us, tz=UTC]; write it like 2024-10-28 04:55:00"),
        (5, INSTANT, "is no timestamp[us, tz=UTC]; write it like 2024-10-28 04:55:00"),
        ("28.10.2024", pa.date32(), "is no date32[day]; write it like 2024-10-28"),
        ("5 to 5", pa.time64("us"), "is no time64[us]; write it like 04:55:00"),
        ("12,5", pa.float64(), "is no double; correct it"),
        (10**30, pa.int64(), "is no int64; correct it"),
        ("1e400000 apples", pa.int64(), "is no int64; correct it"),
        ([1, "a"], pa.list_(pa.int64()), "correct it"),
    ],
)
def test_what_the_type_does_not_have_is_refused_with_how_to_write_it(
    value: Any, kind: pa.DataType, problem: str, zone: str
) -> None:
    with pytest.raises(OtherValue) as refused:
        read(value, kind, zone)
    assert problem in str(refused.value)


@pytest.mark.parametrize("value", ["0001-01-01 00:00:00", date(1, 1, 1)])
def test_a_time_before_the_first_year_of_utc_is_refused(value: Any) -> None:
    with pytest.raises(OtherValue, match="is no timestamp"):
        read(value)


def test_times_within_lists_have_an_offset_or_are_refused() -> None:
    naive, aware = datetime.fromisoformat("2024-07-15T12:00"), datetime(2024, 7, 15, 12, tzinfo=UTC)
    assert read([aware], pa.list_(INSTANT)) == [aware]
    with pytest.raises(
        OtherValue, match="has times without an offset, .* in Europe/Berlin: write their offset"
    ):
        read([naive], pa.list_(INSTANT))


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        ("2024-10-27 02:30:00", pa.timestamp("us"), datetime.fromisoformat("2024-10-27T02:30")),
        ("2024-10-27 02:30:00", pa.string(), "2024-10-27 02:30:00"),
        ("2024-10-27", pa.date32(), date(2024, 10, 27)),
        ("5.00", pa.decimal128(9, 2), Decimal("5.00")),
        (None, INSTANT, None),
    ],
)
def test_what_is_no_instant_is_the_same_in_every_time_zone(
    value: Any, kind: pa.DataType, result: Any
) -> None:
    assert read(value, kind) == read(value, kind, "UTC") == result
