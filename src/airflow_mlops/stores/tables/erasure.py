"""Erasure: rows that leave a table for good, in every version and in every file."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from airflow_mlops.exceptions import OtherValue
from airflow_mlops.stores import written
from airflow_mlops.stores.tables import delta, digests
from airflow_mlops.stores.tables.commits import commit
from airflow_mlops.stores.tables.delta import PARTITION
from airflow_mlops.stores.tables.drafts import Draft, paths

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.fs as pafs

    Describe = Callable[[int, str, pa.Schema], Mapping[str, str]]

_BATCH_ROWS = 65_536
# A file that no version names may be that of a run which has not committed it yet.
_UNDER_WAY = 86_400


@dataclass(frozen=True)
class Rows:
    """Rows that have one of some combinations of values.

    :param columns: columns that hold the values.
    :param combinations: one value a column; text stands for whatever type a column has.
    :param partition: the only partition whose rows are meant; None means all.
    :param timezone: time zone whose clocks show times without an offset in text.
    """

    columns: tuple[str, ...]
    combinations: frozenset[tuple[Any, ...]]
    partition: str | None = None
    timezone: str = "UTC"

    def among(self, rows: pa.Table, partition: str) -> np.ndarray | None:
        """Return which rows these are; None if there can be none."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.partition not in (None, partition) or not set(self.columns) <= set(rows.column_names):
            return None
        combinations_of = self._typed(tuple(rows.schema.field(name).type for name in self.columns))
        hits = np.full(rows.num_rows, bool(combinations_of))
        for position, name in enumerate(self.columns):
            values = pa.array({values[position] for values in combinations_of}, rows.schema.field(name).type)
            hits &= pc.is_in(rows[name], values).to_numpy()
        if len(self.columns) > 1 and hits.any():
            # Each column matches, but perhaps another combination of them.
            near = np.flatnonzero(hits)
            columns = [rows[name].take(near).to_pylist() for name in self.columns]
            hits[near] = [values in combinations_of for values in zip(*columns, strict=True)]
        return hits

    def _typed(self, types: tuple[pa.DataType, ...]) -> frozenset[tuple[Any, ...]]:
        if types not in self._casts:
            typed = (tuple(map(self._cast, values, types)) for values in self.combinations)
            self._casts[types] = frozenset(values for values in typed if None not in values)
        return self._casts[types]

    def _cast(self, value: Any, kind: pa.DataType) -> Any:
        """Return a value as a column of a type holds it; None if it cannot hold it."""
        try:
            return written.read(value, kind, self.timezone)[0].as_py()
        except OtherValue:
            return None

    @cached_property
    def _casts(self) -> dict[tuple[pa.DataType, ...], frozenset[tuple[Any, ...]]]:
        return {}


class Holding(NamedTuple):
    """A file that holds some of the rows.

    :param path: below the table.
    :param young: whether it is so new that a run which has not committed it yet may have written it.
    """

    path: str
    partition: str
    rows: int
    young: bool


def holdings(uri: str, whose: Sequence[Rows]) -> list[Holding]:
    """Return every file below a table that holds any of some rows, be it part of a version or of none.

    :raises TableUnreadable: if a file is damaged.
    """
    return [
        holding._replace(rows=count)
        for holding, rows in _scanned(uri, sorted({name for theirs in whose for name in theirs.columns}))
        if (count := sum(int(_hits(part, holding.partition, whose).sum()) for part in rows))
    ]


def combinations(uri: str, whose: Rows, columns: Sequence[str]) -> dict[str, set[tuple[Any, ...]]]:
    """Return which values rows have in other columns, in any file below a table, by partition."""
    by_partition: dict[str, set[tuple[Any, ...]]] = {}
    for holding, parts in _scanned(uri, list(dict.fromkeys([*whose.columns, *columns]))):
        for part in parts:
            if not set(columns) <= set(part.column_names):
                continue
            rows = part.filter(_hits(part, holding.partition, [whose]))
            values = zip(*(rows[name].to_pylist() for name in columns), strict=True)
            by_partition.setdefault(holding.partition, set()).update(values)
    return {partition: values for partition, values in by_partition.items() if values}


