from __future__ import annotations

import csv
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.score import Score
from airflow_mlops.exceptions import SchemaMismatch, SourceUnreadable, WriteConflict
from airflow_mlops.hooks.outputs import FileWriter, SqlWriter, from_spec
from airflow_mlops.stores.outputs.tables import ScoredPartition
from airflow_mlops.stores.tables import tables
from databases import KINDS, SECRET, connected

AT = datetime(2013, 1, 15, 12, tzinfo=UTC)


def make(
    folder: Path, scores: dict[str, float], key: str = "2013-01", model: str = "flights"
) -> ScoredPartition:
    """Make the predictions of a partition, by flight."""
    count = len(scores)
    rows = pa.table(
        {
            "flight": pa.array([*scores], pa.string()),
            "leg": pa.array([1] * count, pa.int64()),
            "departure": pa.array([AT] * count, pa.timestamp("us", "UTC")),
            "score": pa.array(scores.values(), pa.float64()),
            "model_version": pa.array(["3"] * count, pa.string()),
        }
    )
    uri = f"file://{folder}/{model}/predictions"
    tables.replace_partition(uri, rows, key)
    version = tables.open_table(uri).version()
    return ScoredPartition(model, Partition.parse(key, "month"), ("flight", "leg"), uri, version)


# ------------------------------------------------------------------------------------------------------------- SQL


@pytest.fixture(params=KINDS)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    yield from connected(request.param, tmp_path, monkeypatch)


def stored(database: Any, columns: str = "partition_key, flight, score") -> list[tuple[Any, ...]]:
    engine, name = database
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"select {columns} from {name} order by 1, 2"))]


def test_a_table_is_made_and_a_partition_replaces_its_own_rows_only(database: Any, tmp_path: Path) -> None:
    output = SqlWriter("out", database[1])
    output.write(make(tmp_path, {"AA": 0.1, "DL": 0.2}))
    output.write(make(tmp_path, {"AA": 0.3}, "2013-02"))
    output.write(make(tmp_path, {"AA": 0.9}, model="other"))
    for _ in range(2):
        output.write(make(tmp_path, {"AA": 0.5, "UA": 0.6}))
    assert stored(database, "model, partition_key, flight, score") == [
        ("flights", "2013-01", "AA", 0.5),
        ("flights", "2013-01", "UA", 0.6),
        ("flights", "2013-02", "AA", 0.3),
        ("other", "2013-01", "AA", 0.9),
    ]


def test_times_are_stored_in_utc(database: Any, tmp_path: Path) -> None:
    SqlWriter("out", database[1]).write(make(tmp_path, {"AA": 0.1}))
    [(_, found)] = stored(database, "flight, departure")
    moment = datetime.fromisoformat(found) if isinstance(found, str) else found
    assert moment.replace(tzinfo=moment.tzinfo or UTC) == AT


def test_a_partition_that_cannot_be_written_whole_leaves_the_one_before(
    database: Any, tmp_path: Path
) -> None:
    engine, name = database
    output = SqlWriter("out", name)
    with engine.begin() as connection:
        columns = "model varchar, partition_key varchar, flight varchar, leg int"
        connection.execute(text(f"create table {name} ({columns}, score float check (score < 1))"))
    output.write(make(tmp_path, {"AA": 0.1}))
    with pytest.raises(WriteConflict, match=f"table {name} on out") as error:
        output.write(make(tmp_path, {"SECRET-FLIGHT": 0.2, "OTHER-FLIGHT": 2.0}))
    assert "FLIGHT" not in str(error.value)
    assert error.value.__cause__ is None
    assert stored(database) == [("2013-01", "AA", 0.1)]


def test_a_table_without_the_columns_that_tell_whose_rows_these_are_is_refused(
    database: Any, tmp_path: Path
) -> None:
    engine, name = database
    with engine.begin() as connection:
        connection.execute(text(f"create table {name} (flight varchar, leg int, score float)"))
        connection.execute(text(f"insert into {name} values ('AA', 1, 0.7)"))
    with pytest.raises(SchemaMismatch, match="has no column model, partition_key; add what is missing"):
        SqlWriter("out", name).write(make(tmp_path, {"AA": 0.1}))
    assert stored(database, "flight, score") == [("AA", 0.7)]


def test_an_empty_partition_leaves_no_rows(database: Any, tmp_path: Path) -> None:
    output = SqlWriter("out", database[1])
    output.write(make(tmp_path, {"AA": 0.1}))
    output.write(make(tmp_path, {}))
    assert stored(database) == []


