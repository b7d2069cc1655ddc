"""The data of each model against its schedule: whether it is there, up to date, and will be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, brief, failed, passed, skipped, warned
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.partitions import Partition

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.hooks.source_files import FileSource


def look() -> list[Diagnosis]:
    """Look for the partition of each model that its schedule has reached."""
    from airflow_mlops.cli.doctor import models

    now = datetime.now(UTC)
    lines = [of_model(spec, now) for spec in models.specs().valid]
    return lines or [skipped("data", "There is no spec beside the DAG files")]


def of_model(spec: DataSpec, now: datetime) -> Diagnosis:
    """Hold the data of a model to its schedule."""
    from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
    from airflow_mlops.hooks.source_files import FileSource
    from airflow_mlops.hooks.sources import from_spec

    source = from_spec(spec.source)
    due = reached(spec, now)
    try:
        if isinstance(source, FileSource):
            return _of_files(spec, source, due)
        stamp = source.stamp(due)
    except (SourceMissing, SourceUnreadable, OSError) as error:
        return failed(
            "data",
            f"The source of {spec.name} cannot be looked at: {brief(error)}",
            "Its partitions cannot be ingested",
            "correct source in the spec, or its connection",
        )
    if stamp == "?":
        return skipped(
            "data", f"The source of {spec.name} is a function that cannot tell whether data is there"
        )
    if stamp is None:
        return _stale(spec, due, "there is none of it")
    return passed(
        "data", f"{spec.name} has data of {due}, the newest partition that its schedule has reached"
    )


def reached(spec: DataSpec, now: datetime) -> Partition:
    """Return the newest partition that the schedule of a model has reached, not after its last one."""
    from croniter import croniter

    from airflow_mlops.domain.calendars import Calendar
    from airflow_mlops.domain.spec import schedule

    calendar = Calendar(spec.grain)
    current = Partition.containing(now, calendar)
    fires = croniter(spec.schedule or schedule.default(calendar), now.astimezone(calendar.zone)).get_prev(
        datetime
    )
    due = current.shift(-1 if fires >= current.start else -2)
    return min(due, Partition.parse(spec.end, calendar)) if spec.end else due


def _of_files(spec: DataSpec, source: FileSource, due: Partition) -> Diagnosis:
    files = source.files(None)
    if not files:
        return failed(
            "data",
            f"{spec.name} has no file {source.describe(None)}",
            "There is nothing to ingest",
            "put the files there, or correct source.files; a path without / at its beginning is looked for where Airflow's "
            "processes were started",
        )
    keys = [source.key_of(file, spec.grain) for file in files]
    partitions = sorted(Partition.parse(key, spec.grain) for key in set(keys) if key)
    if not partitions:
        return failed(
            "data",
            f"None of the {len(files)} files of {spec.name}, such as {files[0].name}, names a {spec.partition} partition",
            "There is nothing to ingest",
            f"name the files as {due}, or correct partition or source.files",
        )
    return _held_to_bounds(spec, partitions, due)


def _held_to_bounds(spec: DataSpec, partitions: list[Partition], due: Partition) -> Diagnosis:
    first, last = partitions[0], partitions[-1]
    there = f"{spec.name} has files of {counted(len(set(partitions)), 'partition')}, {first} to {last}"
    if spec.start and Partition.parse(spec.start, spec.grain) > last:
        return warned(
            "data",
            f"{there}, and starts with {spec.start}",
            "None of them is ever ingested",
            "correct start, or wait",
        )
    if spec.end and Partition.parse(spec.end, spec.grain) < last:
        return warned(
            "data",
            f"{there}, and ends with {spec.end}",
            "Later ones are never ingested",
            "leave end out, or move it",
        )
    if last < due:
        return _stale(spec, due, f"the newest file is of {last}, {last.steps(due)} before it")
    return passed("data", f"{there}; its schedule has reached {due}")


def _stale(spec: DataSpec, due: Partition, state: str) -> Diagnosis:
    return warned(
        "data",
        f"The schedule of {spec.name} has reached {due}, and {state}",
        "Scheduled runs find no data, and fail or wait",
        "see why none comes; of history that has ended, write the last partition as end in the spec, and backfill",
    )
