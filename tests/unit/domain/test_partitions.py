from __future__ import annotations

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
