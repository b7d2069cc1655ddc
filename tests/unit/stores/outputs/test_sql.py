"""The table that is made for predictions, as each database is told to make it; none is needed for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores.outputs import sql
from airflow_mlops.stores.outputs.tables import ScoredPartition
from airflow_mlops.stores.tables import tables

KEY = ("flight", "leg", "departure", "tag")
KINDS = {
    "flight": pa.string(),
    "leg": pa.int64(),
    "departure": pa.timestamp("us", "UTC"),
    "tag": pa.binary(),
    "remark": pa.string(),
    "late": pa.bool_(),
    "fare": pa.decimal128(9, 2),
    "picture": pa.binary(),
    "score": pa.float64(),
}


def predictions_of(folder: Path, kinds: dict[str, Any], key: tuple[str, ...] = KEY) -> ScoredPartition:
    """Leave an empty table of predictions with such columns."""
    uri = f"file://{folder}/predictions"
    tables.replace_partition(uri, pa.schema(list(kinds.items())).empty_table(), "2013-01")
    return ScoredPartition("flights", Partition.parse("2013-01", "month"), key, uri, 1)


def told(predictions: ScoredPartition, dialect: Any) -> dict[str, str]:
    """Return what a database is told of each column."""
    table = sql.definition("scores", "out", predictions, "table out.scores")
    text = str(CreateTable(table).compile(dialect=dialect))
    lines = [line.strip().rstrip(",") for line in text.splitlines()[2:] if line.strip()]
    return dict(line.split(" ", 1) for line in lines if not line.startswith((")", "CHECK")))


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (
            mysql.dialect(),
            {
                "model": "VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
                "partition_key": "VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
                "flight": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
                "leg": "BIGINT NOT NULL",
                "departure": "DATETIME(6) NOT NULL",
                "tag": "VARBINARY(255) NOT NULL",
                "remark": "TEXT",
                "late": "BOOL",
                "fare": "NUMERIC(9, 2)",
                "picture": "BLOB",
                "score": "DOUBLE",
            },
        ),
        (
            # As it is after connecting to a server of this decade.
            mssql.dialect(deprecate_large_types=True),
            {
                "model": "NVARCHAR(100) COLLATE Latin1_General_100_BIN2 NOT NULL",
                "partition_key": "NVARCHAR(32) COLLATE Latin1_General_100_BIN2 NOT NULL",
                "flight": "NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL",
                "leg": "BIGINT NOT NULL",
                "departure": "DATETIMEOFFSET NOT NULL",
                "tag": "VARBINARY(255) NOT NULL",
                "remark": "NVARCHAR(max) NULL",
                "late": "BIT NULL",
                "fare": "NUMERIC(9, 2) NULL",
                "picture": "VARBINARY(max) NULL",
                "score": "DOUBLE PRECISION NULL",
            },
        ),
        (
            postgresql.dialect(),
            {
                "model": "VARCHAR NOT NULL",
                "partition_key": "VARCHAR NOT NULL",
                "flight": "VARCHAR NOT NULL",
                "leg": "BIGINT NOT NULL",
                "departure": "TIMESTAMP WITH TIME ZONE NOT NULL",
                "tag": "BYTEA NOT NULL",
                "remark": "TEXT",
                "late": "BOOLEAN",
                "fare": "NUMERIC(9, 2)",
                "picture": "BYTEA",
                "score": "DOUBLE PRECISION",
            },
        ),
        (
            sqlite.dialect(),
            {
                "model": "VARCHAR NOT NULL",
                "partition_key": "VARCHAR NOT NULL",
                "flight": "VARCHAR NOT NULL",
                "leg": "BIGINT NOT NULL",
                "departure": "DATETIME NOT NULL",
                "tag": "BLOB NOT NULL",
                "remark": "TEXT",
                "late": "BOOLEAN",
                "fare": "NUMERIC(9, 2)",
                "picture": "BLOB",
                "score": "DOUBLE",
            },
        ),
    ],
    ids=["mysql", "mssql", "postgresql", "sqlite"],
)
def test_a_table_can_be_made_in_each_database(tmp_path: Path, dialect: Any, expected: dict[str, str]) -> None:
    found = told(predictions_of(tmp_path, KINDS), dialect)
    assert found.pop("PRIMARY") == "KEY (model, partition_key, flight, leg, departure, tag)"
    assert found == expected


@pytest.mark.parametrize("texts", [1, 3, 10])
def test_a_key_of_many_texts_fits_into_an_index_of_mysql(tmp_path: Path, texts: int) -> None:
    names = tuple(f"name{number}" for number in range(texts))
    predictions = predictions_of(tmp_path, dict.fromkeys(names, pa.string()) | {"score": pa.float64()}, names)
    table = sql.definition("scores", None, predictions, "table scores")
    lengths = [column.type.dialect_impl(mysql.dialect()).length for column in table.primary_key]  # type: ignore[attr-defined]
    assert 4 * sum(lengths) <= 3072


def test_a_column_without_a_sql_type_is_named(tmp_path: Path) -> None:
    predictions = predictions_of(tmp_path, KINDS | {"stops": pa.list_(pa.int64())})
    with pytest.raises(SchemaMismatch, match="table scores: column 'stops' is list"):
        sql.definition("scores", None, predictions, "table scores")
