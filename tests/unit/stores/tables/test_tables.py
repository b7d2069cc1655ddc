from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import write_deltalake

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import TableMissing, TableUnreadable
from airflow_mlops.stores.tables import tables

JANUARY, FEBRUARY = Partition.parse("2013-01", "month"), Partition.parse("2013-02", "month")


def make_rows(partition: Partition, values: list[Any]) -> pa.Table:
    times = pa.array([partition.start] * len(values), pa.timestamp("us", "UTC"))
    return pa.table({"id": [f"{partition}-{i}" for i in range(len(values))], "at": times, "x": values})


def publish(uri: str, partition: Partition, values: list[Any]) -> DatasetVersion:
    return tables.publish(
        uri,
        make_rows(partition, values),
        name="flights",
        grain="month",
        partition=partition.key,
        key=["id"],
        event_time="at",
        source="test",
        run="run",
    )


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/flights/data"


def test_publishing_a_partition_again_replaces_it_and_leaves_the_others(uri: str) -> None:
    publish(uri, JANUARY, [1, 2, 3])
    publish(uri, FEBRUARY, [4])
    publish(uri, JANUARY, [5])
    assert sorted(tables.read(uri)["x"].to_pylist()) == [4, 5]


def test_the_same_content_in_another_order_writes_nothing(uri: str) -> None:
    first = publish(uri, JANUARY, [1, 2])
    publish(uri, FEBRUARY, [3])
    again = tables.publish(
        uri,
        make_rows(JANUARY, [1, 2]).take([1, 0]),
        name="flights",
        grain="month",
        partition="2013-01",
        key=["id"],
        event_time="at",
        source="test",
        run="other",
    )
    assert again == first.model_copy(update={"changed": False})
    assert tables.open_table(uri).version() == 2


def test_an_old_version_can_be_read_for_ever(uri: str) -> None:
    first = publish(uri, JANUARY, [1, 2])
    publish(uri, JANUARY, [9])
    assert sorted(tables.read(uri, version=first.version)["x"].to_pylist()) == [1, 2]
    assert tables.digest(tables.read(uri, version=first.version)) == first.digest


def test_a_digest_knows_values_and_types_but_not_row_order() -> None:
    rows = make_rows(JANUARY, [1, 2])
    assert tables.digest(rows) == tables.digest(rows.take([1, 0]))
    assert tables.digest(rows) != tables.digest(make_rows(JANUARY, [1, 3]))
    assert tables.digest(rows) != tables.digest(make_rows(JANUARY, [1.0, 2.0]))


def test_versions_are_found_again_also_behind_many_commits(uri: str) -> None:
    first = publish(uri, JANUARY, [1])
    for value in range(20):
        publish(uri, FEBRUARY, [value])
    assert tables.published(uri, "2013-01") == first
    assert tables.latest(uri) == tables.published(uri, "2013-02")
    assert len(list(tables.versions(uri))) == 21
    assert tables.published(uri, "2013-03") is None


def test_rows_are_read_by_event_time_half_open(uri: str) -> None:
    publish(uri, JANUARY, [1])
    publish(uri, FEBRUARY, [2])
    bounds = {"event_time": "at", "since": JANUARY.start, "until": JANUARY.end}
    assert tables.read(uri, **bounds)["x"].to_pylist() == [1]


def test_a_missing_table_is_named() -> None:
    with pytest.raises(TableMissing, match="no table at file:///nowhere"):
        tables.read("file:///nowhere")


def test_a_torn_last_commit_is_refused_and_not_read_as_older_data(uri: str) -> None:
    publish(uri, JANUARY, [1])
    publish(uri, FEBRUARY, [2])
    commit = Path(uri.removeprefix("file://")) / "_delta_log" / "00000000000000000001.json"
    commit.write_text(commit.read_text()[:40])
    with pytest.raises(TableUnreadable):
        tables.read(uri)


def test_types_that_delta_does_not_know_are_read_back_as_they_were_published(uri: str) -> None:
    odd = pa.table(
        {
            "id": pa.array(["a"]).dictionary_encode(),
            "at": pa.array([JANUARY.start], pa.timestamp("ns")),
            "x": pa.array([7], pa.uint8()),
        }
    )
    published = tables.publish(
        uri,
        odd,
        name="f",
        grain="month",
        partition="2013-01",
        key=["id"],
        event_time="at",
        source="s",
        run="r",
    )
    assert tables.schema_of(tables.read(uri)) == published.columns
    assert tables.digest(tables.read(uri)) == published.digest


@pytest.mark.slow
def test_a_process_that_has_read_a_table_ends_as_it_should(uri: str) -> None:
    publish(uri, JANUARY, [1, 2, 3])
    code = (
        f"from airflow_mlops.stores.tables import tables; tables.read({uri!r}); list(tables.batches({uri!r}))"
    )
    ended = [subprocess.run([sys.executable, "-c", code], check=False).returncode for _ in range(6)]
    assert ended == [0] * 6


@pytest.mark.parametrize(
    "values",
    [
        ["a", None],
        [1.5, None],
        [True, None],
        [b"a", None],
        [date(2013, 1, 5), None],
        [Decimal("1.5"), None],
        ["a" * 1000, None],
        [math.inf, None],
        [math.nan, None],
        [datetime(2013, 1, 5, tzinfo=UTC), None],
        [datetime(1, 1, 1, tzinfo=UTC), None],
        [{"part": 1}, None],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_a_filter_on_any_column_finds_its_rows(uri: str, values: list[Any]) -> None:
    publish(uri, JANUARY, values)
    found = tables.dataset(uri)
    column, value = ds.field("x"), tables.read(uri)["x"][0]
    if not isinstance(value, pa.StructScalar):
        looked_for = column.is_nan() if value.as_py() != value.as_py() else column == value
        assert found.to_table(filter=looked_for).num_rows == 1
    assert found.to_table(filter=column.is_null()).num_rows == 1
    assert found.to_table(filter=column.is_valid()).num_rows == 1


def test_rows_of_files_whose_log_tells_no_ranges_are_found(tmp_path: Path) -> None:
    """Others write such tables; so does a table whose columns became more after a file was written."""
    rows, some = make_rows(JANUARY, ["a", "b"]), {"delta.dataSkippingNumIndexedCols": "1"}
    write_deltalake(tmp_path / "theirs", rows, configuration=some)
    found = tables.dataset(f"file://{tmp_path}/theirs")
    assert found.to_table(filter=ds.field("x") == "a").num_rows == 1
    assert found.to_table(filter=ds.field("at") >= pa.scalar(JANUARY.start)).num_rows == 2


def test_a_file_is_skipped_that_has_no_row_of_the_time_asked_for(uri: str) -> None:
    publish(uri, JANUARY, ["a"])
    publish(uri, FEBRUARY, ["b"])
    pieces = tables.dataset(uri).get_fragments(filter=ds.field("at") >= pa.scalar(FEBRUARY.start))
    assert [str(FEBRUARY) in piece.path for piece in pieces] == [True]
