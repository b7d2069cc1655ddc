"""Rows of a SQL query, fetched in chunks from a cursor on the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.source import PARAMETERS
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.stores.arrow import unsigned
from airflow_mlops.stores.sources.batches import distinct, spooled
from airflow_mlops.stores.sources.kinds import Kinds, as_text
from airflow_mlops.stores.sources.unreadable import COLUMN

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Engine, TextClause

_TOKENS = re.compile(
    r"""(?P<blank>\s+|;|--[^\n]*|/\*.*?\*/)|'(?:[^'\\]|\\.|'')*'|"[^"]*"|`[^`]*`|\$(\w*)\$.*?\$\2\$|.""",
    re.DOTALL,
)
"""Parts of a query: what may stand after it, quoted text, and any other character."""

CHUNK = 10_000
"""Rows that are fetched at a time."""


def batches(
    engine: Engine,
    query: str,
    partition: Partition | None,
    types: Mapping[str, str] | None,
    where: str,
    expected: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query.

    :param query: may refer to ``:start``, ``:end`` and ``:partition``, which are bound and never become part of its text.
    :param where: the name of the query in messages.
    :param expected: types that columns of several kinds of values are read as; cells that are none are marked, in the column
        that :mod:`~airflow_mlops.stores.sources.unreadable` adds.
    :raises SourceMissing: if the database cannot be reached, or a table does not exist.
    :raises SourceUnreadable: if the query is wrong, or a column has values of several kinds.
    """
    # Types are known only after the last row; by then the connection is closed.
    kinds = Kinds(expected, where)
    yield from spooled(
        _fetched(engine, query, partition, where, kinds), types, where, kinds.planned, kinds.read
    )


def count(engine: Engine, query: str, partition: Partition | None, where: str) -> int:
    """Return how many rows a query has.

    :raises SourceMissing: if the database cannot be reached, or a table does not exist.
    :raises SourceUnreadable: if the query is wrong.
    """
    row = first_row(engine, f"select count(*) from (\n{_statement(query)}\n) counted", partition, where)  # noqa: S608
    return int(row[0]) if row else 0


def first_row(engine: Engine, query: str, partition: Partition | None, where: str) -> tuple[Any, ...] | None:
    """Return the first row of a query; None if it has none."""
    with _connected(engine, partition, where) as connection:
        row = connection.execute(_bound(connection, query, partition, where)).first()
    return tuple(row) if row is not None else None


def _fetched(
    engine: Engine, query: str, partition: Partition | None, where: str, kinds: Kinds
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    timezone = partition.grain.timezone if partition else "UTC"
    with _connected(engine, partition, where) as connection:
        cursor = connection.execution_options(stream_results=True, yield_per=CHUNK).execute(
            _bound(connection, query, partition, where)
        )
        if not cursor.returns_rows:
            raise SourceUnreadable(f"{where} returns no rows; write a query that selects some")
        names = list(cursor.keys())
        distinct(names, where)
        if COLUMN in names:
            raise SourceUnreadable(f"{where} has {COLUMN!r}, which our tables add; rename it")
        empty = True
        for rows in cursor.partitions(CHUNK):
            empty = False
            cells = list(zip(*rows, strict=True))
            several = kinds.add(names, cells)
            columns = [
                as_text(values) if name in several else column(name, values, where, timezone)
                for name, values in zip(names, cells, strict=True)
            ]
            yield kinds.look(pa.record_batch(columns, names=names))
        kinds.check()
        if empty:
            yield pa.record_batch([pa.nulls(0)] * len(names), names=names)


@contextmanager
def _connected(engine: Engine, partition: Partition | None, where: str) -> Iterator[Connection]:
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                # So that times without an offset are compared as they are read.
                zone = partition.grain.timezone if partition else "UTC"
                connection.execute(text("select set_config('TimeZone', :zone, false)"), {"zone": zone})
            yield connection
    except SQLAlchemyError as error:
        raise _explained(error, where) from error
    except RecursionError:
        raise SourceUnreadable(
            f"{where}: a value of JSON is nested deeper than Python reads; cast it to text in the query, or leave it out"
        ) from None
    finally:
        engine.dispose()


def _bound(connection: Connection, query: str, partition: Partition | None, where: str) -> TextClause:
    from sqlalchemy import text

    clause = text(_statement(query))
    parameters = set(clause.compile().params)
    if unknown := sorted(parameters - set(PARAMETERS)):
        raise SourceUnreadable(
            f"{where} refers to :{', :'.join(unknown)}; it may refer to :start, :end and :partition, and a colon "
            "that is none is written \\:"
        )
    if not parameters:
        return clause
    if partition is None:
        raise SourceUnreadable(
            f"{where} refers to :{', :'.join(sorted(parameters))}, and no partition is given"
        )
    start, end = partition.bounds
    if connection.dialect.name == "postgresql":
        start, end = partition.start, partition.end
    bounds: dict[str, Any] = {"start": start, "end": end, "partition": partition.key}
    if connection.dialect.name == "sqlite":
        bounds |= {"start": _sqlite(start), "end": _sqlite(end)}
    return clause.bindparams(**{name: bounds[name] for name in parameters})


def _statement(query: str) -> str:
    """Return a query without the semicolons and comments after it, which not every driver takes."""
    end = 0
    for token in _TOKENS.finditer(query):
        if token.lastgroup != "blank":
            end = token.end()
    return query[:end]


def _sqlite(moment: datetime) -> str:
    # SQLite keeps times as text, and a day without its hour sorts before every other form of that day.
    return moment.isoformat(" ").removesuffix(" 00:00:00")


def column(name: str, values: Sequence[Any], where: str, timezone: str = "UTC") -> pa.Array:
    """Return values, as the driver of a database hands them over, in types that a table can keep.

    :raises SourceUnreadable: if they make no one type.
    """
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    convert = {kind: conversion for kind in kinds if (conversion := _conversion(kind)) is not None}
    if timezone != "UTC" and _has_clocks(name, values, where):
        # They are read as the clocks of the time zone show them, once all rows are there.
        convert = {kind: conversion for kind, conversion in convert.items() if not issubclass(kind, datetime)}
    if convert:
        values = [convert[type(value)](value) if type(value) in convert else value for value in values]
    try:
        return pa.array(values, unsigned() if kinds == {int} and _exceeds(values) else None)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        held = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise SourceUnreadable(
            f"{where}: {name!r} holds {held}, which make no one type: {error}; convert it in the query with CAST"
        ) from error


def _has_clocks(name: str, values: Sequence[Any], where: str) -> bool:
    """Tell whether times have no offset.

    :raises SourceUnreadable: if only some have one.
    """
    without = {value.tzinfo is None for value in values if isinstance(value, datetime)}
    if len(without) > 1:
        raise SourceUnreadable(
            f"{where}: {name!r} has times with and without an offset; convert it in the query with CAST"
        )
    return True in without


def _exceeds(values: Sequence[Any]) -> bool:
    """Tell whether whole numbers need more than 63 bits."""
    return max(map(abs, filter(None, values)), default=0) >= 2**63


def _conversion(kind: type) -> Callable[[Any], Any] | None:
    """Return the function that converts values of a type for Arrow and Delta; None if they need no conversion."""
    if issubclass(kind, bool | int | float | str | bytes) and kind.__module__ == "builtins":
        return None
    return next(
        (conversion for convertible, conversion in _CONVERSIONS if issubclass(kind, convertible)), str
    )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any] | None], ...] = (
    # How many digits a column of decimals needs depends on its values, so the type would differ between partitions.
    (Decimal, float),
    (datetime, lambda value: value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)),
    (date, None),
    (time, time.isoformat),
    (timedelta, timedelta.total_seconds),
    ((memoryview, bytearray), bytes),
    ((dict, list, tuple), _json),
)


def _explained(error: Exception, where: str) -> Exception:
    """Return our error for an error of the database, whose text may repeat the query but no credentials."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, NoSuchModuleError, OperationalError

    cause = getattr(error, "orig", None) or error
    text = " ".join(str(cause).split())[:500]
    code = getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None)
    if code == "42P01" or re.search(r"no such table|doesn't exist", text):
        return SourceMissing(f"{where}: a table does not exist: {text}")
    if isinstance(error, NoSuchModuleError):
        return SourceUnreadable(f"{where} needs a driver that is not installed: {text}")
    wrong = re.search(r"syntax error|no such column|ambiguous|incomplete input|unrecognized token", text)
    if isinstance(error, OperationalError | InterfaceError) and not wrong:
        return SourceMissing(f"{where}: the database cannot be reached or gave up: {text}")
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return SourceMissing(f"{where}: the connection was lost: {text}")
    return SourceUnreadable(f"{where} cannot be answered: {text}")
