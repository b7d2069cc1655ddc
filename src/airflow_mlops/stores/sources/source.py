"""The protocol of a source: something that has the rows of each partition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable

if TYPE_CHECKING:
    import pyarrow as pa


ADDED_LATER = "added later"
"""Metadata of a field of a source that former releases lack: a watcher that does not use it stays the trigger that it was."""
UNKNOWN = "?"
"""The stamp of a source that cannot tell whether its data is there."""


class Source(Protocol):
    """A source of the rows of each partition."""

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one partition, all with one schema.

        :param partition: None means all there is.
        :param types: Arrow type of each column that is already published, so that text is read as it was then.
        :raises SourceMissing: if the data is not there.
        :raises SourceUnreadable: if the data is there and cannot be read.
        """
        ...

    def describe(self, partition: Partition | None) -> str:
        """Name the place that one partition comes from, for messages and commit metadata."""
        ...

    def stamp(self, partition: Partition | None) -> str | None:
        """Return a text that changes when the data does; None while there is no data.

        Return :data:`UNKNOWN` if the source cannot tell.
        """
        ...


@runtime_checkable
class MarkingSource(Protocol):
    """A source that can tell which of its cells cannot be read as the type of their column, and where they stand."""

    @property
    def has_notation(self) -> bool:
        """Whether numbers or times are written in a notation of its own, which is lost where a column is read as text."""
        ...

    @property
    def types(self) -> Mapping[str, str]:
        """Arrow types that it says columns have, so that it refuses a cell which is none where it does not mark it."""
        ...

    def marked(
        self, partition: Partition | None, types: Mapping[str, str], expected: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of :meth:`Source.batches`, in which such cells are missing.

        A batch that has any also has the column :data:`~airflow_mlops.stores.sources.unreadable.COLUMN`.

        :param types: Arrow type of each column that is already published.
        :param expected: Arrow type that columns must have.
        """
        ...

    def is_plain(self, *, number: bool) -> bool:
        """Tell whether its text is written as Arrow reads it, so that it says the same after a transform.

        :param number: whether the text is of numbers, which can have a notation of their own.
        """
        ...


def arrived(source: Source, partition: Partition) -> str | None:
    """Return the stamp of a partition's data; None while the data is not there, or the source cannot be reached.

    :raises SourceUnreadable: if the source cannot tell, or can never be read.
    """
    try:
        stamp = source.stamp(partition)
    except SourceMissing:
        return None
    if stamp == UNKNOWN:
        raise SourceUnreadable(
            f"{source.describe(partition)} cannot tell whether its data has arrived; give PythonSource a function that "
            "can, as arrived"
        )
    return stamp
