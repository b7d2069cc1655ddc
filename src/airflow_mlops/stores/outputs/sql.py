"""Predictions as rows of a SQL table, a partition in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.predictions import SCORE
from airflow_mlops.exceptions import OutputUnavailable, SchemaMismatch, WriteConflict
from airflow_mlops.stores.outputs.probabilities import PREFIX

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Column, Connection, Engine, Table

    from airflow_mlops.stores.outputs.tables import ScoredPartition

_log = logging.getLogger(__name__)

MODEL, PARTITION_KEY = "model", "partition_key"
"""Columns with the model and the partition of each prediction."""
CHUNK = 10_000
"""Rows that are sent at a time."""

_LONGEST = 255
_MODEL, _PARTITION = 100, 32
_KEY = 750
"""Characters of all texts in a primary key: MySQL keeps 3072 bytes of it, four for each."""
_MYSQL = ("mysql", "mariadb")
_IN_UTC = {
    "postgresql": "SET LOCAL TIME ZONE 'UTC'",
    **dict.fromkeys(_MYSQL, "SET time_zone = '+00:00'"),
}
"""Statements that make columns without time zone take times in UTC."""


def write(predictions: ScoredPartition, engine: Engine, table: str, where: str) -> None:
    """Replace the predictions that a table has of their model and partition, in one transaction.

    A missing table is created, with model, partition and the key of the rows as its primary key. An existing table needs
    those columns and ``score``; other columns are written if the table has them.

    :param table: ``table`` or ``schema.table``.
    :param where: the name of the table in messages.
    :raises OutputUnavailable: if the database cannot be reached or gives up; nothing was changed.
    :raises WriteConflict: if the rows break a constraint, as when another writer wrote the same partition.
    :raises SchemaMismatch: if the table lacks a column, or a column cannot hold the values.
    """
    schema, _, name = table.rpartition(".")
    with _transaction(engine, where) as connection:
        if statement := _IN_UTC.get(connection.dialect.name):
            connection.exec_driver_sql(statement)
        target = _table(connection, name, schema or None, predictions, where)
        mine = (target.c[MODEL] == predictions.model) & (target.c[PARTITION_KEY] == predictions.partition.key)
        connection.execute(target.delete().where(mine))
        names = [column for column in predictions.flat_schema.names if column in target.c]
        if lacking := [
            name for name in predictions.flat_schema.names if name.startswith(PREFIX) and name not in names
        ]:
            _log.warning(
                "%s has no column %s, so these probabilities are not in it: add it.",
                where,
                ", ".join(lacking),
            )
        for rows in _rows(predictions, names):
            connection.execute(target.insert(), rows)


def _rows(predictions: ScoredPartition, names: list[str]) -> Iterator[list[dict[str, Any]]]:
    origin = {MODEL: predictions.model, PARTITION_KEY: predictions.partition.key}
    for batch in predictions.flat_batches():
        for start in range(0, batch.num_rows, CHUNK):
            yield [origin | row for row in batch.select(names).slice(start, CHUNK).to_pylist()]


def _table(
    connection: Connection, name: str, schema: str | None, predictions: ScoredPartition, where: str
) -> Table:
    import sqlalchemy as sa
    from sqlalchemy.exc import OperationalError, ProgrammingError

    if taken := {MODEL, PARTITION_KEY} & set(predictions.flat_schema.names):
        raise SchemaMismatch(
            f"{where}: the data has a column {min(taken)!r}, which the table needs for itself"
        )
    if not sa.inspect(connection).has_table(name, schema=schema):
        made = definition(name, schema, predictions, where)
        try:
            made.create(connection)
        except (OperationalError, ProgrammingError) as error:
            # "already exists" of PostgreSQL, SQLite and MySQL, "There is already an object" of SQL Server.
            if "already" in str(error.orig):
                raise WriteConflict(f"{where} is being made by another writer.") from None
            raise
        return made
    existing = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection)
    needed = [MODEL, PARTITION_KEY, *predictions.key, SCORE]
    if missing := [column for column in needed if column not in existing.c]:
        raise SchemaMismatch(
            f"{where} has no column {', '.join(missing)}; add what is missing, or name a table that does not exist yet"
        )
    return existing


def definition(name: str, schema: str | None, predictions: ScoredPartition, where: str) -> Table:
    """Return the table that is created if there is none.

    :raises SchemaMismatch: if a column has no SQL type.
    """
    import sqlalchemy as sa
    from pyarrow import types

    fields = list(predictions.flat_schema)
    keys = [field for field in fields if field.name in predictions.key]
    sized = [field for field in keys if types.is_string(field.type) or types.is_binary(field.type)]
    length = min(_LONGEST, (_KEY - _MODEL - _PARTITION) // max(1, len(sized)))
    columns: list[Column[Any]] = [
        sa.Column(MODEL, _text(_MODEL), primary_key=True),
        sa.Column(PARTITION_KEY, _text(_PARTITION), primary_key=True),
    ]
    for field in fields:
        is_key = field in keys
        kind = _type(field.type, length if is_key else None, f"{where}: column {field.name!r}")
        columns.append(sa.Column(field.name, kind, primary_key=is_key, autoincrement=False))
    return sa.Table(name, sa.MetaData(), *columns, schema=schema)


def _type(kind: pa.DataType, length: int | None, column: str) -> Any:
    """Return the SQL type of a column.

    :param length: characters or bytes of a key column; None if the column is not part of the key.
    """
    import sqlalchemy as sa
    from pyarrow import types
    from sqlalchemy.dialects import mysql

    if types.is_decimal(kind):
        return sa.Numeric(kind.precision, kind.scale)
    for is_of, sql_type in (
        (types.is_boolean, sa.Boolean()),
        (types.is_integer, sa.BigInteger()),
        (types.is_floating, sa.Double()),
        (types.is_string, _text(length) if length else sa.UnicodeText()),
        # Without fsp MySQL would keep whole seconds only.
        (types.is_timestamp, sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), *_MYSQL)),
        (types.is_binary, _bytes(length) if length else sa.LargeBinary()),
    ):
        if is_of(kind):
            return sql_type
    raise SchemaMismatch(f"{column} is {kind}, which has no SQL type; make the table yourself")


def _text(length: int) -> Any:
    """Return the type of texts in a key: of bounded length where the database needs it, and always case-sensitive."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import mssql, mysql

    return (
        sa.String()
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), *_MYSQL)
        .with_variant(mssql.NVARCHAR(length, collation="Latin1_General_100_BIN2"), "mssql")
    )


