"""Quarantine: keep rows that broke expectations apart until a person releases them, as they are or corrected.

A release holds for the content of a row. It still holds when the partition is ingested again, and a row that
has changed at its source since then is judged anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import ReleaseRefused
from airflow_mlops.stages.ingest import corrections, releases
from airflow_mlops.stages.ingest.releases import REASONS
from airflow_mlops.stores.tables import digests, tables, versions

if TYPE_CHECKING:
    import pyarrow as pa


class Aside(NamedTuple):
    """Rows of a partition that were set aside for the same reason.

    :param released: how many of them a person has released; they pass when the partition is ingested again.
    """

    partition: str
    reason: str
    rows: int
    released: int


class Released(NamedTuple):
    """Count the rows that a release let pass.

    :param as_they_are: rows that may pass as they are.
    :param corrected: rows that corrected rows will replace.
    :param already: rows that were released before with the same outcome, so that nothing was written.
    """

    as_they_are: int
    corrected: int
    already: int


def set_aside(
    dataset: DatasetVersion, reasons: Mapping[int, str], *, quarantine: str, run: str
) -> DatasetVersion:
    """Move rows of a staged partition to quarantine; they replace the rows that the partition had there.

    They are written to quarantine before they are removed from the partition, so a killed process loses none.

    :param reasons: what is wrong with each row, by position; if empty, the partition's quarantine is emptied.
    :param quarantine: URI of the table of rows set aside.
    :param run: the run that moves them; kept in the commits.
    :return: the partition without these rows.
    """
    import pyarrow as pa

    if not reasons:
        if dataset.partition in partitions(quarantine):
            empty = tables.read(quarantine, partition=dataset.partition).slice(0, 0)
            tables.replace_partition(quarantine, empty, dataset.partition, {"run": run})
        return dataset
    positions = sorted(reasons)
    reason_column = pa.array([reasons[position] for position in positions], pa.string())
    bad = _rows_at(dataset, positions).append_column(REASONS, reason_column)
    bad = releases.fitting(quarantine, bad)
    tables.replace_partition(quarantine, bad, dataset.partition, {"run": run}, tables.Change.WIDEN)
    return _stage(dataset, positions, None, run)


def correct(dataset: DatasetVersion, *, released: str, run: str) -> DatasetVersion:
    """Replace rows of a staged partition by the corrected rows that were released for them.

    :param dataset: the staged partition.
    :param released: URI of the table of releases, which may not be there yet.
    :return: the partition as staged again; the same version if no row has a correction.
    """
    import numpy as np

    earlier = releases.read(released, dataset.partition)
    wrong = [was for was, latest in earlier.latest.items() if latest.now != was]
    if not wrong:
        return dataset
    replaced = np.array([int(was, 16) for was in wrong], np.uint64)
    positions: list[int] = []
    indices: list[int] = []
    start = 0
    for batch in _batches(dataset):
        row_digests = digests.rows(batch)
        for offset in np.flatnonzero(np.isin(row_digests, replaced)).tolist():
            outcome = earlier.outcome(releases.text(row_digests[offset]))
            if outcome is not None and outcome.now != releases.text(row_digests[offset]):
                positions.append(start + offset)
                indices.append(outcome.row)
        start += batch.num_rows
    return _stage(dataset, positions, earlier.rows.take(indices), run) if positions else dataset


def allowed(dataset: DatasetVersion, positions: Sequence[int], *, released: str) -> frozenset[int]:
    """Return the positions of those rows that a person has released as they are.

    :param positions: rows of the partition, counted from 0.
    :param released: URI of the table of releases, which may not be there yet.
    """
    earlier = releases.read(released, dataset.partition)
    free = {was for was, latest in earlier.latest.items() if latest.now == was}
    if not free or not positions:
        return frozenset()
    ordered = sorted(positions)
    row_digests = digests.rows(_rows_at(dataset, ordered))
    return frozenset(
        position
        for position, digest in zip(ordered, row_digests, strict=True)
        if releases.text(digest) in free
    )


def partitions(quarantine: str) -> list[str]:
    """Return the keys of the partitions that have rows in quarantine, in order."""
    return versions.partitions(quarantine) if tables.exists(quarantine) else []


def rows(quarantine: str, partition: str | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows set aside, with ``_reasons`` and ``_partition``.

    :param partition: only those of this partition; None means all.
    :raises TableMissing: if nothing was ever set aside.
    """
    import pyarrow as pa

    for key in [partition] if partition is not None else partitions(quarantine):
        for batch in tables.batches(quarantine, partition=key):
            keys = pa.array([key] * batch.num_rows, pa.string())
            yield batch.append_column(tables.PARTITION, keys)


