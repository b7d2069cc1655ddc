"""The tables of docs/types.md are what publishing gives."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy
from pyarrow import parquet
from tools import types_table

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.hooks.source_files import FileSource

pytestmark = pytest.mark.slow  # a hundred tables

PAGE = Path(__file__).parents[2] / "docs" / types_table.PAGE
AT = "2013-01-02T00:00:00Z"


def test_the_tables_are_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == types_table.page(text), "run: python -m tools.types_table docs"
    assert "| `uint64` | `int64` | number | yes | yes | `BIGINT` |" in text


@pytest.mark.parametrize("name", types_table.arrow())
def test_parquet_gives_the_type_that_the_page_names(tmp_path: Path, name: str) -> None:
    rows = pa.table({"id": [1], "at": [AT], "x": types_table.arrow()[name]})
    try:
        parquet.write_table(rows, tmp_path / "2013-01.parquet")
    except pa.ArrowNotImplementedError:
        return  # Parquet has no such type
    source = FileSource(f"{tmp_path}/{{partition}}.parquet")
    row = re.search(rf"^\| `{re.escape(name)}` \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row
    assert types_table.published(source, tmp_path) == row[1]


def test_postgresql_hands_over_the_values_that_the_page_names() -> None:
    engine = sqlalchemy.create_engine("postgresql+psycopg2://postgres@127.0.0.1/test")
    try:
        connection = engine.connect()
    except sqlalchemy.exc.OperationalError:
        pytest.skip("there is no PostgreSQL on 127.0.0.1")
    texts = {
        "bytea": "\\\\x61",
        "json, jsonb": '{"a": 1}',
        "text[]": "{a}",
        "boolean": "true",
        "interval": "1 day",
    }
    with connection:
        for names, value in types_table.DATABASE.items():
            for kind in names.split(", "):
                text = texts.get(names, "null" if value is None else value)
                literal = "null" if value is None else f"'{text}'::{kind}"
                answer = connection.exec_driver_sql(f"select {literal}").scalar()
                assert type(answer) is type(value), kind


def test_whole_numbers_that_no_table_keeps_are_refused() -> None:
    with pytest.raises(SourceUnreadable, match="convert it in the query with CAST"):
        types_table.sql.column("x", [10**30], "query")