@pytest.mark.parametrize("name", ["model", "partition_key"])
def test_a_model_with_a_column_of_the_table_s_own_is_refused(
    database: Any, tmp_path: Path, name: str
) -> None:
    output = SqlWriter("out", database[1])
    output.write(make(tmp_path, {"AA": 0.1}))
    uri = f"file://{tmp_path}/predictions"
    tables.replace_partition(uri, pa.table({name: ["A320"], "score": [0.1]}), "2013-01")
    predictions = ScoredPartition("flights", Partition.parse("2013-01", "month"), (name,), uri, 1)
    with pytest.raises(SchemaMismatch, match=f"the data has a column '{name}'"):
        output.write(predictions)
    assert stored(database, "model, partition_key, flight") == [("flights", "2013-01", "AA")]


def test_keys_that_differ_in_case_are_two_rows(database: Any, tmp_path: Path) -> None:
    SqlWriter("out", database[1]).write(make(tmp_path, {"aa": 0.1, "AA": 0.2}))
    assert sorted(stored(database)) == [("2013-01", "AA", 0.2), ("2013-01", "aa", 0.1)]


def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OUT", f"postgres://user:{SECRET}@127.0.0.1:1/test")
    with pytest.raises(ConnectionError, match="table scores on out: the database cannot be reached") as error:
        SqlWriter("out", "scores").write(make(tmp_path, {"AA": 0.1}))
    assert SECRET not in str(error.value)


def test_a_connection_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="There is no connection 'nowhere'"):
        SqlWriter("nowhere", "scores").write(make(tmp_path, {"AA": 0.1}))


# ----------------------------------------------------------------------------------------------------------- files


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    output = FileWriter(f"file://{tmp_path}/out/{{year}}/{{partition}}.parquet")
    for scores in ({"AA": 0.1, "DL": 0.2}, {"AA": 0.5}):
        output.write(make(tmp_path, scores))
    folder = tmp_path / "out" / "2013"
    assert os.listdir(folder) == ["2013-01.parquet"]
    found = pq.ParquetFile(folder / "2013-01.parquet").read()
    assert found.select(["flight", "score"]).to_pylist() == [{"flight": "AA", "score": 0.5}]


def test_a_file_that_cannot_be_finished_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = FileWriter(f"{tmp_path}/{{partition}}.csv")
    output.write(make(tmp_path, {"AA": 0.1}))
    before = (tmp_path / "2013-01.csv").read_bytes()

    def torn(self: ScoredPartition) -> Iterator[pa.RecordBatch]:
        yield from tables.batches(self.uri)
        raise OSError("the disk is full")

    monkeypatch.setattr(ScoredPartition, "batches", torn)
    with pytest.raises(OSError, match="the disk is full"):
        output.write(make(tmp_path, {"AA": 0.9}))
    assert (tmp_path / "2013-01.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["2013-01.csv"]


def test_bytes_that_are_no_text_are_refused_in_csv_with_the_columns_named(tmp_path: Path) -> None:
    rows = pa.table({"flight": pa.array([b"\xff"]), "score": [0.5]})
    uri = f"file://{tmp_path}/flights/predictions"
    tables.replace_partition(uri, rows, "2013-01")
    version = tables.open_table(uri).version()
    predictions = ScoredPartition("flights", Partition.parse("2013-01", "month"), ("flight",), uri, version)
    with pytest.raises(SchemaMismatch, match=r"as csv: .*'flight' \(binary\).*: write format: parquet"):
        FileWriter(f"{tmp_path}/{{partition}}.csv").write(predictions)
    assert not list(tmp_path.glob("*.csv"))
    FileWriter(f"{tmp_path}/{{partition}}.parquet").write(predictions)


def test_a_file_of_another_file_system_arrives_whole(tmp_path: Path) -> None:
    bucket = uuid.uuid4().hex
    FileWriter(f"memory://{bucket}/{{partition}}.data", format="csv").write(make(tmp_path, {"AA": 0.1}))
    found = fsspec.filesystem("memory").cat_file(f"/{bucket}/2013-01.data").decode().splitlines()
    assert [(row["flight"], row["score"]) for row in csv.DictReader(found)] == [("AA", "0.1")]


# ------------------------------------------------------------------------------------------------------------ spec


def test_a_spec_s_outputs_are_those_that_it_describes() -> None:
    asked = Score.from_dict(
        {
            "outputs": [
                {"sql": {"conn_id": "out", "table": "a.b"}},
                {"files": "s3://who@bucket/{partition}.csv"},
            ]
        }
    )
    found = [from_spec(each) for each in asked.outputs]
    assert found == [SqlWriter("out", "a.b"), FileWriter("s3://who@bucket/{partition}.csv")]
    january = Partition.parse("2013-01", "month")
    assert [each.describe(january) for each in found] == ["table a.b on out", "s3://bucket/2013-01.csv"]
