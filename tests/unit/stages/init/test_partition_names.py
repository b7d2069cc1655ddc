from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops.stages.init import partition_names


@pytest.mark.parametrize(
    ("names", "pattern", "grain", "first"),
    [
        (["2013-01.csv", "2013-02.csv"], "{partition}.csv", "month", "2013-01"),
        (["sales_2024-03-01.csv.gz", "sales_2024-03-02.csv.gz"], "sales_{partition}.csv.gz", "day", "2024-03-01"),
        (["a/2024-03-04.csv", "a/2024-03-11.csv"], "a/{partition}.csv", "week", "2024-03-04"),
        (["x20240301.parquet", "x20240302.parquet"], "x{year}{month}{day}.parquet", "day", "2024-03-01"),
        (["2024-03-01T05.csv", "2024-03-01T06.csv"], "{partition}.csv", "hour", "2024-03-01T05"),
        (
            ["year=2013/month=01/part-0.parquet", "year=2013/month=02/part-1.parquet"],
            "year={year}/month={month}/part-*.parquet",
            "month",
            "2013-01",
        ),
        (["2013/01/02/rows.jsonl", "2013/01/03/rows.jsonl"], "{year}/{month}/{day}/rows.jsonl", "day", "2013-01-02"),
        (["2013-01/part-00.csv", "2013-01/part-01.csv", "2013-02/part-00.csv"], "{partition}/part-0*.csv", "month", "2013-01"),
    ],
)  # fmt: skip
def test_names_that_hold_their_partition_become_a_pattern(
    names: list[str], pattern: str, grain: str, first: str
) -> None:
    named = partition_names.find(Path("/data"), [Path("/data", name) for name in names])
    assert named is not None
    assert (named.path, named.grain, named.keys[0]) == (f"/data/{pattern}", grain, first)
    assert len(named.keys) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ["north.csv", "south.csv"],
        ["2013-01.csv", "other.csv"],
        ["2013-13.csv", "2013-14.csv"],
        ["2013-01.csv"],
        ["part-2013.csv", "part-2014.csv"],
    ],
)
def test_other_names_hold_none(names: list[str]) -> None:
    assert partition_names.find(Path("/data"), [Path("/data", name) for name in names]) is None