def _bytes(length: int) -> Any:
    import sqlalchemy as sa

    return sa.LargeBinary().with_variant(sa.VARBINARY(length), *_MYSQL, "mssql")


@contextmanager
def _transaction(engine: Engine, where: str) -> Iterator[Connection]:
    from sqlalchemy.exc import SQLAlchemyError

    # Otherwise SQLAlchemy adds the values of a row to its messages.
    engine.hide_parameters = True
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise _explained(error, where) from None
    finally:
        engine.dispose()


def _explained(error: Exception, where: str) -> Exception:
    """Return our error for an error of the database, without the values that its text may hold."""
    from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

    cause = getattr(error, "orig", None) or error
    # PostgreSQL quotes the values after the first line.
    text = (str(cause).splitlines() or [""])[0][:300]
    if isinstance(error, IntegrityError):
        return WriteConflict(
            f"{where}: {text}. Another writer was faster, or the table has a constraint of its own."
        )
    if isinstance(error, DataError):
        return SchemaMismatch(f"{where}: a value does not fit its column ({type(cause).__name__})")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or isinstance(error, OperationalError | InterfaceError):
        return OutputUnavailable(f"{where}: the database cannot be reached or gave up: {text}")
    return SchemaMismatch(f"{where} cannot be written: {text}")
