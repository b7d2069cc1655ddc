from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.stores.sources.delta import DeltaSource
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.sources.source import UNKNOWN, Source, arrived
from airflow_mlops.stores.tables import tables

JANUARY = Partition.parse("2013-01", "month")
FEBRUARY = Partition.parse("2013-02", "month")
ROWS = pa.table({"id": [1, 2], "x": ["a", "b"]})


def make_function(monkeypatch: pytest.MonkeyPatch, function: Any) -> PythonSource:
    module = ModuleType("own_source")
    module.rows = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_source", module)
    return PythonSource("own_source:rows")


def read(source: Source, partition: Partition | None = JANUARY, **types: str) -> pa.Table:
    return pa.Table.from_batches(list(source.batches(partition, types)))


def parts(*answers: Any) -> PythonSource:
    return PythonSource(lambda partition: iter(answers))


# ---------------------------------------------------------------------------------------------- a Python function


@pytest.mark.parametrize(
    "answer",
    [
        ROWS,
        ROWS.to_pandas(),
        ROWS.to_reader(),
        ROWS.to_batches()[0],
        [ROWS.slice(0, 1), ROWS.slice(1)],
        [ROWS.to_pandas().iloc[:1], ROWS.to_pandas().iloc[1:]],
        [],
    ],
    ids=["table", "frame", "reader", "batch", "tables", "frames", "nothing"],
)
def test_a_function_may_return_rows_in_many_forms(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    batches = list(make_function(monkeypatch, lambda partition: answer).batches(JANUARY))
    assert not batches or pa.Table.from_batches(batches).to_pydict() == ROWS.to_pydict()
    assert bool(batches) == (answer != [] if isinstance(answer, list) else True)


def test_a_function_is_given_the_partition_or_none_for_all_there_is() -> None:
    source = PythonSource(lambda partition: pa.table({"key": [partition and partition.key]}))
    assert read(source)["key"].to_pylist() == ["2013-01"]
    assert read(source, None)["key"].to_pylist() == [None]


def test_an_iterator_is_read_only_as_far_as_its_rows_are_asked_for() -> None:
    read_so_far = []

    def rows(partition: Partition) -> Iterator[pa.Table]:
        for number in range(10):
            read_so_far.append(number)
            yield pa.table({"id": [number]})

    next(PythonSource(rows).batches(JANUARY))
    assert len(read_so_far) < 3


def test_frames_whose_types_hang_on_their_values_get_one_schema() -> None:
    frames = [pd.DataFrame({"a": a, "b": b}) for a, b in (([None], [1]), (["x"], [2.5]), ([None], [None]))]
    table = read(parts(*frames))
    assert table.to_pydict() == {"a": [None, "x", None], "b": [1.0, 2.5, None]}
    assert table.schema.types == [pa.large_string(), pa.float64()]


def test_a_column_without_values_has_the_type_that_was_published() -> None:
    for source in (parts(pa.table({"a": [None]})), parts(pd.DataFrame({"a": [None]}))):
        assert read(source, a="double").schema.types == [pa.float64()]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([pa.table({"a": [1]}), pa.table({"a": ["x"]})], "'a' is int64 and then string"),
        ([pd.DataFrame({"a": [1]}), pd.DataFrame({"a": ["x"]})], "'a' is int64 and then large_string"),
        ([pa.table({"a": [1]}), pa.table({"b": [1]})], "a later batch lacks 'a'; a later batch has 'b' too"),
        ([pa.table({"a": [1]}), pa.table({"a": [1.5]})], "'a' is int64 at first, and then double"),
        ([pa.table([[1], [2]], names=["a", "a"])], "the column 'a' is there twice"),
        ([pa.table([[1], [2]], names=["a", ""])], "column 2 has no name"),
        ([pd.DataFrame({"a": [1, "x"]})], "Conversion failed for column a"),
        ([1], "returned int; return a pyarrow.Table or a pandas.DataFrame"),
        ([None], "returned NoneType; return a pyarrow.Table"),
    ],
    ids=str,
)
def test_rows_that_make_no_table_are_told(answers: list[Any], says: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"<lambda>\(2013-01\)") as raised:
        read(parts(*answers))
    assert says in str(raised.value)


