from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest

from airflow_mlops.domain.partitions import Grain, Partition
from airflow_mlops.exceptions import UnknownPartition


@pytest.mark.parametrize(
    ("grain", "key", "start", "end"),
    [
        ("hour", "2013-01-31T23", datetime(2013, 1, 31, 23, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)),
        ("day", "2012-02-28", datetime(2012, 2, 28, tzinfo=UTC), datetime(2012, 2, 29, tzinfo=UTC)),
        ("week", "2012-12-31", datetime(2012, 12, 31, tzinfo=UTC), datetime(2013, 1, 7, tzinfo=UTC)),
        ("month", "2013-12", datetime(2013, 12, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_key_names_a_half_open_interval(grain: str, key: str, start: datetime, end: datetime) -> None:
    partition = Partition.parse(key, grain)
    assert (partition.start, partition.end, partition.key) == (start, end, key)
    assert Partition.containing(end - timedelta(microseconds=1), grain) == partition
    assert Partition.containing(end, grain) == partition.shift(1)


def test_a_key_of_another_form_is_refused_with_the_form_it_should_have() -> None:
    with pytest.raises(ValueError, match=r"'2013-01-01' is no month partition; write it as %Y-%m"):
        Partition.parse("2013-01-01", "month")


def test_a_week_must_begin_on_its_monday() -> None:
    with pytest.raises(ValueError, match="the one that holds it is '2013-01-07'"):
        Partition.parse("2013-01-08", "week")


def test_keys_of_a_grain_sort_as_their_partitions_do() -> None:
    for grain in Grain:
        partitions = list(
            Partition.containing(datetime(2012, 11, 3, 20, tzinfo=UTC), grain).through(
                Partition.containing(datetime(2013, 2, 3, 4, tzinfo=UTC), grain)
            )
        )
        keys = [partition.key for partition in partitions]
        assert keys == sorted(set(keys))
        assert all(a.end == b.start for a, b in zip(partitions, partitions[1:], strict=False))


def test_a_moment_in_another_zone_belongs_to_its_utc_partition() -> None:
    moment = datetime.fromisoformat("2013-01-31T22:00:00-05:00")
    assert Partition.containing(moment, "month").key == "2013-02"


@pytest.mark.parametrize(
    ("key", "grain"),
    [("9999-12", "month"), ("9999-12-31", "day"), ("9999-12-27", "week"), ("9999-12-31T23", "hour")],
)
def test_the_last_partition_of_all_time_has_no_end(key: str, grain: str) -> None:
    with pytest.raises(UnknownPartition, match=f"no {grain} after {key}: times lie in the years 1 to 9999"):
        Partition.parse(key, grain)


@pytest.mark.parametrize(
    ("key", "grain"), [("0001-01", "month"), ("0001-01-01", "day"), ("0001-01-01", "week")]
)
def test_the_first_partition_of_all_time_has_none_before_it(key: str, grain: str) -> None:
    first = Partition.parse(key, grain)
    assert first.key == key
    with pytest.raises(UnknownPartition, match=f"no {grain} before {key}"):
        first.shift(-1)


@pytest.mark.parametrize(
    ("grain", "key", "start", "hours"),
    [
        ("day Europe/Berlin", "2024-03-31", "2024-03-30T23:00Z", 23),
        ("day Europe/Berlin", "2024-10-27", "2024-10-26T22:00Z", 25),
        ("day Asia/Kolkata", "2024-10-27", "2024-10-26T18:30Z", 24),
        ("day Australia/Lord_Howe", "2024-04-07", "2024-04-06T13:00Z", 24.5),
        ("week Europe/Berlin", "2024-03-25", "2024-03-24T23:00Z", 7 * 24 - 1),
        ("month Europe/Berlin", "2024-10", "2024-09-30T22:00Z", 31 * 24 + 1),
        # Clocks went from midnight to one.
        ("day America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", 23),
        # Clocks went from one back to midnight, and from 00:01 back to 23:01.
        ("day America/Havana", "2024-11-03", "2024-11-03T04:00Z", 25),
        ("day America/St_Johns", "2010-11-07", "2010-11-07T02:30Z", 25),
        # Clocks went from 23:30 to 00:30.
        ("day America/Toronto", "1919-03-31", "1919-03-31T04:30Z", 23.5),
        ("hour Europe/Berlin", "2024-10-27T01", "2024-10-27T01:00Z", 1),
    ],
)
def test_a_local_partition_begins_when_its_day_does_and_is_as_long(
    grain: str, key: str, start: str, hours: float
) -> None:
    partition = Partition.parse(key, grain)
    assert partition.start == datetime.fromisoformat(start)
    assert partition.end - partition.start == timedelta(hours=hours)
    for moment in (partition.start, partition.end - timedelta(microseconds=1)):
        assert Partition.containing(moment, grain) == partition
    assert (partition.shift(1).start, partition.shift(1).shift(-1)) == (partition.end, partition)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Pacific/Apia"])
@pytest.mark.parametrize("grain", Grain)
def test_local_partitions_leave_no_moment_out_and_none_twice(grain: Grain, zone: str) -> None:
    first = Partition.containing(datetime(2011, 12, 20, tzinfo=UTC), f"{grain} {zone}")
    partitions = list(first.through(first.shift(400)))
    assert all(a.end == b.start and a.key < b.key for a, b in zip(partitions, partitions[1:], strict=False))
    assert [Partition.parse(partition.key, first.grain) for partition in partitions] == partitions


def test_steps_between_local_days_are_days_whatever_their_hours() -> None:
    first = Partition.parse("2024-03-30", "day Europe/Berlin")
    assert first.steps(first.shift(300)) == 300


def test_a_day_that_a_country_has_left_out_is_no_partition() -> None:
    with pytest.raises(UnknownPartition, match="the one that holds it is '2011-12-31'"):
        Partition.parse("2011-12-30", "day Pacific/Apia")
    assert Partition.parse("2011-12-29", "day Pacific/Apia").shift(1).key == "2011-12-31"


def test_a_grain_that_is_none_and_a_zone_that_is_none_are_refused() -> None:
    with pytest.raises(UnknownPartition, match="'dya' is no grain; write hour, day, week, month"):
        Partition.parse("2024-01-01", "dya")
    with pytest.raises(UnknownPartition, match="'Europe/Berlni' is no time zone"):
        Partition.parse("2024-01-01", "day Europe/Berlni")


@pytest.mark.parametrize("key", ["0001-01-01", "9999-12-31"])
def test_a_local_day_at_an_end_of_time_is_refused(key: str) -> None:
    zone = "Asia/Kolkata" if key < "1000" else "America/Havana"
    with pytest.raises(UnknownPartition, match="outside of the years 1 to 9999|there is no day"):
        Partition.parse(key, f"day {zone}")


def test_a_copy_of_a_partition_has_its_time_zone() -> None:
    partition = Partition.parse("2024-03-31", "day Europe/Berlin")
    assert copy.deepcopy(partition).grain.timezone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Atlantic/Azores", "2024-10-27"), ("America/Havana", "2020-11-01"), ("Europe/Berlin", "2024-10-27")],
)
def test_each_instant_of_a_day_that_shows_an_hour_twice_is_in_that_day(zone: str, day: str) -> None:
    partition = Partition.parse(day, f"day {zone}")
    assert partition.end - partition.start == timedelta(hours=25)
    for minutes in range(0, 25 * 60, 30):
        assert (
            Partition.containing(partition.start + timedelta(minutes=minutes), partition.grain) == partition
        )
