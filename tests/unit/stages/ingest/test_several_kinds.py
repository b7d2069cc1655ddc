"""Columns of SQLite with values of several kinds: they are read as the type of the column, their rows set aside, or told."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SchemaMismatch, SourceUnreadable
from airflow_mlops.hooks.source_sql import SqlSource
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stores.tables import tables

JANUARY = Partition.parse("2013-01", "month")
GOOD = list(range(20, 40))
CHUNK = 10_000


class Database:
    """A table of customers in SQLite, and the tables of the dataset that is made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def uri(self, name: str) -> str:
        return f"file://{self.folder}/store/{name}"

    def stage(self, ages: Sequence[Any], *, apart: bool = True, **changes: Any) -> DatasetVersion:
        with sqlite3.connect(self.folder / "customers.db") as connection:
            connection.execute("drop table if exists customers")
            connection.execute("create table customers (id integer, at text, age)")
            rows = [(number, "2013-01-05 00:00:00", age) for number, age in enumerate(ages, 1)]
            connection.executemany("insert into customers values (?, ?, ?)", rows)
        connection.close()
        source = SqlSource("lite", "select * from customers where at >= :start and at < :end order by id")
        arguments: dict[str, Any] = {
            "uri": self.uri("staging"), "published": self.uri("data"), "name": "customers", "key": ["id"],
            "event_time": "at", "run": "run", "unreadable": self.uri("unreadable") if apart else None,
        }  # fmt: skip
        return ingest.stage(source, JANUARY, **arguments | changes)

    def publish(self, ages: Sequence[Any], **changes: Any) -> None:
        ingest.publish(self.stage(ages, **changes), uri=self.uri("data"), run="run")

    def ages(self, staged: DatasetVersion) -> list[Any]:
        rows = tables.read(staged.uri, version=staged.version).sort_by("id")
        return list(rows["age"].to_pylist())

    def reasons(self, staged: DatasetVersion) -> list[str]:
        rows = tables.read(self.uri("unreadable"), version=staged.unreadable).sort_by("id")
        return list(rows["_reasons"].to_pylist())


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("AIRFLOW_CONN_LITE", f"sqlite:///{tmp_path}/customers.db")
    return Database(tmp_path)


@pytest.mark.parametrize("is_published", [True, False])
def test_rows_with_a_text_that_is_no_number_are_set_aside(database: Database, is_published: bool) -> None:
    if is_published:
        database.publish(GOOD)
    types = None if is_published else {"age": "int64"}
    staged = database.stage([*GOOD, "thirty", "41", None, b"\x00\xff"], types=types)
    assert staged.columns["age"] == "int64"
    assert database.ages(staged) == [*GOOD, 41, None]
    assert database.reasons(staged) == [
        "age cannot be read as int64: 'thirty' (row 21)",
        "age cannot be read as int64: \"x'00ff'\" (row 24)",
    ]


def test_without_the_option_such_cells_are_told_with_their_rows_and_number(database: Database) -> None:
    database.publish(GOOD)
    ages = ["unknown", *GOOD, "thirty", "x", "y", "42"]
    with pytest.raises(SchemaMismatch) as raised:
        database.stage(ages, apart=False)
    said = "'age' cannot be read as int64 in 4 of 25 values: 'unknown' (row 1), 'thirty' (row 22), 'x' (row 23), …; "
    assert said in str(raised.value)
    with pytest.raises(SchemaMismatch) as raised:
        database.stage(ages, apart=False, pii=["age"])
    assert "in 4 of 25 values: row 1, row 22, row 23, …; " in str(raised.value)
    assert "thirty" not in str(raised.value)


def test_more_such_cells_than_half_are_another_format(database: Database) -> None:
    database.publish(GOOD)
    with pytest.raises(
        SchemaMismatch, match="'age' cannot be read as int64 in 21 of 41 values: .* the format has changed"
    ):
        database.stage([*GOOD, *["thirty"] * 21])


