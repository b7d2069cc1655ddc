"""Files on this machine as a source that knows no Airflow: for tests and for looks at data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceMissing
from airflow_mlops.stores.sources import listing
from airflow_mlops.stores.sources.paths import fill

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec.source import Files


@dataclass(frozen=True)
class LocalFiles:
    """Read the files of a partition that a spec names, on this machine.

    :param options: of the spec; a relative path begins in the current directory.
    """

    options: Files

    def describe(self, partition: Partition | None) -> str:
        """Return the path; for no partition, with ``*`` where its parts would be."""
        return fill(self.options.path, partition)

    def stamp(self, partition: Partition | None) -> str | None:
        """Return a digest of the names, sizes and times of the files; None while there are none."""
        from airflow_mlops.stores.sources.files import stamp

        return stamp(listing.local(self.describe(partition), self.options))

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the files, in the order of their names.

        :raises SourceMissing: if there is no file.
        :raises SourceUnreadable: if a file cannot be read, or the files have different columns.
        """
        from airflow_mlops.stores.sources.files import read

        where = self.describe(partition)
        files = listing.local(where, self.options)
        if not files:
            raise SourceMissing(f"there is no file {where}")
        yield from read(files, where, types)
