"""Columns that begin empty have no type until a value settles it, whatever source they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy
from pyarrow import parquet

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import Features, SchemaPolicy
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.sources import DeltaSource, PythonSource, Source
from airflow_mlops.stages.ingest import ingest, quarantine
from airflow_mlops.stages.train.recipe import derive_features
from airflow_mlops.stores.sources import sql
from airflow_mlops.stores.tables import delta, tables

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

JANUARY, FEBRUARY, MARCH = (Partition.parse(f"2013-{month:02}", "month") for month in (1, 2, 3))

Write = Callable[[Path, dict[Partition, list[Any]]], Source]


def rows(partition: Partition, x: list[Any]) -> list[dict[str, Any]]:
    day = f"{partition.key}-02T00:00:00Z"
    return [{"id": number, "at": day, "x": value} for number, value in enumerate(x)]


def frames(folder: Path, values: dict[Partition, list[Any]]) -> Source:
    return PythonSource(lambda partition: pd.DataFrame(rows(partition, values[partition])))


def batches(folder: Path, values: dict[Partition, list[Any]]) -> Source:
    def read(partition: Partition) -> Any:
        return (pa.table(pa.Table.from_pylist([row])) for row in rows(partition, values[partition]))

    return PythonSource(read)


def parquets(folder: Path, values: dict[Partition, list[Any]]) -> Source:
    for partition, x in values.items():
        parquet.write_table(pa.Table.from_pylist(rows(partition, x)), folder / f"{partition.key}.parquet")
    return FileSource(f"{folder}/{{partition}}.parquet")


def json_lines(folder: Path, values: dict[Partition, list[Any]]) -> Source:
    for partition, x in values.items():
        lines = "".join(f"{json.dumps(row)}\n" for row in rows(partition, x))
        (folder / f"{partition.key}.jsonl").write_text(lines)
    return FileSource(f"{folder}/{{partition}}.jsonl")


def csvs(folder: Path, values: dict[Partition, list[Any]]) -> Source:
    for partition, x in values.items():
        lines = "".join(
            f"{row['id']},{row['at']},{'' if row['x'] is None else row['x']}\n" for row in rows(partition, x)
        )
        (folder / f"{partition.key}.csv").write_text(f"id,at,x\n{lines}")
    return FileSource(f"{folder}/{{partition}}.csv")


def padded(folder: Path, values: dict[Partition, list[Any]]) -> Source:
    source = csvs(folder, values)
    for partition in values:
        path = folder / f"{partition.key}.csv"
        path.write_text(path.read_text().replace("Z,\n", "Z,  \n"))
    return source


def commas(folder: Path, values: dict[Partition, list[Any]]) -> Source:
    path = str(csvs(folder, values).describe(None)).replace("*", "{partition}")
    return FileSource(path, decimal=",")


@dataclass(frozen=True)
class Table:
    """A table of a database, as the source of its rows."""

    engine: sqlalchemy.Engine

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        query = "select id, at, x from flights where partition = :partition"
        yield from sql.batches(self.engine, query, partition, types, "flights")

    def describe(self, partition: Partition | None) -> str:
        return "flights"

    def stamp(self, partition: Partition | None) -> str | None:
        return "1"


def database(folder: Path, values: dict[Partition, list[Any]]) -> Source:
    engine = sqlalchemy.create_engine(f"sqlite:///{folder}/flights.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("create table flights (partition text, id integer, at text, x)")
        for partition, x in values.items():
            for row in rows(partition, x):
                parameters = (partition.key, row["id"], row["at"], row["x"])
                connection.exec_driver_sql("insert into flights values (?, ?, ?, ?)", parameters)
    return Table(engine)


SOURCES: list[Write] = [frames, batches, parquets, json_lines, csvs, padded, commas, database]


class Store:
    """The tables of a dataset."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = f"file://{folder}/store/data"

    def publish(self, source: Source, partition: Partition, **changes: Any) -> DatasetVersion:
        staged = self.stage(source, partition, **changes)
        return ingest.publish(staged, uri=self.data, run="run")

    def stage(self, source: Source, partition: Partition, **changes: Any) -> DatasetVersion:
        arguments: dict[str, Any] = {
            "uri": f"file://{self.folder}/store/staging",
            "published": self.data,
            "name": "flights",
            "key": ["id"],
            "event_time": "at",
            "run": "run",
        }
        return ingest.stage(source, partition, **arguments | changes)

    def x(self, partition: Partition | None = None) -> list[Any]:
        read = tables.read(self.data, partition=partition.key if partition else None)
        return list(read.sort_by([("at", "ascending"), ("id", "ascending")])["x"].to_pylist())

    def kind(self) -> pa.DataType:
        return delta.schema(self.data).field("x").type


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize("policy", list(SchemaPolicy))
@pytest.mark.parametrize("write", SOURCES)
def test_the_first_value_settles_the_type_of_a_column_that_began_empty(
    store: Store, write: Write, policy: SchemaPolicy
) -> None:
    source = write(store.folder, {JANUARY: [None, None], FEBRUARY: [None, 2], MARCH: [None]})
    assert store.publish(source, JANUARY, policy=policy).columns["x"] == "null"
    assert store.publish(source, FEBRUARY, policy=policy).columns["x"] in ("int64", "double")
    assert store.publish(source, MARCH, policy=policy).columns["x"] in ("int64", "double")
    assert store.kind() in (pa.int64(), pa.float64())
    assert store.x() == [None, None, None, 2, None]