@pytest.mark.parametrize(
    ("ages", "kind", "values"),
    [
        ([1, "x", 2.5, "3", " 4 "], "double", [1, 2.5, 3, 4]),
        ([1.5, b"x", 2.5], "double", [1.5, 2.5]),
        ([1, "x", 2**53 + 1], "int64", [1, 2**53 + 1]),
        ([1, "x", str(2**64 - 1)], "decimal128(20, 0)", [Decimal(1), Decimal(2**64 - 1)]),
        (["x", "y", *["5"] * CHUNK, 1], "int64", [*[5] * CHUNK, 1]),
        ([1, 2.5] * CHUNK + ["x", "3"], "double", [1, 2.5] * CHUNK + [3]),
        ([None] * CHUNK + ["x", 1], "int64", [None] * CHUNK + [1]),
        ([b"x"] * CHUNK + [1] * CHUNK, "int64", [1] * CHUNK),
    ],
    ids=["blanks", "bytes", "digits", "unsigned", "text first", "text last", "none first", "bytes first"],
)  # fmt: skip
def test_the_other_values_are_what_they_were_in_whichever_chunk_they_are(
    database: Database, ages: list[Any], kind: str, values: list[Any]
) -> None:
    staged = database.stage(ages, types={"age": "int64"})
    assert staged.columns["age"] == kind
    assert database.ages(staged) == values
    assert len(database.reasons(staged)) == len(ages) - len(values)


@pytest.mark.parametrize("first", [0, CHUNK])
def test_numbers_are_written_as_the_database_writes_them_in_a_column_that_is_text(
    database: Database, first: int
) -> None:
    staged = database.stage([1.0] * first + ["007", 1.0, 7, None], types={"age": "string"})
    assert database.ages(staged) == ["1.0"] * first + ["007", "1.0", "7", None]


def test_times_of_text_are_times_beside_numbers(database: Database) -> None:
    ages = ["2013-01-05 10:00:00", 5, "2013-01-05T10:00:00+02:00", "2013-01-06"]
    staged = database.stage(ages, types={"age": "timestamp[us, tz=UTC]"})
    assert database.ages(staged) == [
        datetime(2013, 1, 5, 10, tzinfo=UTC), datetime(2013, 1, 5, 8, tzinfo=UTC), datetime(2013, 1, 6, tzinfo=UTC),
    ]  # fmt: skip
    assert database.reasons(staged) == ["age cannot be read as a time: '5' (row 2)"]


@pytest.mark.parametrize("large", [2**53 + 1, str(2**53 + 1)])
@pytest.mark.parametrize("first", [0, CHUNK])
def test_whole_numbers_beside_fractions_never_lose_digits_silently(
    database: Database, large: Any, first: int
) -> None:
    with pytest.raises(SourceUnreadable, match="'age'"):
        database.stage([1] * first + [large] + [1] * CHUNK + [0.5, "x"], types={"age": "double"})


def test_a_column_of_no_type_is_told_with_the_values_and_rows_of_each_kind(database: Database) -> None:
    ages = [*GOOD, "thirty", 2.5, "x", b"\x01", *GOOD * 1_000, "y", "z"]
    with pytest.raises(SourceUnreadable) as raised:
        database.stage(ages)
    said = str(raised.value)
    assert (
        "'age' holds 20,020 int: '20' (row 1), '21' (row 2), '22' (row 3), …, and 4 str: 'thirty' (row 21), "
        in said
    )
    assert (
        "'x' (row 23), 'y' (row 20,025), …, and 1 float: '2.5' (row 22), and 1 bytes: \"x'01'\" (row 24): "
        in said
    )
    assert (
        "if 'age' is text, write cast(age as text) as age in the query; or, if it is a number and there is no"
        in said
    )
    assert "list it under features.numeric" in said
    with pytest.raises(SourceUnreadable) as raised:
        database.stage(ages, pii=["age"])
    assert "'age' holds 20,020 int: row 1, row 2, row 3, …, and 4 str: row 21, row 23, row 20,025, …" in str(
        raised.value
    )
    assert "thirty" not in str(raised.value)


def test_the_query_that_the_message_writes_reads_the_column(database: Database) -> None:
    with pytest.raises(SourceUnreadable, match=r"write cast\(age as text\) as age in the query"):
        database.stage([1, "x", 2.5])
    cast = SqlSource("lite", "select id, at, cast(age as text) as age from customers order by id")
    batches = list(cast.batches(None))
    assert [batch["age"].to_pylist() for batch in batches] == [["1", "x", "2.5"]]
