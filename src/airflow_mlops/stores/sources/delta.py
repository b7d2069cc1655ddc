"""Rows of a Delta table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.addresses import shown, shown_cause
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable, TableMissing
from airflow_mlops.stores.sources.batches import ROWS
from airflow_mlops.stores.tables import column_types, tables

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class DeltaSource:
    """Read a Delta table, as it is at one version.

    :param uri: URI of the table: ``file:///…``, ``s3://…``; credentials come from the environment of the process.
    :param event_time: column with the time that a row belongs to, by which the rows of a partition are selected; None
        means that the table has a column ``_partition`` with the key, as our own tables have.
    :param version: version to read; None means the latest.
    """

    uri: str
    event_time: str | None = None
    version: int | None = None

    def describe(self, partition: Partition | None) -> str:
        """Name the table, without a password or a signature in its address."""
        return shown(self.uri) + (f"@{self.version}" if self.version is not None else "")

    def stamp(self, partition: Partition | None) -> str | None:
        """Return a digest of the names of the partition's data files; None if it has no rows.

        Data files of Delta never change, so the digest stays the same while other partitions are written.

        :raises SourceUnreadable: if a file is missing or damaged.
        """
        import hashlib

        try:
            dataset, condition = self._open(partition)
        except SourceMissing:
            return None
        with self._reading(partition):
            if not dataset.count_rows(filter=condition):
                return None
        files = sorted(fragment.path for fragment in dataset.get_fragments(filter=condition))
        return hashlib.sha256("\n".join(files).encode()).hexdigest()[:32]

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one partition.

        :raises SourceMissing: if there is no such table.
        :raises SourceUnreadable: if the version or the event time column does not exist, or the table cannot be read.
        """
        import pyarrow as pa

        dataset, condition = self._open(partition)
        columns = [name for name in dataset.schema.names if name != tables.PARTITION]
        scanner = dataset.scanner(columns=columns, filter=condition, batch_size=ROWS, batch_readahead=2)
        batches = iter(scanner.to_batches())
        without_type = column_types.open_types(dataset.schema)
        while True:
            # Errors of the caller's work on a batch must not be reported as errors of the source.
            with self._reading(partition):
                batch = next(batches, None)
            if batch is None:
                return
            yield from column_types.reopened(pa.Table.from_batches([batch]), without_type).to_batches()

    @contextmanager
    def _reading(self, partition: Partition | None) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowInvalid) as error:
            raise self._unreadable(partition, error) from shown_cause(error)

    def _unreadable(self, partition: Partition | None, error: Exception) -> SourceUnreadable:
        return SourceUnreadable(f"{self.describe(partition)} cannot be read: {shown(str(error))}")

    def _open(self, partition: Partition | None) -> tuple[Any, Any]:
        try:
            dataset = tables.dataset(self.uri, self.version)
        except TableMissing as error:
            raise SourceMissing(f"There is no Delta table at {shown(self.uri)}.") from shown_cause(error)
        except (RuntimeError, OSError, ValueError) as error:
            raise self._unreadable(partition, error) from shown_cause(error)
        return dataset, self._condition(dataset.schema, partition)

    def _condition(self, schema: pa.Schema, partition: Partition | None) -> Any:
        import pyarrow as pa
        import pyarrow.dataset as ds

        if partition is None:
            return None
        column = self.event_time or tables.PARTITION
        if column not in schema.names:
            fix = "name its column of event time" if self.event_time is None else "name another column"
            raise SourceUnreadable(
                f"{shown(self.uri)} has no column {column!r}; {fix} (event_time): {', '.join(schema.names)}"
            )
        if self.event_time is None:
            return ds.field(column) == partition.key
        kind = schema.field(column).type
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            raise SourceUnreadable(f"{shown(self.uri)}: {column!r} is {kind}, not a time")
        start, end = (partition.start, partition.end) if getattr(kind, "tz", None) else partition.bounds
        # A date is compared as its midnight: a partition may begin at another hour of the day.
        value = ds.field(column) if pa.types.is_timestamp(kind) else ds.field(column).cast(pa.timestamp("us"))
        return (value >= start) & (value < end)