@pytest.mark.parametrize("answer", [None, 1, "rows", {"a": 1}])
def test_a_function_that_returns_something_else_is_told_what_to_return(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    with pytest.raises(
        SourceUnreadable, match=r"own_source:rows\(2013-01\) returned \w+; return a pyarrow.Table"
    ):
        read(make_function(monkeypatch, lambda partition: answer))


def test_a_function_that_fails_is_named_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(partition: Partition) -> Iterator[pa.Table]:
        yield ROWS
        raise ZeroDivisionError

    for function in (late, lambda partition: 1 / 0):
        with pytest.raises(SourceUnreadable, match=r"own_source:rows\(2013-01\) failed: ZeroDivisionError"):
            read(make_function(monkeypatch, function))


def test_a_function_that_finds_no_file_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(partition: Partition) -> pa.Table:
        raise FileNotFoundError("flights.csv")

    with pytest.raises(SourceMissing, match=r"own_source:rows\(2013-01\): flights.csv"):
        read(make_function(monkeypatch, missing))


@pytest.mark.parametrize("function", ["no_such_module:rows", "os:no_such_function", "os:sep", "os"])
def test_a_function_that_does_not_exist_is_named(function: str) -> None:
    with pytest.raises(SourceUnreadable, match=function):
        read(PythonSource(function))


def test_a_function_alone_cannot_tell_whether_its_data_is_there() -> None:
    source = PythonSource("own:rows")
    assert source.stamp(JANUARY) == UNKNOWN
    with pytest.raises(
        SourceUnreadable, match=r"own:rows\(2013-01\) cannot tell whether its data has arrived"
    ):
        arrived(source, JANUARY)


@pytest.mark.parametrize(
    ("answer", "stamp"), [(None, None), (False, None), (3, "3"), ("etag", "etag"), (True, "True")]
)
def test_a_function_may_tell_whether_the_data_is_there(answer: Any, stamp: str | None) -> None:
    assert arrived(PythonSource("own:rows", arrived=lambda partition: answer), JANUARY) == stamp


# -------------------------------------------------------------------------------------------------- a Delta table


def times(kind: pa.DataType, *values: Any) -> pa.Table:
    return pa.table({"id": list(range(len(values))), "at": pa.array(values, kind)})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (
            pa.timestamp("us", "UTC"),
            [datetime(2013, 1, 31, 23, 59, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)],
        ),
        (pa.timestamp("us"), [datetime(2013, 1, 1), datetime(2013, 2, 1)]),  # noqa: DTZ001
        (pa.date32(), [date(2013, 1, 31), date(2013, 2, 1)]),
    ],
    ids=str,
)
def test_rows_of_a_partition_are_found_by_event_time(
    tmp_path: Path, kind: pa.DataType, values: list[Any]
) -> None:
    write_deltalake(str(tmp_path / "t"), times(kind, *values))
    source = DeltaSource(f"file://{tmp_path}/t", event_time="at")
    assert [read(source, each)["id"].to_pylist() for each in (JANUARY, FEBRUARY, None)] == [[0], [1], [0, 1]]
    assert source.stamp(FEBRUARY.shift(1)) is None


def test_rows_of_our_own_tables_are_found_by_their_partition(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/t"
    for partition in (JANUARY, FEBRUARY):
        tables.replace_partition(uri, pa.table({"key": [partition.key]}), partition.key)
    source = DeltaSource(uri)
    assert read(source).to_pydict() == {"key": ["2013-01"]}
    before = source.stamp(JANUARY)
    tables.replace_partition(uri, pa.table({"key": ["changed"]}), "2013-02")
    assert source.stamp(JANUARY) == before
    tables.replace_partition(uri, pa.table({"key": ["changed"]}), "2013-01")
    assert source.stamp(JANUARY) not in (before, None)
    pinned = DeltaSource(uri, version=DeltaTable(f"{tmp_path}/t").version() - 1)
    assert read(pinned).to_pydict() == {"key": ["2013-01"]}
    assert pinned.stamp(JANUARY) == before


def test_a_table_that_is_not_there_yet_can_be_waited_for(tmp_path: Path) -> None:
    source = DeltaSource(f"file://{tmp_path}/t")
    assert source.stamp(JANUARY) is None
    with pytest.raises(SourceMissing, match="There is no Delta table at"):
        read(source)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "has no column '_partition'; name its column of event time (event_time): id, at"),
        ({"event_time": "when"}, "has no column 'when'; name another column"),
        ({"event_time": "id"}, "'id' is int64, not a time"),
        ({"event_time": "at", "version": 7}, "@7 cannot be read"),
    ],
)
def test_a_table_without_what_is_asked_for_is_told(
    tmp_path: Path, arguments: dict[str, Any], says: str
) -> None:
    write_deltalake(str(tmp_path / "t"), times(pa.timestamp("us"), datetime(2013, 1, 1)))  # noqa: DTZ001
    with pytest.raises(SourceUnreadable) as raised:
        read(DeltaSource(f"file://{tmp_path}/t", **arguments))
    assert says in str(raised.value)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"PAR1, not")])
def test_a_data_file_that_is_missing_or_damaged_is_told(tmp_path: Path, damage: Any) -> None:
    write_deltalake(str(tmp_path / "t"), times(pa.timestamp("us", "UTC"), datetime(2013, 1, 2, tzinfo=UTC)))
    for file in (tmp_path / "t").glob("*.parquet"):
        damage(file)
    source = DeltaSource(f"file://{tmp_path}/t", event_time="at")
    for use in (read, DeltaSource.stamp):
        with pytest.raises(SourceUnreadable, match="/t cannot be read"):
            use(source, JANUARY)
