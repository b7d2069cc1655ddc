"""Quarantine: keep rows that broke expectations apart until a person releases them, as they are or corrected.

A release holds for the content of a row. It still holds when the partition is ingested again, and a row that
has changed at its source since then is judged anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.offsets import local, zone_of
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import ReleaseRefused
from airflow_mlops.stages.ingest import corrections, releases, restage
from airflow_mlops.stages.ingest.releases import REASONS, UNREADABLE
from airflow_mlops.stores import damage
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


class Apart(NamedTuple):
    """Rows of a partition that are not staged, because each has a cell that cannot be read.

    :param waiting: those to set aside, with their reasons; None if there are none.
    :param released: the rows that pass instead of those that a person has released; None if there are none.
    """

    waiting: pa.Table | None = None
    released: pa.Table | None = None


class Released(NamedTuple):
    """Count the rows that a release let pass.

    :param as_they_are: rows that may pass as they are.
    :param corrected: rows that corrected rows will replace.
    :param already: rows that were released before with the same outcome, so that nothing was written.
    """

    as_they_are: int
    corrected: int
    already: int


def unreadable(dataset: DatasetVersion, *, uri: str, released: str) -> Apart:
    """Return the rows of a staged partition that have a cell which cannot be read.

    :param uri: URI of the table of such rows, which need not exist if there are none.
    :param released: URI of the table of releases, which may not be there yet.
    """
    if dataset.unreadable is None:
        return Apart()
    rows = tables.read(uri, version=dataset.unreadable, partition=dataset.partition)
    earlier = releases.read(released, dataset.partition)
    outcomes = {place: earlier.outcome(was) for place, was in enumerate(earlier.known(rows))}
    waiting = [place for place, outcome in outcomes.items() if outcome is None]
    released_rows = {place: outcome for place, outcome in outcomes.items() if outcome is not None}
    if not released_rows:
        return Apart(rows)
    passing = earlier.passing([*released_rows.values()], rows.take([*released_rows]))
    return Apart(rows.take(waiting) if waiting else None, passing)


def set_aside(
    dataset: DatasetVersion,
    reasons: Mapping[int, str],
    *,
    quarantine: str,
    run: str,
    waiting: pa.Table | None = None,
) -> DatasetVersion:
    """Move rows of a staged partition to quarantine; they replace the rows that the partition had there.

    They are written to quarantine before they are removed from the partition, so a killed process loses none.

    :param reasons: what is wrong with each row, by position.
    :param quarantine: URI of the table of rows set aside; if there is nothing to set aside, the partition's rows in it
        are removed.
    :param run: the run that moves them; kept in the commits.
    :param waiting: rows to set aside that are not staged, as :class:`Apart` has them.
    :return: the partition without these rows.
    """
    import pyarrow as pa

    dataset = dataset.model_copy(update={"unreadable": None})
    if not reasons and waiting is None:
        if dataset.partition in partitions(quarantine):
            empty = tables.read(quarantine, partition=dataset.partition).slice(0, 0)
            tables.replace_partition(quarantine, empty, dataset.partition, {"run": run})
        return dataset
    positions = sorted(reasons)
    reason_column = pa.array([reasons[position] for position in positions], pa.string())
    bad = restage.rows_at(dataset, positions).append_column(REASONS, reason_column)
    if waiting is not None:
        bad = pa.concat_tables([bad, waiting], promote_options="permissive")
    bad = releases.fitting(quarantine, bad)
    tables.replace_partition(quarantine, bad, dataset.partition, {"run": run}, tables.Change.WIDEN)
    return restage.stage(dataset, positions, None, run) if positions else dataset


def correct(
    dataset: DatasetVersion, *, released: str, run: str, passing: pa.Table | None = None
) -> DatasetVersion:
    """Replace rows of a staged partition by the corrected rows that were released for them.

    :param dataset: the staged partition.
    :param released: URI of the table of releases, which may not be there yet.
    :param passing: released rows to add, as :class:`Apart` has them.
    :return: the partition as staged again; the same version if no row has a correction, and none is added.
    """
    import pyarrow as pa

    earlier = releases.read(released, dataset.partition)
    wrong = [was for was, latest in earlier.latest.items() if latest.now != was]
    if not wrong:
        return dataset
    positions: list[int] = []
    outcomes: list[releases.Release] = []
    start = 0
    for batch in restage.batches(dataset):
        suspects = earlier.suspects(batch)
        for offset, was in zip(suspects.tolist(), earlier.known(batch.take(suspects)), strict=True):
            outcome = earlier.outcome(was)
            if outcome is not None and outcome.now != was:
                positions.append(start + offset)
                outcomes.append(outcome)
        start += batch.num_rows
    if not positions and passing is None:
        return dataset
    instead = [earlier.passing(outcomes, restage.rows_at(dataset, positions))] if positions else []
    instead += [] if passing is None else [passing]
    return restage.stage(dataset, positions, pa.concat_tables(instead, promote_options="permissive"), run)


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
    contents = earlier.known(restage.rows_at(dataset, ordered))
    return frozenset(position for position, was in zip(ordered, contents, strict=True) if was in free)


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
            place = batch.schema.get_field_index(UNREADABLE)
            batch = batch if place < 0 else batch.remove_column(place)
            yield batch.append_column(tables.PARTITION, keys)


def summary(quarantine: str, released: str, partition: str | None = None) -> list[Aside]:
    """Count the rows set aside by partition and reason, the most frequent reason of a partition first."""

    asides = []
    for key in [partition] if partition is not None else partitions(quarantine):
        earlier = releases.read(released, key)
        counts: dict[str, list[int]] = {}
        for batch in tables.batches(quarantine, partition=key):
            for was, reason in zip(earlier.known(batch), _kinds(batch), strict=True):
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
    earlier = releases.read(released, dataset.partition)
    were, before = earlier.known(aside), [releases.text(digest) for digest in digests.rows(contents)]
    if file is not None:
        ingested = versions.ingested(dataset)
        ambiguous = None if ingested is None else ingested.ambiguous
        contents, origins = corrections.read(
            file, contents, dataset.key, Calendar(dataset.grain).timezone, ambiguous, where
        )
        were, before = [were[origin] for origin in origins], [before[origin] for origin in origins]
    _check_promises(contents, dataset, file or where)
    now = [releases.text(digest) for digest in digests.rows(contents)]
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
    kept = sum(before[index] == now[index] for index in new)
    return Released(kept, len(new) - kept, len(were) - len(new))


def _kinds(batch: pa.RecordBatch) -> list[str]:
    """Return what is wrong with each row, in the same words for rows of which the same is wrong."""
    reasons: list[str] = batch.column(REASONS).to_pylist()
    if UNREADABLE not in batch.schema.names:
        return reasons
    cells = batch.column(UNREADABLE).to_pylist()
    with damage.errors("A row in quarantine"):
        return [
            reason if text is None else "; ".join(f"{name} cannot be read" for name in json.loads(text))
            for reason, text in zip(reasons, cells, strict=True)
        ]


def _check_promises(passing: pa.Table, dataset: DatasetVersion, place: str) -> None:
    """Refuse rows without a key, or with an event time outside of the partition.

    :param place: where the rows stand, for messages.
    """
    partition = Partition.parse(dataset.partition, dataset.grain)
    for name in dataset.key:
        for number, value in enumerate(passing[name].to_pylist(), 1):
            if value is None:
                raise ReleaseRefused(
                    f"{place}: row {number} has no {name!r}, which is part of the key: it can only be corrected at its "
                    "source; release the others by a file without it"
                )
    for number, time in enumerate(passing[dataset.event_time].to_pylist(), 1):
        if time is None or not partition.start <= time < partition.end:
            zone = zone_of(partition.grain.timezone)
            first, end = (
                local(bound, zone).isoformat(" ", "minutes") for bound in (partition.start, partition.end)
            )
            raise ReleaseRefused(
                f"{place}: row {number}: {dataset.event_time!r} is {local(time, zone) if time else 'empty'}, outside of "
                f"the partition; it must be from {first} to before {end} ({zone})"
            )