def summary(quarantine: str, released: str, partition: str | None = None) -> list[Aside]:
    """Count the rows set aside by partition and reason, the most frequent reason of a partition first."""
    import pyarrow as pa

    asides = []
    for key in [partition] if partition is not None else partitions(quarantine):
        earlier = releases.read(released, key)
        counts: dict[str, list[int]] = {}
        for batch in tables.batches(quarantine, partition=key):
            names = releases.columns(batch.schema)
            were = [
                releases.text(digest) for digest in digests.rows(pa.Table.from_batches([batch]).select(names))
            ]
            for was, reason in zip(were, batch.column(REASONS).to_pylist(), strict=True):
                count = counts.setdefault(reason, [0, 0])
                count[0] += 1
                count[1] += was in earlier.latest
        asides += [
            Aside(key, reason, *count)
            for reason, count in sorted(counts.items(), key=lambda reason_counts: -reason_counts[1][0])
        ]
    return asides


def release(
    dataset: DatasetVersion, *, quarantine: str, released: str, by: str, reason: str, file: str | None = None
) -> Released:
    """Release rows of a partition from quarantine; they pass from its next run on.

    :param dataset: a version of the dataset, with the partition, its grain, key and event time.
    :param quarantine: URI of the table of rows set aside.
    :param released: URI of the table of releases, which are only ever added.
    :param by: who releases them.
    :param reason: why.
    :param file: file of corrected rows, with the columns that :func:`rows` yields; rows that it leaves out
        stay in quarantine. None releases all rows as they are.
    :raises ReleaseRefused: if there is nothing to release, or a row of the file does not fit; the message
        names it.
    """
    where = f"{dataset.name} {dataset.partition}"
    if not reason.strip():
        raise ReleaseRefused(f"{where}: say why the rows are released; the reason is kept with them")
    aside = tables.read(quarantine, partition=dataset.partition) if tables.exists(quarantine) else None
    if aside is None or not aside.num_rows:
        raise ReleaseRefused(f"{where} has no rows in quarantine; nothing is released")
    contents = aside.select(releases.columns(aside.schema))
    were = [releases.text(digest) for digest in digests.rows(contents)]
    if file is not None:
        contents, origins = corrections.read(file, contents, dataset.key, where)
        were = [were[origin] for origin in origins]
        _check_times(contents, dataset, file)
    now = [releases.text(digest) for digest in digests.rows(contents)]
    earlier = releases.read(released, dataset.partition)
    new = [
        index
        for index, was in enumerate(were)
        if (outcome := earlier.outcome(was)) is None or outcome.now != now[index]
    ]
    if new:
        releases.append(
            released,
            contents.take(new),
            [were[index] for index in new],
            earlier,
            dataset.partition,
            by,
            reason,
        )
    kept = sum(were[index] == now[index] for index in new)
    return Released(kept, len(new) - kept, len(were) - len(new))


def _check_times(corrected: pa.Table, dataset: DatasetVersion, file: str) -> None:
    partition = Partition.parse(dataset.partition, dataset.grain)
    for number, time in enumerate(corrected[dataset.event_time].to_pylist(), 1):
        if time is None or not partition.start <= time < partition.end:
            raise ReleaseRefused(
                f"{file}: row {number}: {dataset.event_time!r} is {time or 'empty'}, outside of the partition; it must "
                f"be from {partition.start:%Y-%m-%d %H:%M} to before {partition.end:%Y-%m-%d %H:%M} (UTC)"
            )


def _batches(dataset: DatasetVersion) -> pa.RecordBatchReader:
    return tables.batches(dataset.uri, version=dataset.version, partition=dataset.partition)


def _rows_at(dataset: DatasetVersion, positions: Sequence[int]) -> pa.Table:
    """Return rows of a partition, in order.

    :param positions: sorted, counted from 0.
    """
    import numpy as np
    import pyarrow as pa

    ordered, start, parts = np.asarray(positions, np.int64), 0, []
    reader = _batches(dataset)
    for batch in reader:
        first, last = np.searchsorted(ordered, [start, start + batch.num_rows])
        if last > first:
            parts.append(batch.take(pa.array(ordered[first:last] - start)))
        start += batch.num_rows
    return pa.Table.from_batches(parts, reader.schema)


def _stage(
    dataset: DatasetVersion, without: Sequence[int], instead: pa.Table | None, run: str
) -> DatasetVersion:
    """Stage a partition again, without some rows and with others.

    :param without: positions of the rows to leave out, sorted.
    :param instead: rows to add; None adds none.
    """
    import numpy as np
    import pyarrow as pa

    reader = _batches(dataset)

    def kept() -> Iterator[pa.RecordBatch]:
        gone, start = np.asarray(without, np.int64), 0
        for batch in reader:
            first, last = np.searchsorted(gone, [start, start + batch.num_rows])
            keep = np.ones(batch.num_rows, bool)
            keep[gone[first:last] - start] = False
            yield batch.filter(pa.array(keep)) if last > first else batch
            start += batch.num_rows
        if instead is not None:
            yield from _like(instead, reader.schema).to_batches()

    return tables.publish(
        dataset.uri,
        pa.RecordBatchReader.from_batches(reader.schema, kept()),
        name=dataset.name,
        grain=dataset.grain,
        partition=dataset.partition,
        key=dataset.key,
        event_time=dataset.event_time,
        source=dataset.uri,
        run=run,
        transform=dataset.transform,
    )


def _like(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows in the columns of a partition: missing columns are null, other columns are dropped."""
    import pyarrow as pa

    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
