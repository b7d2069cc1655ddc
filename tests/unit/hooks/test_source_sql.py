"""Queries on SQLite, and on PostgreSQL where the machine has one."""

from __future__ import annotations

import json
import resource
import socket
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import create_engine, text

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.hooks.source_sql import SqlSource

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

JANUARY = Partition.parse("2013-01", "month")
WITHIN = "at >= :start and at < :end"
POSTGRES = {"conn_type": "postgres", "host": "127.0.0.1", "login": "postgres", "schema": "test", "port": 5432}
SECRET = "hunter2-very-secret"


def read(source: SqlSource, partition: Partition | None = JANUARY, **types: str) -> pa.Table:
    batches = list(source.batches(partition, types))
    assert len({batch.schema for batch in batches}) == 1
    return pa.Table.from_batches(batches)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    monkeypatch.setenv("AIRFLOW_CONN_LITE", f"sqlite:///{tmp_path}/flights.db")
    connection = sqlite3.connect(tmp_path / "flights.db", isolation_level=None)
    yield connection
    connection.close()


@pytest.fixture(params=["postgresql", "postgresql+psycopg2", None])
def postgres(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A table in the database behind the connection ``pg``, by each driver that SQLAlchemy may take."""
    if not listens(5432):
        pytest.skip("there is no PostgreSQL on 127.0.0.1")
    # Whoever runs a database may have set any time zone for those who log in.
    extra: dict[str, Any] = {"sqlalchemy_query": {"options": "-c timezone=Asia/Tokyo"}}
    extra |= {"sqlalchemy_scheme": request.param} if request.param else {}
    monkeypatch.setenv("AIRFLOW_CONN_PG", json.dumps({**POSTGRES, "password": SECRET, "extra": extra}))
    name = f"flights_{uuid.uuid4().hex}"
    engine = create_engine("postgresql+psycopg2://postgres@127.0.0.1/test")
    with engine.begin() as connection:
        connection.execute(text(f"create table {name} (id int, at timestamp, seen timestamptz)"))
        rows = "(1, '2013-01-01', '2013-01-01 00:00+00'), (2, '2013-01-31 23:59:59', '2013-02-01 00:30+01'), "
        connection.execute(text(f"insert into {name} values {rows}(3, '2013-02-01', '2013-02-01 00:00+00')"))
    yield name
    with engine.begin() as connection:
        connection.execute(text(f"drop table {name}"))
    engine.dispose()


# ------------------------------------------------------------------------------------------------------ PostgreSQL


@pytest.mark.parametrize("column", ["at", "seen"])
def test_rows_of_a_partition_are_those_of_its_interval_in_utc(postgres: str, column: str) -> None:
    query = f"select id, at, seen from {postgres} where {column} >= :start and {column} < :end order by id"
    table = read(SqlSource("pg", query))
    assert table["id"].to_pylist() == [1, 2]
    assert table["at"].to_pylist() == [
        datetime(2013, 1, 1, tzinfo=UTC),
        datetime(2013, 1, 31, 23, 59, 59, tzinfo=UTC),
    ]
    assert table["seen"].to_pylist()[1] == datetime(2013, 1, 31, 23, 30, tzinfo=UTC)
    assert read(SqlSource("pg", f"select count(*) as n from {postgres}"), None)["n"].to_pylist() == [3]


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", None])
def test_what_a_connection_says_besides_its_place_reaches_the_driver(
    monkeypatch: pytest.MonkeyPatch, scheme: str | None
) -> None:
    if not listens(5432):
        pytest.skip("there is no PostgreSQL on 127.0.0.1")
    extra = {
        "application_name": "nightly",
        "cursor": "dictcursor",
        **({"sqlalchemy_scheme": scheme} if scheme else {}),
    }
    monkeypatch.setenv("AIRFLOW_CONN_PG", json.dumps({**POSTGRES, "extra": extra}))
    query = "select current_setting('application_name') as name"
    assert read(SqlSource("pg", query), None).to_pylist() == [{"name": "nightly"}]


def test_every_kind_of_value_becomes_one_that_delta_knows(postgres: str) -> None:
    query = """select 1::bigint as whole, 1.50::numeric as money, 2.5::real as fraction, true as truth, 'é' as word,
        '2013-01-05'::date as day, '2013-01-05 10:00'::timestamp as naive, '2013-01-05 10:00+02'::timestamptz as aware,
        '\\x00ff'::bytea as raw, jsonb_build_object('b', 2, 'a', array[1]) as document, array[1, 2] as list, null as nothing,
        interval '90 minutes' as span, '10:00'::time as clock, '00000000-0000-0000-0000-000000000001'::uuid as id,
        :partition as key"""
    table = read(SqlSource("pg", query))
    assert table.to_pylist() == [
        {
            "whole": 1, "money": 1.5, "fraction": 2.5, "truth": True, "word": "é", "day": date(2013, 1, 5),
            "naive": datetime(2013, 1, 5, 10, tzinfo=UTC), "aware": datetime(2013, 1, 5, 8, tzinfo=UTC),
            "raw": b"\x00\xff", "document": '{"a": [1], "b": 2}', "list": "[1, 2]", "nothing": None, "span": 5400.0,
            "clock": "10:00:00", "id": "00000000-0000-0000-0000-000000000001", "key": "2013-01",
        }
    ]  # fmt: skip
    assert pa.types.is_null(table.schema.field("nothing").type)
    assert read(SqlSource("pg", query), nothing="double").schema.field("nothing").type == pa.float64()


def test_numbers_of_any_length_in_documents_keep_their_digits(postgres: str) -> None:
    query = """select '{"a": [18446744073709551615, 9007199254740993, 0.5]}'::jsonb as document"""
    document = '{"a": [18446744073709551615, 9007199254740993, 0.5]}'
    assert read(SqlSource("pg", query))["document"].to_pylist() == [document]
    assert read(SqlSource("pg", query.replace("jsonb", "json")))["document"].to_pylist() == [document]


def test_a_value_cannot_become_part_of_the_query(postgres: str) -> None:
    source = SqlSource("pg", f"select * from {postgres} where '%' <> :partition and id % 2 = 1")
    assert read(source)["id"].to_pylist() == [1, 3]
    assert ":partition" in source.sql


def test_types_that_are_known_late_hold_for_all_rows(postgres: str) -> None:
    query = """select x, case when x > 20000 then 'late' end as word, case when x > 15000 then x + 0.5 else x end as number
        from generate_series(1, 30000) x"""
    table = read(SqlSource("pg", query))
    assert table.schema.types == [pa.int64(), pa.string(), pa.float64()]
    assert table["word"].null_count == 20_000


@pytest.mark.parametrize(
    ("query", "error", "says"),
    [
        ("selec 1", SourceUnreadable, 'cannot be answered: syntax error at or near "selec"'),
        ("select nope", SourceUnreadable, 'column "nope" does not exist'),
        ("select 1/0", SourceUnreadable, "division by zero"),
        ("select 1 as a, 2 as a", SourceUnreadable, "the column 'a' is there twice"),
        ("select :day", SourceUnreadable, "refers to :day; it may refer to :start, :end and :partition"),
        (
            "select (repeat('[', 5000) || repeat(']', 5000))::jsonb as document",
            SourceUnreadable,
            "JSON is nested deeper than Python reads",
        ),
        ("select * from no_such_table", SourceMissing, 'a table does not exist: relation "no_such_table"'),
    ],
)
def test_a_query_that_cannot_be_answered_is_told(
    postgres: str, query: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as raised:
        read(SqlSource("pg", query))
    assert "the query on pg for 2013-01" in str(raised.value)
    assert says in str(raised.value)


MEASURED = """
import resource, sys
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.hooks.source_sql import SqlSource
query = "select x, repeat('x', 200) as y from generate_series(1, {rows}) x"
january = Partition.parse("2013-01", "month")
def most(rows):
    assert sum(batch.num_rows for batch in SqlSource("pg", query.format(rows=rows)).batches(january)) == rows
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(most(20_000), most(400_000))
"""


@pytest.mark.slow
def test_rows_stay_on_the_server_until_they_are_asked_for() -> None:
    if not listens(5432):
        pytest.skip("there is no PostgreSQL on 127.0.0.1")
    environment = {
        "AIRFLOW_CONN_PG": json.dumps(POSTGRES),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "PATH": "/usr/bin:/bin",
    }
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=environment,
    )
    few, many = map(int, ran.stdout.splitlines()[-1].split())
    scale = 1024 if sys.platform == "darwin" else 1
    # All of the rows are more than 80 MB, and several times that as Python objects.
    assert (many - few) / scale < 40_000, resource.RUSAGE_SELF


# ---------------------------------------------------------------------------------------------------------- SQLite


@pytest.mark.parametrize(
    "at", ["2013-01-01", "2013-01-01 00:00:00", "2013-01-01T00:00:00", "2013-01-31 23:59:59.5"]
)
def test_times_that_are_text_are_compared_whatever_their_form(sqlite: sqlite3.Connection, at: str) -> None:
    sqlite.execute("create table flights (at text)")
    sqlite.executemany("insert into flights values (?)", [(at,), ("2013-02-01",), ("2012-12-31 23:59:59",)])
    assert read(SqlSource("lite", f"select at from flights where {WITHIN}"))["at"].to_pylist() == [at]


def test_an_hour_of_text_is_found(sqlite: sqlite3.Connection) -> None:
    sqlite.execute("create table flights (at text)")
    sqlite.executemany(
        "insert into flights values (?)", [(f"2013-01-01 {hour:02d}:30:00",) for hour in range(24)]
    )
    for hour in (0, 5, 23):
        source = SqlSource("lite", f"select at from flights where {WITHIN}")
        partition = Partition.parse(f"2013-01-01T{hour:02d}", "hour")
        assert read(source, partition)["at"].to_pylist() == [f"2013-01-01 {hour:02d}:30:00"]


def test_truth_values_of_sqlite_are_numbers_and_a_column_may_have_no_value(
    sqlite: sqlite3.Connection,
) -> None:
    sqlite.execute("create table flights (late boolean, reason text, raw blob)")
    sqlite.execute("insert into flights values (true, null, x'00ff'), (false, null, null)")
    table = read(SqlSource("lite", "select * from flights"), None)
    assert table.to_pydict() == {"late": [1, 0], "reason": [None, None], "raw": [b"\x00\xff", None]}


def test_no_rows_still_have_columns(sqlite: sqlite3.Connection) -> None:
    sqlite.execute("create table flights (id, at)")
    assert read(SqlSource("lite", "select * from flights"), None).column_names == ["id", "at"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            [(1,), ("x",)],
            r"'a' holds 1 int: '1' \(row 1\), and 1 str: 'x' \(row 2\): values of several kinds make no one type.* cast\(a as text\)",
        ),
        (
            [(1,)] * 10_000 + [("x",)],
            r"'a' holds 10,000 int: '1' \(row 1\), .*, …, and 1 str: 'x' \(row 10,001\): values of several kinds",
        ),
        (
            [(b"x",), (1.5,)],
            r"'a' holds 1 bytes: \"x'78'\" \(row 1\), and 1 float: '1.5' \(row 2\): values of several",
        ),
        ([(1 << 62,), (1.5,)], "'a'"),
    ],
    ids=["together", "apart", "bytes", "too large"],
)
def test_values_of_several_kinds_are_told(sqlite: sqlite3.Connection, values: list[Any], says: str) -> None:
    sqlite.execute("create table flights (a)")
    sqlite.execute("begin")
    sqlite.executemany("insert into flights values (?)", values)
    sqlite.execute("commit")
    with pytest.raises(SourceUnreadable, match=says):
        read(SqlSource("lite", "select a from flights"), None)


def test_a_column_of_the_query_may_not_have_our_name(sqlite: sqlite3.Connection) -> None:
    with pytest.raises(SourceUnreadable, match="has '_unreadable', which our tables add; rename it"):
        read(SqlSource("lite", "select 1 as _unreadable"), None)


@pytest.mark.parametrize(
    ("query", "error", "says"),
    [
        ("selec 1", SourceUnreadable, 'near "selec": syntax error'),
        ("select nope from flights", SourceUnreadable, "no such column: nope"),
        ("select * from no_such_table", SourceMissing, "no such table: no_such_table"),
        ("delete from flights", SourceUnreadable, "returns no rows; write a query that selects some"),
        (
            f"select * from flights where {WITHIN}",
            SourceUnreadable,
            "refers to :end, :start, and no partition is given",
        ),
    ],
)
def test_a_query_that_sqlite_cannot_answer_is_told(
    sqlite: sqlite3.Connection, query: str, error: type[Exception], says: str
) -> None:
    sqlite.execute("create table flights (id, at)")
    with pytest.raises(error, match=says):
        read(SqlSource("lite", query), None)


# ----------------------------------------------------------------------------------------------------- connections


@pytest.mark.parametrize(
    ("connection", "error", "says"),
    [
        (None, SourceUnreadable, "There is no connection 'other'; make it under Admin > Connections"),
        (
            f"teleport://user:{SECRET}@127.0.0.1",
            SourceUnreadable,
            "The connection 'other' cannot be used for SQL",
        ),
        (
            f"smtp://user:{SECRET}@127.0.0.1",
            SourceUnreadable,
            "The connection 'other' is for SmtpHook, which takes no SQL",
        ),
        (f"postgres://user:{SECRET}@127.0.0.1:1/test", SourceMissing, "the database cannot be reached"),
        ("sqlite:////no/such/folder/flights.db", SourceMissing, "the database cannot be reached"),
    ],
)
def test_a_connection_that_cannot_be_used_is_told_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, connection: str | None, error: type[Exception], says: str
) -> None:
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", connection)
    for look in (lambda source: read(source, None), lambda source: source.stamp(None)):
        with pytest.raises(error) as raised:
            look(SqlSource("other", "select 1"))
        assert says in str(raised.value)
        assert SECRET not in str(raised.value)


# -------------------------------------------------------------------------------------------------- what is there


def test_the_stamp_is_the_number_of_rows_or_what_a_query_tells(sqlite: sqlite3.Connection) -> None:
    sqlite.execute("create table flights (at text, changed text)")
    counts = SqlSource("lite", f"select * from flights where {WITHIN};")
    tells = SqlSource(
        "lite", counts.sql, changed=f"select max(changed), count(*) from flights where {WITHIN}"
    )
    assert (counts.stamp(JANUARY), tells.stamp(JANUARY)) == (None, None)
    sqlite.execute("insert into flights values ('2013-01-05', 'monday')")
    first = (counts.stamp(JANUARY), tells.stamp(JANUARY))
    assert None not in first
    sqlite.execute("insert into flights values ('2013-02-05', 'tuesday')")
    assert (counts.stamp(JANUARY), tells.stamp(JANUARY)) == first
    sqlite.execute("update flights set changed = 'wednesday'")
    assert counts.stamp(JANUARY) == first[0]
    assert tells.stamp(JANUARY) != first[1]
    sqlite.execute("insert into flights values ('2013-01-06', 'monday')")
    assert counts.stamp(JANUARY) != first[0]
    assert SqlSource("lite", "x").describe(JANUARY) == "the query on lite for 2013-01"