@pytest.mark.parametrize("write", SOURCES)
def test_a_column_may_stay_empty_for_several_partitions(store: Store, write: Write) -> None:
    source = write(store.folder, {JANUARY: [None], FEBRUARY: [None], MARCH: ["a"]})
    for partition in (JANUARY, FEBRUARY):
        assert store.publish(source, partition).columns["x"] == "null"
    assert store.publish(source, MARCH).columns["x"] == "string"
    assert store.x() == [None, None, "a"]
    with pytest.raises(SchemaMismatch, match="'x' is int64, was string"):
        store.publish(parquets(store.folder, {JANUARY: [1]}), JANUARY)


@pytest.mark.parametrize("write", [batches, parquets, json_lines])
@pytest.mark.parametrize(
    ("nothing", "value", "kind"),
    [
        ([], [1], "list<element: int64>"),
        ([], ["a"], "list<element: string>"),
        ({}, {"a": 1}, "struct<a: int64>"),
        (None, {"a": 1}, "struct<a: int64>"),
        (None, [1.5], "list<element: double>"),
        ({"a": None, "b": 1}, {"a": 2, "b": 1}, "struct<a: int64, b: int64>"),
    ],
)
def test_a_list_of_nothing_or_an_object_without_keys_has_no_type_either(
    store: Store, write: Write, nothing: Any, value: Any, kind: str
) -> None:
    if write is parquets and nothing == {}:
        pytest.skip("Parquet has no empty struct")
    source = write(store.folder, {JANUARY: [nothing, None], FEBRUARY: [value], MARCH: [nothing]})
    assert "null" in store.publish(source, JANUARY).columns["x"]
    assert store.publish(source, FEBRUARY).columns["x"] == kind
    store.publish(source, MARCH)
    left = None if nothing == {} else nothing
    assert store.x() == [left, None, value, left]


def test_a_later_batch_settles_the_type_too(store: Store) -> None:
    source = batches(store.folder, {JANUARY: [None, 1, None], FEBRUARY: [None, None], MARCH: [2]})
    assert store.publish(source, JANUARY).columns["x"] == "int64"
    store.publish(source, FEBRUARY)
    store.publish(source, MARCH)
    assert store.x() == [None, 1, None, None, None, 2]


def test_a_column_without_type_is_no_feature_that_is_derived(store: Store) -> None:
    source = parquets(store.folder, {JANUARY: [None, None], FEBRUARY: [1, 2]})
    with_id = {"key": ["id"]}
    with pytest.raises(ValueError, match="lists no column"):
        derive_features(store.publish(source, JANUARY, **with_id), "late")
    assert derive_features(store.publish(source, FEBRUARY, **with_id), "late").numeric == ("x",)


def test_a_numeric_feature_is_a_fraction_from_the_start(store: Store) -> None:
    features = Features(numeric=("x",), categorical=("color",))
    assert features.types == {"x": "double"}
    source = parquets(store.folder, {JANUARY: [None], FEBRUARY: [1], MARCH: [1.5]})
    assert store.publish(source, JANUARY, types=features.types).columns["x"] == "null"
    assert store.kind() == pa.float64()
    assert store.publish(source, FEBRUARY, types=features.types).columns["x"] == "double"
    store.publish(source, MARCH, types=features.types)
    assert store.x() == [None, 1.0, 1.5]


