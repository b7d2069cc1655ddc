"""What becomes of the types of every source: the right value, or an error that says what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SchemaMismatch, SourceUnreadable
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.sources import PythonSource, Source, SqlSource
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stores.tables import tables

JANUARY, FEBRUARY = (Partition.parse(f"2013-{month:02}", "month") for month in (1, 2))
LARGEST = 2**64 - 1
AT = "2013-01-02T00:00:00Z"
DAY = datetime(2013, 1, 2, tzinfo=UTC)


class Store:
    """The tables of a dataset, and the folder of its sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = f"file://{folder}/store/data"

    def publish(self, source: Source, partition: Partition = JANUARY, **changes: Any) -> DatasetVersion:
        arguments: dict[str, Any] = {
            "uri": f"file://{self.folder}/store/staging",
            "published": self.data,
            "name": "flights",
            "key": ["id"],
            "event_time": "at",
            "run": "run",
        }
        staged = ingest.stage(source, partition, **arguments | changes)
        return ingest.publish(staged, uri=self.data, run="run")

    def column(self, name: str) -> list[Any]:
        return list(tables.read(self.data)[name].to_pylist())

    def csv(self, text: str, **options: Any) -> FileSource:
        (self.folder / "2013-01.csv").write_text(text)
        return FileSource(f"{self.folder}/{{partition}}.csv", **options)

    def lines(self, text: str, **options: Any) -> FileSource:
        (self.folder / "2013-01.jsonl").write_text(text)
        return FileSource(f"{self.folder}/{{partition}}.jsonl", **options)

    def parquet(self, table: pa.Table, **options: Any) -> FileSource:
        parquet.write_table(table, self.folder / "2013-01.parquet", **options)
        return FileSource(f"{self.folder}/{{partition}}.parquet")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


# ------------------------------------------------------------------------------------------------ unsigned numbers


def of_csv(store: Store, ids: list[int]) -> Source:
    return store.csv("id,at\n" + "".join(f"{number},{AT}\n" for number in ids))


def of_lines(store: Store, ids: list[int]) -> Source:
    return store.lines("".join(f'{{"id": {number}, "at": "{AT}"}}\n' for number in ids))


def of_parquet(store: Store, ids: list[int]) -> Source:
    return store.parquet(pa.table({"id": pa.array(ids, pa.uint64()), "at": [DAY] * len(ids)}))


def of_batches(store: Store, ids: list[int]) -> Source:
    def read(partition: Any) -> Any:
        return (pa.table({"id": pa.array([number], pa.uint64()), "at": [DAY]}) for number in ids)

    return PythonSource(read)


UNSIGNED: list[Callable[[Store, list[int]], Source]] = [of_csv, of_lines, of_parquet, of_batches]


@pytest.mark.parametrize("source", UNSIGNED)
def test_unsigned_numbers_that_fit_into_63_bits_are_whole_numbers(store: Store, source: Any) -> None:
    ids = [2**53 + 1, 2**63 - 1, 3]
    assert store.publish(source(store, ids)).columns["id"] == "int64"
    assert store.column("id") == ids


@pytest.mark.parametrize("source", UNSIGNED)
@pytest.mark.parametrize("ids", [[LARGEST, 2**53 + 1, 5], [5, 2**53 + 1, LARGEST, LARGEST - 1]])
def test_larger_unsigned_numbers_keep_every_digit(store: Store, source: Any, ids: list[int]) -> None:
    assert store.publish(source(store, ids)).columns["id"] == "decimal128(20, 0)"
    assert store.column("id") == [Decimal(number) for number in ids]


def test_unsigned_numbers_of_a_database_keep_every_digit(store: Store) -> None:
    from airflow_mlops.stores.sources import sql

    column = sql._column("id", [LARGEST, None, 5], "query")
    assert column.type == pa.decimal128(20, 0)
    assert column.to_pylist() == [Decimal(LARGEST), None, Decimal(5)]
    assert sql._column("id", [-5, None, 2**63 - 1], "query").type == pa.int64()
    with pytest.raises(SourceUnreadable, match="'id' holds int, .* convert it in the query with CAST"):
        sql._column("id", [10**30], "query")


def test_fractions_beyond_the_exact_ones_stay_fractions(store: Store) -> None:
    lines = f'{{"id": 1, "at": "{AT}", "x": 1e300, "y": -9223372036854775809}}\n'
    assert store.publish(store.lines(lines)).columns["x"] == "double"
    rows = f"id,at,x,y\n1,{AT},1e300,7.0\n2,{AT},7.0,8.0\n"
    assert store.publish(store.csv(rows)).columns["x"] == "double"


def test_a_published_column_that_grows_beyond_63_bits_is_refused_with_what_would_take_it(
    store: Store,
) -> None:
    store.publish(of_parquet(store, [1, 2]))
    with pytest.raises(SchemaMismatch, match=r"`schema: evolve` would make it decimal128\(20, 0\)"):
        store.publish(of_parquet(store, [LARGEST]))


# --------------------------------------------------------------------------------------------------- types of JSON


def test_types_of_json_are_kept(store: Store) -> None:
    lines = (
        f'{{"id": 18446744073709551615, "at": "{AT}", "zip": 123, "x": 1, "flag": true}}\n'
        f'{{"id": 1.50, "at": "{AT}", "zip": "007", "x": 2, "flag": null}}\n'
    )
    source = store.lines(lines, types={"id": "string", "zip": "string", "x": "double", "flag": "bool"})
    columns = store.publish(source).columns
    assert [columns[name] for name in ("id", "zip", "x", "flag")] == ["string", "string", "double", "bool"]
    assert store.column("id") == ["18446744073709551615", "1.50"]
    assert store.column("zip") == ["123", "007"]


def test_json_that_does_not_hold_the_types_that_were_named_is_refused(store: Store) -> None:
    source = store.lines(f'{{"id": 1, "at": "{AT}", "x": "thirty"}}\n', types={"x": "int64"})
    with pytest.raises(SourceUnreadable, match="'x' holds string, which is no int64, as types says"):
        store.publish(source)


def test_truth_values_of_json_are_text_if_types_say_so(store: Store) -> None:
    source = store.lines(f'{{"id": 1, "at": "{AT}", "x": true}}\n', types={"x": "string"})
    store.publish(source)
    assert store.column("x") == ["true"]


# ----------------------------------------------------------------------------------------------------------- times


def test_times_after_2262_are_read_from_int96(store: Store) -> None:
    times = [datetime(9999, 12, 31), datetime(1, 1, 1), datetime(2013, 1, 2, 3, 4, 5, 678901)]
    table = pa.table({"id": [1, 2, 3], "at": [DAY] * 3, "until": pa.array(times, pa.timestamp("us"))})
    store.publish(store.parquet(table, use_deprecated_int96_timestamps=True))
    assert store.column("until") == [time.replace(tzinfo=UTC) for time in times]
