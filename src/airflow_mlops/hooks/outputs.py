"""Outputs behind Airflow's connections, and the output that a spec describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.domain.addresses import shown
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.source_sql import SqlSource
from airflow_mlops.stores.outputs.tables import ScoredPartition, Writer
from airflow_mlops.stores.sources.paths import bare, fill

if TYPE_CHECKING:
    from airflow_mlops.domain.spec import score as spec

__all__ = ["FileWriter", "SqlWriter", "Writer", "from_spec"]


@dataclass(frozen=True)
class SqlWriter:
    """Write predictions to a table of any database that Airflow has a ``DbApiHook`` for, in one transaction.

    :param conn_id: the connection.
    :param table: ``table`` or ``schema.table``; it is created if it does not exist.
    """

    conn_id: str
    table: str

    def describe(self, partition: Partition | None) -> str:
        """Name the table and the connection."""
        return f"table {self.table} on {self.conn_id}"

    def write(self, predictions: ScoredPartition) -> None:
        """Replace the predictions that the table has of their model and partition.

        :raises SourceUnreadable: if the connection does not exist or takes no SQL.
        :raises ConnectionError: if the database cannot be reached or gives up.
        :raises WriteConflict: if the rows break a constraint.
        :raises SchemaMismatch: if the table lacks a column, or a column cannot hold the values.
        """
        from airflow_mlops.stores.outputs import sql

        engine = SqlSource(self.conn_id, "").engine()
        sql.write(predictions, engine, self.table, self.describe(predictions.partition))


@dataclass(frozen=True)
class FileWriter:
    """Write predictions to a file for each partition, on any file system that ``ObjectStoragePath`` reaches.

    :param path: a path or URL with ``{partition}``, or with ``{year}``, ``{month}``, ``{day}`` and ``{hour}`` of the
        partition's start. It ends in ``.csv`` or ``.parquet``.
    :param conn_id: connection with the credentials of the file system; None means those of the environment.
    :param format: ``csv`` or ``parquet``; None means that the end of the path decides.
    """

    path: str
    conn_id: str | None = None
    format: str | None = None

    def describe(self, partition: Partition | None) -> str:
        """Return the path, without credentials; for no partition, with ``*`` where its parts would be."""
        return shown(bare(fill(self.path, partition)))

    def write(self, predictions: ScoredPartition) -> None:
        """Write the predictions to the file, replacing one that is there.

        :raises SourceUnreadable: if the connection does not exist, or its file system cannot be opened.
        """
        from airflow_mlops.stores.outputs import files

        path = fill(self.path, predictions.partition)
        opened = FileSource(self.path, self.conn_id).open(path)
        form = self.format or path.rpartition(".")[2]
        files.write(predictions, opened.fs, opened.path, form)


def from_spec(output: spec.Output) -> Writer:
    """Return the output that a spec describes."""
    if output.sql is not None:
        return SqlWriter(output.sql.conn_id, output.sql.table)
    assert output.files is not None
    return FileWriter(output.files.path, output.files.conn_id, output.files.format)
