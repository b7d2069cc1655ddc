"""Predictions as rows of a SQL table, a partition in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_mlops.engines.score_batches import SCORE
from airflow_mlops.exceptions import OutputUnavailable, SchemaMismatch, WriteConflict

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Column, Connection, Engine, Table

    from airflow_mlops.engines.outputs import Predictions

MODEL, PARTITION_KEY = "model", "partition_key"
"""Columns that tell whose predictions these are, and of which partition."""
CHUNK = 10_000
"""Rows that are sent at a time."""


def write(predictions: Predictions, engine: Engine, table: str, where: str) -> None:
    """Put predictions in place of those that the table has of their model and partition, in one transaction.

    A table that does not exist is made, its primary key being model, partition and the key of the rows. One that exists
    needs those columns and ``score``; of the others it gets those that it has.

    :param table: ``table`` or ``schema.table``.
    :param where: what the table is called in messages.
    :raises OutputUnavailable: if the database cannot be reached or gives up; nothing was changed.
    :raises WriteConflict: if the rows break a constraint, as when another writer wrote the same partition.
    :raises SchemaMismatch: if the table lacks a column or takes no such values.
    """
    schema, _, name = table.rpartition(".")
    with _transaction(engine, where) as connection:
        if connection.dialect.name == "postgresql":
            # A column without time zone then gets UTC.
            connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
        target = _table(connection, name, schema or None, predictions, where)
        mine = (target.c[MODEL] == predictions.model) & (target.c[PARTITION_KEY] == predictions.partition.key)
        connection.execute(target.delete().where(mine))
        names = [each for each in predictions.schema.names if each in target.c]
        for rows in _rows(predictions, names):
            connection.execute(target.insert(), rows)


def _rows(predictions: Predictions, names: list[str]) -> Iterator[list[dict[str, Any]]]:
    origin = {MODEL: predictions.model, PARTITION_KEY: predictions.partition.key}
    for batch in predictions.batches():
        for start in range(0, batch.num_rows, CHUNK):
            yield [origin | row for row in batch.select(names).slice(start, CHUNK).to_pylist()]


def _table(
    connection: Connection, name: str, schema: str | None, predictions: Predictions, where: str
) -> Table:
    import sqlalchemy as sa
    from sqlalchemy.exc import ProgrammingError

    if taken := {MODEL, PARTITION_KEY} & set(predictions.schema.names):
        raise SchemaMismatch(
            f"{where}: the data has a column {min(taken)!r}, which the table needs for itself"
        )
    if not sa.inspect(connection).has_table(name, schema=schema):
        made = sa.Table(name, sa.MetaData(), *_columns(predictions, where), schema=schema)
        try:
            made.create(connection)
        except ProgrammingError as error:
            if "exists" in str(error.orig):
                raise WriteConflict(f"{where} is being made by another writer.") from None
            raise
        return made
    found = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection)
    needed = [MODEL, PARTITION_KEY, *predictions.key, SCORE]
    if missing := [each for each in needed if each not in found.c]:
        raise SchemaMismatch(
            f"{where} has no column {', '.join(missing)}; add what is missing, or name a table that does not exist yet"
        )
    return found


def _columns(predictions: Predictions, where: str) -> list[Column[Any]]:
    import sqlalchemy as sa

    columns: list[Column[Any]] = [
        sa.Column(name, sa.String(), primary_key=True) for name in (MODEL, PARTITION_KEY)
    ]
    for field in predictions.schema:
        kind, is_key = _type(field.type, field.name, where), field.name in predictions.key
        columns.append(sa.Column(field.name, kind, primary_key=is_key, autoincrement=False))
    return columns


def _type(kind: pa.DataType, name: str, where: str) -> Any:
    import sqlalchemy as sa
    from pyarrow import types

    for is_of, found in (
        (types.is_boolean, sa.Boolean()),
        (types.is_integer, sa.BigInteger()),
        (types.is_floating, sa.Double()),
        (types.is_string, sa.String()),
        (types.is_timestamp, sa.DateTime(timezone=True)),
        (types.is_decimal, sa.Numeric()),
        (types.is_binary, sa.LargeBinary()),
    ):
        if is_of(kind):
            return found
    raise SchemaMismatch(
        f"{where}: column {name!r} is {kind}, which has no SQL type; make the table yourself"
    )


@contextmanager
def _transaction(engine: Engine, where: str) -> Iterator[Connection]:
    from sqlalchemy.exc import SQLAlchemyError

    # SQLAlchemy would add the values of a row to its messages.
    engine.hide_parameters = True
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise _explained(error, where) from None
    finally:
        engine.dispose()


def _explained(error: Exception, where: str) -> Exception:
    """Return our error for one of the database's, without the values that its text may hold."""
    from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

    cause = getattr(error, "orig", None) or error
    # PostgreSQL names the values in the lines that follow.
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