def count(batch: pa.RecordBatch, whose: Sequence[Rows]) -> int:
    """Return how many of some rows a batch of any partition holds."""
    import pyarrow as pa

    return int(_hits(pa.Table.from_batches([batch]), "", whose).sum())


def without(batch: pa.RecordBatch, whose: Sequence[Rows]) -> pa.RecordBatch:
    """Return a batch of any partition without some rows."""
    import pyarrow as pa

    return batch.filter(pa.array(~_hits(pa.Table.from_batches([batch]), "", whose)))


def rewrite(
    uri: str,
    partition: str,
    whose: Sequence[Rows],
    describe: Describe,
    columns: Sequence[str] | None = None,
    change: Callable[[pa.Table], pa.Table] | None = None,
) -> tuple[int, str]:
    """Write a partition again without some rows, in one commit, and return how many rows stay, and their digest.

    :param describe: returns what the commit keeps, of the number of rows, their digest and their columns.
    :param columns: those that the partition has; None means all of the table.
    :param change: what else becomes of the rows that stay; None for nothing.
    :raises WriteConflict: if another writer changed the partition meanwhile.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.dataset as ds

    table = delta.open_table(uri)
    there, files = paths(table, partition), delta.dataset(uri, table.version())
    names = list(columns or (name for name in files.schema.names if name != PARTITION))
    content = digests.Content()
    with Draft(uri, partition) as draft, delta.errors(uri):
        draft.add(delta.normalise(pa.schema([files.schema.field(name) for name in names]).empty_table()))
        for batch in delta.scan(files, [*names], ds.field(PARTITION) == partition):
            rows = delta.normalise(pa.Table.from_batches([batch]))
            rows = rows.filter(pa.array(np.logical_not(_hits(rows, partition, whose))))
            rows = change(rows) if change else rows
            draft.add(rows)
            content.add(rows)
        digest = content.digest()
        assert draft.schema is not None
        commit(draft, describe(draft.rows, digest, draft.schema), seen=there)
    return draft.rows, digest


def remove(uri: str, doomed: Collection[str]) -> int:
    """Delete files that are part of no present version, and return how many there were."""
    there = part_of(uri)
    files, gone = delta.filesystem(uri), sorted(set(doomed) - there)
    infos = [info for info in files.get_file_info(gone) if info.is_file]
    for info in infos:
        files.delete_file(info.path)
    return len(infos)


def partition_of(path: str) -> str:
    """Return the key of the partition whose folder a file is in."""
    return unquote(path.partition("/")[0].removeprefix(f"{PARTITION}="))


def part_of(uri: str) -> set[str]:
    """Return the paths of the files that the latest version of a table has."""
    import pyarrow as pa

    actions = pa.table(delta.open_table(uri).get_add_actions(flatten=True))
    return {unquote(path) for path in actions["path"].to_pylist()}


def _hits(rows: pa.Table, partition: str, whose: Sequence[Rows]) -> np.ndarray:
    import numpy as np

    hits = np.zeros(rows.num_rows, bool)
    for theirs in whose:
        among = theirs.among(rows, partition)
        if among is not None:
            hits |= among
    return hits


def _scanned(uri: str, columns: list[str]) -> list[tuple[Holding, Any]]:
    """Return each data file below a table, with its rows in parts."""
    import pyarrow.fs as pafs

    files, now = delta.filesystem(uri), time.time()
    infos = files.get_file_info(pafs.FileSelector("", recursive=True))
    scanned = []
    for info in sorted(infos, key=lambda info: info.path):
        path = info.path.lstrip("/")
        folder = path.partition("/")[0]
        if info.is_file and path.endswith(".parquet") and folder.startswith(f"{PARTITION}="):
            age = now - info.mtime.timestamp() if info.mtime else _UNDER_WAY
            holding = Holding(path, partition_of(path), 0, age < _UNDER_WAY)
            scanned.append((holding, _parts(uri, files, path, columns)))
    return scanned


def _parts(uri: str, files: pafs.FileSystem, path: str, columns: list[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with delta.errors(uri), files.open_input_file(path) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        names = [name for name in columns if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=names) if names else ():
            yield pa.Table.from_batches([batch])
