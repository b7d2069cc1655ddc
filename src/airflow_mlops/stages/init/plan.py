"""The plan of a model: what was answered, and what follows from it and from the data."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_mlops.domain.calendars import Grain
from airflow_mlops.domain.facts.recipe import LEAST_ROWS
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec.fields import identifier
from airflow_mlops.exceptions import NotEnoughData, SettingRefused
from airflow_mlops.stages.ingest import schemas
from airflow_mlops.stages.init import column_names, guesses, roles
from airflow_mlops.stages.init.inputs import Input
from airflow_mlops.stages.init.look import Look
from airflow_mlops.stages.init.partition_profiles import PartitionProfiles
from airflow_mlops.stages.init.roles import Roles

DIGEST, AS_OF, PERIOD = "row_digest", "as_of", "period"
"""Columns that are added where rows have no key, and no time."""
_SHARE = 0.2
_COMFORTABLE = 60
"""Rows with a label that are held out at least, if there are enough."""
_JUDGED = 500
"""Rows from which drift is judged, as the spec has it by default."""


@dataclass(frozen=True)
class Answers:
    """What a person wants.

    :param key: columns that identify a row; none if a digest of the row does.
    :param time: event time; None if the data has none.
    :param delay: how long labels take, as ISO 8601.
    :param as_of: when rows without a time hold; None if they have times, or the names of their files do.
    """

    name: str
    target: str
    key: tuple[str, ...]
    time: str | None
    grain: Grain
    delay: str = "P0D"
    as_of: datetime | None = None


@dataclass(frozen=True)
class Plan:
    """What is written, but for what depends on the partitions.

    :param added: columns that the rows get, each with the reason.
    :param reasons: why an answer is likely, by the key of the spec.
    """

    data: Input
    answers: Answers
    task: Task
    classes: tuple[str | int, ...]
    roles: Roles
    key: tuple[str, ...]
    event_time: str
    added: Mapping[str, str]
    reasons: Mapping[str, str]

    @property
    def is_written(self) -> bool:
        """Whether rows are written as files of partitions, since they are not told apart where they are."""
        return bool(self.added) or (self.data.named is None and self.data.table is None)

    @property
    def types(self) -> dict[str, str]:
        """Arrow types, as text, that features have because of their use."""
        features = roles.features(self.roles.roles)
        return features.types if features else {}

    @property
    def digested(self) -> list[str]:
        """The columns that the digest of a row is of: all but the target, which may be known later."""
        return [role.column for role in self.roles.roles if role.use != "target"]


def make(data: Input, look: Look, answers: Answers, reasons: Mapping[str, str]) -> Plan:
    """Return the plan that follows from answers.

    :raises SettingRefused: if an answer does not suit the data, or a name of a column is none that a spec can have.
    :raises SchemaMismatch: if tables cannot have such columns.
    """
    _refuse_names(look.columns, data.name)
    target = look.columns[answers.target]
    task = guesses.task_of(target)
    if task is None:
        raise SettingRefused(
            f"{answers.target!r} cannot be the target: it is {guesses.describe(target)}, and a model predicts a number or one of "
            "several classes; name another with --target"
        )
    columns = roles.of(look, answers.target, answers.key, answers.time, task)
    if roles.features(columns.roles) is None:
        raise SettingRefused(f"no column of {data.name} is left to learn from")
    added: dict[str, str] = {}
    key, event_time = answers.key, answers.time
    if not key:
        key = (column_names.unused(DIGEST, look.columns),)
        added[key[0]] = f"a digest of all columns but {answers.target}: there is no key"
    if event_time is None and answers.as_of is not None:
        event_time = column_names.unused(AS_OF, look.columns)
        added[event_time] = (
            f"{answers.as_of:%Y-%m-%d}, as told; microseconds by a digest of the key make the order random, and its latest rows judge"
        )
    elif event_time is None:
        event_time = column_names.unused(PERIOD, look.columns)
        added[event_time] = "beginning of the partition that the name of the file holds"
    return Plan(
        data,
        answers,
        task,
        roles.classes(look, answers.target),
        columns,
        key,
        event_time,
        added,
        reasons,
    )


def _refuse_names(names: Collection[str], where: str) -> None:
    """Refuse names with which no partition could be ingested, or no spec be written."""
    schemas.refuse(list(names), where)
    if strange := [name for name in names if not name.isprintable() or not name.strip()]:
        raise SettingRefused(
            f"{where}: the column {strange[0]!r} has a tab, a line end or nothing else but blanks in its name; rename it"
        )


def holdout(profiles: PartitionProfiles, target: str) -> tuple[int | float, str]:
    """Return how much is held out to judge on, and why: the latest partition, or a share of the rows.

    :raises NotEnoughData: if there are too few rows to train and to judge on.
    """
    counts = {key: of_key[target].present for key, of_key in profiles.profiles.items()}
    rows = sum(counts.values())
    if rows < 2 * LEAST_ROWS:
        raise NotEnoughData(
            f"{rows:,} rows have a value of {target!r}; a model needs {LEAST_ROWS} to learn from and {LEAST_ROWS} to be judged by"
        )
    latest = [count for count in counts.values() if count][-1]
    if len(counts) > 1 and latest >= _COMFORTABLE and rows - latest >= _COMFORTABLE:
        return 1, "the newest partition judges what the ones before it taught"
    share = min(0.5, max(_SHARE, round(_COMFORTABLE / rows + 0.005, 2)))
    return share, f"the latest {share:.0%} of the rows judge what the ones before them taught"


def window(profiles: PartitionProfiles) -> int:
    """Return how many partitions have enough rows together for a judgement of drift."""
    counts = sorted(profiles.rows.values())
    return max(1, -(-_JUDGED // max(1, counts[len(counts) // 2])))


def name_of(path: Path) -> str:
    """Return a name for a model of the data in a file or folder."""
    stem = path.name.split(".")[0] if path.is_file() else path.name
    name = identifier(column_names.apart(stem))[:100]
    return name if re.match(r"[a-z]", name) else f"model_{name}".rstrip("_")


def moment(text: str) -> datetime:
    """Return the time that ``--as-of`` names.

    :raises SettingRefused: if it is none.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise SettingRefused(f"--as-of must be a date such as 2024-01-31, not {text!r}") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def source(plan: Plan, folder: Path) -> dict[str, Any]:
    """Return the section ``source`` of the spec.

    :param folder: of the files that are written, if any are.
    """
    if plan.is_written:
        return {"files": {"path": f"{folder.absolute().as_posix()}/{{partition}}.parquet"}}
    if plan.data.table is not None:
        connection, table = plan.data.table
        return {"sql": {"conn_id": connection, "query": of_partition(table, plan.event_time)}}
    assert plan.data.named is not None
    return {"files": {"path": plan.data.named.path, **plan.data.options}}


def of_partition(table: str, time: str) -> str:
    """Return the query for the rows of a partition.

    :param table: its name, which is taken as it is.
    :param time: column of the event time.
    """
    name = time if re.fullmatch(r"[a-z_][a-z0-9_]*", time) else '"' + time.replace('"', '""') + '"'
    return f"select * from {table} where {name} >= :start and {name} < :end"  # noqa: S608 - names