def test_a_numeric_feature_may_turn_out_to_be_a_truth_value(store: Store) -> None:
    source = csvs(store.folder, {JANUARY: [None], FEBRUARY: ["true"]})
    for partition in (JANUARY, FEBRUARY):
        store.publish(source, partition, types={"x": "double"})
    assert store.x() == [None, True]


def test_types_of_files_settle_a_column_that_begins_empty(store: Store) -> None:
    csvs(store.folder, {JANUARY: [None], FEBRUARY: [7]})
    source = FileSource(f"{store.folder}/{{partition}}.csv", types={"x": "string"})
    assert store.publish(source, JANUARY).columns["x"] == "string"
    store.publish(source, FEBRUARY)
    assert store.x() == [None, "7"]


def test_what_was_staged_before_the_type_was_settled_is_published_after_it(store: Store) -> None:
    source = parquets(store.folder, {JANUARY: [None], FEBRUARY: [None], MARCH: [3]})
    store.publish(source, JANUARY)
    staged = store.stage(source, FEBRUARY)
    later = store.stage(source, MARCH, uri=f"file://{store.folder}/store/other")
    ingest.publish(later, uri=store.data, run="run")
    assert ingest.publish(staged, uri=store.data, run="run").columns["x"] == "int64"
    assert store.x() == [None, None, 3]


def test_a_delta_table_of_ours_hands_on_that_a_column_has_no_type(store: Store) -> None:
    inner = Store(store.folder / "inner")
    inner.folder.mkdir()
    source = parquets(store.folder, {JANUARY: [None], FEBRUARY: [4]})
    inner.publish(source, JANUARY)
    assert store.publish(DeltaSource(inner.data), JANUARY).columns["x"] == "null"
    inner.publish(source, FEBRUARY)
    store.publish(DeltaSource(inner.data), FEBRUARY)
    assert store.x() == [None, 4]


def test_a_version_is_read_as_it_was_after_the_type_was_settled(store: Store) -> None:
    source = parquets(store.folder, {JANUARY: [None], FEBRUARY: [4]})
    first = store.publish(source, JANUARY)
    store.publish(source, FEBRUARY)
    assert tables.read(store.data, version=first.version)["x"].to_pylist() == [None]
    # The same rows again are the same content, whatever the type has become.
    assert not store.publish(source, JANUARY).changed


def test_rows_that_were_set_aside_before_the_type_was_settled_do_not_stop_later_ones(store: Store) -> None:
    aside = f"file://{store.folder}/store/quarantine"
    source = parquets(store.folder, {JANUARY: [None, None], FEBRUARY: [4, 5]})
    for partition in (JANUARY, FEBRUARY):
        staged = store.stage(source, partition)
        kept = quarantine.set_aside(staged, {0: "x is bad"}, quarantine=aside, run="run")
        ingest.publish(kept, uri=store.data, run="run")
    assert store.x() == [None, 5]
    assert tables.read(aside, partition="2013-02")["x"].to_pylist() == [4]


def test_the_numbers_of_rows_of_pandas_are_no_column(store: Store) -> None:
    frame = pd.DataFrame(rows(JANUARY, [1, 2, 3])).iloc[[0, 2, 1]]
    frame.to_parquet(store.folder / "2013-01.parquet")
    assert "__index_level_0__" in parquet.read_schema(store.folder / "2013-01.parquet").names
    sources: list[Source] = [
        FileSource(f"{store.folder}/{{partition}}.parquet"),
        PythonSource(lambda partition: pa.Table.from_pandas(frame)),
        PythonSource(lambda partition: frame),
    ]
    for source in sources:
        assert set(store.publish(source, JANUARY).columns) == {"id", "at", "x"}
        assert store.x() == [1, 2, 3]


def test_rows_are_released_before_and_after_the_type_was_settled(store: Store) -> None:
    aside, released = (f"file://{store.folder}/store/{name}" for name in ("quarantine", "released"))
    source = parquets(store.folder, {JANUARY: [None, None], FEBRUARY: [4, 5], MARCH: [None, None]})
    for partition in (JANUARY, FEBRUARY, MARCH):
        staged = store.stage(source, partition)
        kept = quarantine.set_aside(staged, {0: "x is bad"}, quarantine=aside, run="run")
        version = ingest.publish(kept, uri=store.data, run="run")
        quarantine.release(version, quarantine=aside, released=released, by="ada", reason="it is right")
        again = store.stage(source, partition)
        assert quarantine.allowed(again, [0, 1], released=released) == {0}
    assert tables.read(released, partition="2013-02")["x"].to_pylist() == [4]
