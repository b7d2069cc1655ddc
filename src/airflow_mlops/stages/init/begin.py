"""Begin with a model: write its data by partition, its spec, its DAG file and its first test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.init import guesses, partition_files, python_text, rows, spec_text
from airflow_mlops.stages.init.look import Look, in_utc, plain
from airflow_mlops.stages.init.new_files import NewFiles
from airflow_mlops.stages.init.partition_profiles import PartitionProfiles, refuse_outside
from airflow_mlops.stages.init.plan import Plan

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Places:
    """Where files are written.

    :param dags: folder of DAG files.
    :param data: folder of the partitions of the model's data.
    :param ci: whether a workflow is written.
    """

    dags: Path
    data: Path
    name: str
    ci: bool = False

    @property
    def root(self) -> Path:
        """The folder of the project, in which the DAG files have their own."""
        return self.dags.absolute().parent

    @property
    def spec(self) -> Path:
        """The spec."""
        return self.dags / "models" / f"{self.name}.yaml"

    @property
    def dag(self) -> Path:
        """The DAG file."""
        return self.dags / f"{self.name}.py"

    @property
    def test(self) -> Path:
        """The first test."""
        return self.root / "tests" / f"test_{self.name}.py"

    @property
    def workflow(self) -> Path:
        """The workflow, which checks all models."""
        return self.root / ".github" / "workflows" / "models.yml"


class Begun(NamedTuple):
    """What was written.

    :param files: the spec, the test, the DAG file, and the workflow if one was.
    :param partitions: number of rows by partition.
    :param data: number of files of data that were written.
    :param dropped: number of rows that were left out, since another one is the same.
    """

    files: Sequence[Path]
    partitions: dict[str, int]
    data: int
    dropped: int


def begin(
    plan: Plan, look: Look, places: Places, *, overwrite: bool = False, drop_duplicates: bool = False
) -> Begun:
    """Write the files that a model begins with; all of them, or none.

    :param overwrite: replace files that are there.
    :param drop_duplicates: leave out rows whose digest an earlier row has too.
    :raises PlaceRefused: if a file is there already.
    :raises BadRows: if two rows have the same key, or a row has no time.
    :raises NotEnoughData: if there are too few rows to train and to judge on.
    :raises SpecError: if the data leads to no valid spec.
    """
    texts = [places.spec, places.test, places.dag]
    workflow = python_text.workflow(places.root, places.spec.parent, places.test.parent)
    # One workflow checks all models, so that of another model will do.
    writes_workflow = places.ci and not _has(places.workflow, workflow)
    with NewFiles(overwrite=overwrite) as files:
        files.refuse([*texts, *([places.workflow] if writes_workflow else [])])
        if plan.is_written and places.data.exists():
            files.refuse(sorted(places.data.glob("*.parquet")))
        later = _later(plan, drop_duplicates=drop_duplicates)
        if plan.is_written:
            drafts = files.folder(places.data)
            profiles = partition_files.write(plan, drafts, later)
            for key in profiles.rows:
                files.add(places.data / f"{key}.parquet", drafts / f"{key}.parquet")
        else:
            profiles = _profiles(plan, look)
        draft = files.write(places.spec, spec_text.text(plan, profiles, places.data))
        # Two are enough to train on, and to see what a champion does.
        keys = sorted(profiles.rows)[:2] if ModelSpec.load(draft).source.files else []
        test = python_text.test(places.name, plan.answers.target, places.spec, places.test.parent, keys)
        files.write(places.test, test)
        if writes_workflow:
            files.write(places.workflow, workflow)
        # Last, since a scheduler reads it at once.
        files.write(places.dag, python_text.dag(places.name))
        moved = files.move()
    count = len(profiles.rows) if plan.is_written else 0
    return Begun(moved[count:], profiles.rows, count, len(later))


def _has(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _later(plan: Plan, *, drop_duplicates: bool) -> Sequence[int]:
    """Return the places of rows to leave out; refuse rows that cannot be told apart."""
    by_digest = plan.key[0] in plan.added
    names = plan.digested if by_digest else list(plan.key)
    twice = rows.repeated(plan.data.read(), names)
    if by_digest and drop_duplicates:
        return twice.later
    if by_digest:
        what = f"the values, but for {plan.answers.target!r},"
        advice = "add a column that tells them apart and name it with --key, or leave the later ones out: --drop-duplicates"
    else:
        what = f"the {', '.join(plan.key)}"
        advice = "correct them, or name columns that identify a row with --key"
        if drop_duplicates:
            advice += "; --drop-duplicates leaves out rows without a key alone, those of --key none"
    rows.refuse(twice, what, plan.data.places, advice)
    return ()


def _profiles(plan: Plan, look: Look) -> PartitionProfiles:
    """Return what is in partitions that are told apart where they are."""
    profiles = PartitionProfiles(plan.types, plan.data.name)
    columns = [plan.event_time, *plan.roles.named("dates")]
    for partition, batches in _partitions(plan, look):
        for batch in batches:
            table = plain(batch)
            if table.num_rows:
                table = in_utc(table, columns)
                refuse_outside(table, plan.event_time, partition, plan.data.name)
                profiles.add(partition.key, table)
    profiles.finish()
    return profiles


def _partitions(plan: Plan, look: Look) -> Iterator[tuple[Partition, Iterator[pa.RecordBatch]]]:
    named = plan.data.named
    if named is not None:
        for key in dict.fromkeys(named.keys):
            yield Partition.parse(key, named.grain.value), plan.data.rows_of(key)
        return
    assert plan.data.part is not None
    calendar = Calendar.of(plan.answers.grain)
    for key in guesses.partitions(look.columns[plan.event_time], plan.answers.grain):
        partition = Partition.parse(key, calendar)
        yield partition, plan.data.part(partition, plan.event_time)
