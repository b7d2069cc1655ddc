"""Queries on any database behind Airflow's connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceUnreadable

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from sqlalchemy import Engine


@dataclass(frozen=True)
class SqlSource:
    """Read the rows of a query, from any database that Airflow has a ``DbApiHook`` for.

    Rows are fetched in chunks from a cursor on the server. Times without a time zone are read as UTC. ``DECIMAL``
    and ``NUMERIC`` become fractions of double precision, JSON and arrays become text.

    :param conn_id: the connection.
    :param sql: a query, which may refer to ``:start`` and ``:end`` (excluded) of the partition in UTC, and to
        ``:partition``, its key. They are bound by the database's driver and never become part of the text.
    :param changed: a query with the same parameters, whose first row changes when the data does, such as
        ``select count(*), max(updated_at) from …``; None counts the rows of ``sql``. It tells whether data is there.
    """

    conn_id: str
    sql: str
    changed: str | None = None

    def describe(self, partition: Partition | None) -> str:
        """Name the connection and the partition."""
        return f"the query on {self.conn_id}" + (f" for {partition.key}" if partition else "")

    def stamp(self, partition: Partition | None) -> str | None:
        """Return the number of rows, or the first row of ``changed``; None while there is no row.

        :raises SourceMissing: if the database cannot be reached, or a table does not exist.
        :raises SourceUnreadable: if the connection or the query is wrong.
        """
        from airflow_mlops.stores.sources import sql as source_sql

        where = self.describe(partition)
        if self.changed is None:
            count = source_sql.count(self.engine(), self.sql, partition, where)
            return str(count) if count else None
        row = source_sql.first_row(self.engine(), self.changed, partition, where)
        return repr(row) if row and any(row) else None

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the query.

        :raises SourceMissing: if the database cannot be reached, or a table does not exist.
        :raises SourceUnreadable: if the connection or the query is wrong, or a column has values of several kinds.
        """
        from airflow_mlops.stores.sources import sql as source_sql

        yield from source_sql.batches(self.engine(), self.sql, partition, types, self.describe(partition))

    def marked(
        self, partition: Partition | None, types: Mapping[str, str], expected: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the same rows, with the cells marked that cannot be read as the type of their column.

        This is asked only of columns whose values are of several kinds, such as those of SQLite may be.

        :param expected: Arrow types of columns.
        """
        from airflow_mlops.stores.sources import sql as source_sql

        where = self.describe(partition)
        yield from source_sql.batches(self.engine(), self.sql, partition, types, where, expected)

    @property
    def has_notation(self) -> bool:
        """Whether numbers or times are written in a notation of their own, which those of a database are not."""
        return False

    @property
    def types(self) -> Mapping[str, str]:
        """Arrow types that it says columns have; the query says that with CAST."""
        return {}

    def is_plain(self, *, number: bool) -> bool:
        """Tell whether text is written as Arrow reads it."""
        return True

    def engine(self) -> Engine:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            hook = BaseHook.get_connection(self.conn_id).get_hook()  # type: ignore[no-untyped-call]
            if not isinstance(hook, DbApiHook):
                raise SourceUnreadable(
                    f"The connection {self.conn_id!r} is for {type(hook).__name__}, which takes no SQL"
                )
            return _checked(_engine(hook), self.conn_id)
        except AirflowNotFoundException as error:
            raise SourceUnreadable(missing_connection(self.conn_id)) from error
        except (AirflowException, ImportError, SQLAlchemyError, NotImplementedError) as error:
            raise SourceUnreadable(
                f"The connection {self.conn_id!r} cannot be used for SQL: {type(error).__name__}: {error}"
            ) from error


def _checked(engine: Engine, conn_id: str) -> Engine:
    # Drivers would say that the database cannot be reached, as if a retry could help.
    port = engine.url.port
    if port is not None and not 0 < port < 1 << 16:
        raise SourceUnreadable(
            f"The connection {conn_id!r} has port {port}, which is none from 1 to 65535; correct it"
        )
    return engine


def _engine(hook: DbApiHook) -> Engine:
    if hook.conn_type == "postgres":
        from sqlalchemy import create_engine

        url = hook.sqlalchemy_url
        if url.drivername == "postgresql":
            # SQLAlchemy 2.1 reads a bare postgresql:// as psycopg 3, which the provider's default is not.
            url = url.set(drivername="postgresql+psycopg2")
        # The provider passes these to the driver, but leaves them out of the URL: sslmode would be lost.
        extras = hook.connection.extra_dejson.items()
        return create_engine(
            url,
            connect_args={name: value for name, value in extras if name not in hook.ignored_extra_options},
        )
    engine: Engine = hook.get_sqlalchemy_engine()
    return engine


def missing_connection(conn_id: str) -> str:
    """Return the message about a connection that does not exist."""
    return (
        f"There is no connection {conn_id!r}; make it under Admin > Connections, or as the environment variable "
        f"AIRFLOW_CONN_{conn_id.upper()}"
    )
