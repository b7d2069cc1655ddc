"""DataSpec: what a dataset is made of, where its rows come from, and what they are held to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from airflow_mlops.domain.calendars import Calendar, Grain
from airflow_mlops.domain.predictions import PREDICTION_COLUMNS
from airflow_mlops.domain.spec import bounds, loading, schedule
from airflow_mlops.domain.spec.alerts import Alerts
from airflow_mlops.domain.spec.data import Rule, SchemaPolicy, Skew
from airflow_mlops.domain.spec.fields import (
    Column,
    Columns,
    Line,
    Name,
    Share,
    SomeColumns,
    Text,
    TimeZone,
)
from airflow_mlops.domain.spec.loading import Document
from airflow_mlops.domain.spec.problems import spec_error
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.domain.spec.source import Function, Source


class Named(Section):
    """What carries a name of its own: a dataset, or a model of it."""

    # The order matters, because a field's validator only sees the fields above it.
    name: Name = Field(
        description="Names the DAGs (`<name>.ingest` …), the tables, and of a model the experiment and the registered model."
    )
    description: Text = Field(default="", description="What it is for; shown on its pages.")
    owner: Line = Field(default="mlops", description="Owner of the DAGs.")


class DataSpec(Named):
    """Describe a dataset: where its rows come from, and what they are held to before anybody reads them.

    :raises SpecError: listing everything that is wrong, each with its place.
    """

    key: SomeColumns = Field(description="Columns that together identify a row.")
    event_time: Column = Field(description="Column with the time that a row belongs to.")
    partition: Grain = Field(description="Length of a partition of event time; a week begins on Monday.")
    timezone: TimeZone = Field(
        default="UTC",
        description="Time zone such as `Europe/Berlin`: days, weeks and months begin when they do there, and times and "
        "dates without an offset are read as its clocks show them. Hours are those of UTC.",
    )
    ambiguous: Literal["earlier", "later"] | None = Field(
        default=None,
        description="Which time is meant by one without an offset that occurs twice, as clocks are set back: `earlier` or "
        "`later`; `null` refuses the partition, with its rows.",
    )
    start: Text | None = Field(
        default=None,
        description="First partition, such as `2013-01`; `null` for the current one.",
        validate_default=False,
    )
    end: Text | None = Field(default=None, description="Last partition, included; `null` for no end.")
    schedule: Text | None = Field(
        default=None,
        description="Cron in `timezone` that fires once in each partition; `null` to run when a partition has ended. For hours it is "
        "in UTC.",
    )
    source: Source = Field(description="Where the rows of a partition come from.")
    transform: Function | None = Field(
        default=None,
        description="`module:function` that prepares the features of a batch of rows; `null` for rows as they come.",
    )
    schema_policy: SchemaPolicy = Field(
        default=SchemaPolicy.STRICT,
        alias="schema",
        description="What a partition may change: `strict` nothing, `add` new columns, `evolve` also lost columns and "
        "wider types.",
    )
    pii: Columns = Field(
        default=(), description="Columns with personal data: masked in reports, logs and mails."
    )
    expectations: tuple[Rule, ...] = Field(
        default=(), alias="validate", description="Checks of the data: Great Expectations by name, or suites."
    )
    max_quarantined: Share = Field(
        default=0.1, description="Largest share of rows to set aside; above it the partition is stopped."
    )
    on_unreadable: Literal["block", "quarantine"] = Field(
        default="block",
        description="Whether a cell of the data that cannot be read stops all, or its row is set aside. Labels with a source "
        "of their own have no quarantine: a bad key is counted, a bad label or time stops them.",
    )
    alerts: Alerts = Field(default_factory=Alerts, description="Who is told of what, and how often.")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a YAML file.

        :param path: a relative path is looked for beside the Python file that calls this, then in the current
            directory.
        :raises SpecError: listing everything that is wrong, each with its line.
        """
        file = loading.find(path, sys._getframe(1).f_globals.get("__file__"))
        return cls.of_document(file, loading.read(file))

    @classmethod
    def of_document(cls, file: Path, document: Document) -> Self:
        """Return the spec that a YAML file holds.

        :param file: where it was read from; what it names is looked for beside it.
        :raises SpecError: listing everything that is wrong, each with its line.
        """
        try:
            context = {"folder": file.resolve().parent}
            spec = cls.model_validate(document.value, by_alias=True, by_name=False, context=context)
        except ValidationError as error:
            raise spec_error(cls, file, document, error) from None
        if document.problems:
            raise spec_error(cls, file, document)
        return spec

    @property
    def grain(self) -> str:
        """Length of a partition and its time zone in one text, such as ``day Europe/Berlin``."""
        return str(Calendar.of(self.partition, self.timezone))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the data must have besides key and event time."""
        return ()

    @property
    def filled(self) -> tuple[str, ...]:
        """Columns, besides key and event time, that must be there and not be all null."""
        return ()

    @property
    def types(self) -> Mapping[str, str] | None:
        """Arrow types that columns must have; None leaves them to the first values."""
        return None

    @property
    def comparison(self) -> Skew | None:
        """How far a partition may be from a champion's training data; None where it is not compared."""
        return None

    @field_validator("key", "event_time")
    @classmethod
    def _no_prediction(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        beside_predictions(value)
        return value

    @field_validator("key")
    @classmethod
    def _key(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("target") in value:
            raise ValueError(
                f"holds the target {info.data['target']!r}, which is unknown when a row is scored"
            )
        return value

    @field_validator("event_time")
    @classmethod
    def _event_time(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("target"):
            raise ValueError(f"{value!r} is already the target")
        return value

    @field_validator("ambiguous")
    @classmethod
    def _ambiguous(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("timezone") == "UTC":
            raise ValueError(
                "is for clocks that are set back, and those of UTC never are; name the timezone, or leave it out"
            )
        return value

    @field_validator("start", "end", mode="before")
    @classmethod
    def _bound(cls, value: Any, info: ValidationInfo) -> Any:
        calendar = bounds.calendar(info)
        if value is None or calendar is None:
            return value
        return bounds.bound(value, calendar, info.data.get("start") if info.field_name == "end" else None)

    @field_validator("schedule")
    @classmethod
    def _fires_once_a_partition(cls, value: str | None, info: ValidationInfo) -> str | None:
        calendar = bounds.calendar(info)
        if value is not None and calendar is not None and (wrong := schedule.complaint(value, calendar)):
            raise ValueError(wrong)
        return value


def beside_predictions(columns: str | tuple[str, ...]) -> None:
    """Refuse a column of the data that the predictions table has, too.

    :raises ValueError: naming it.
    """
    taken = set(PREDICTION_COLUMNS) & ({columns} if isinstance(columns, str) else set(columns))
    if taken:
        raise ValueError(f"{min(taken)!r} is a column of the predictions table; rename it in the source")
