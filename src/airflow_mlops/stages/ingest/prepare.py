"""The rows of a source as their dataset has them: prepared, checked and cast, batch by batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.stages.ingest.promises import refuse_odd_times
from airflow_mlops.stages.ingest.schemas import Columns, refuse
from airflow_mlops.stages.ingest.unreadable import Unreadable, divided
from airflow_mlops.stores.clocks import Clocks
from airflow_mlops.stores.sources.hints import Looks
from airflow_mlops.stores.tables import column_types

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stores.sources.source import Source

log = logging.getLogger(__name__)

_SECONDS = 5.0


class Preparation(Protocol):
    """A function that prepares features, with a version that identifies its code."""

    @property
    def version(self) -> str:
        """``module:function@digest``."""
        ...

    def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
        """Return the prepared rows."""
        ...


def prepared(
    source: Source,
    partition: Partition,
    columns: Columns,
    clocks: Clocks,
    looks: Looks,
    unreadable: Unreadable,
    event_time: str,
    transform: Preparation | None,
    where: str,
) -> Iterator[tuple[pa.Table, pa.Table | None]]:
    """Yield the rows of each batch in the columns of their dataset, and those with a cell that cannot be read, if any.

    :param clocks: reads times without an offset.
    :param looks: looks at every row, as the source has it.
    :param unreadable: looks for such cells.
    :param where: partition and source, for messages.
    """
    import pyarrow as pa

    began = last_logged = time.monotonic()
    count = 0
    for batch in unreadable.batches(source, partition, columns.types):
        rows, cells = unreadable.taken(pa.Table.from_batches([batch]))
        rows = rows.drop_columns(columns.leftovers(rows.column_names))
        refuse(rows.column_names, where)
        rows = column_types.plain(rows, where)
        looks.add(rows)
        if transform is not None:
            # A batch without rows is left out: the transform could not add its columns to it.
            if not rows.num_rows:
                continue
            rows = column_types.plain(transform(rows, partition), where)
        columns.check(rows.schema)
        rows = unreadable.read(rows, cells)
        rows = clocks.read(rows, [event_time, *unreadable.times(rows)])
        refuse_odd_times(rows, where)
        rows = columns.conform(rows)
        unreadable.add(rows, cells)
        yield divided(rows, cells)
        count += rows.num_rows
        if time.monotonic() - last_logged >= _SECONDS:
            last_logged = time.monotonic()
            log.info("%s: %s rows so far (%.0f s)", where, f"{count:,}", last_logged - began)
