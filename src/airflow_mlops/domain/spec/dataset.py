"""The part of a spec that says what is predicted, of which rows, and where they come from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from airflow_mlops.domain.calendars import Grain
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.predictions import PREDICTION_COLUMNS
from airflow_mlops.domain.spec import bounds, schedule
from airflow_mlops.domain.spec.classes import Classes, PredictionTask
from airflow_mlops.domain.spec.data import Features, Labels, Rule, SchemaPolicy, Skew
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
from airflow_mlops.domain.spec.problems import Problems
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.domain.spec.source import Function, Source


class DataSpec(Section):
    """What is predicted, of which rows, and where they come from."""

    # The order matters, because a field's validator only sees the fields above it.
    name: Name = Field(
        description="Names the five DAGs (`<name>.ingest` …), the tables, the experiment and the registered model."
    )
    description: Text = Field(default="", description="What the model is for; shown on its pages.")
    owner: Line = Field(default="mlops", description="Owner of the DAGs.")
    task: PredictionTask = Field(description="What is predicted: a class or a number.")
    target: Column = Field(description="Column to predict.")
    classes: Classes = Field(
        default=(),
        description="Classes that the target may have, in order; the second of two is the positive one. By default those of "
        "the training rows: numbers by value, texts by their characters.",
    )
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
    labels: Labels = Field(default_factory=Labels, description="When the truth about a row is known.")
    features: Features | None = Field(
        default=None, description="Columns to learn from; `null` for all but key, target and event time."
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
    skew: Skew | None = Field(
        default_factory=Skew,
        description="Comparison of a partition with the champion's training data; `null` turns it off.",
    )

    @field_validator("classes")
    @classmethod
    def _of_its_task(cls, value: tuple[str | int, ...], info: ValidationInfo) -> tuple[str | int, ...]:
        if value and info.data.get("task") is Task.REGRESSION:
            raise ValueError("belong to classification; leave them out")
        return value

    @field_validator("target", "key", "event_time")
    @classmethod
    def _beside_predictions(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        taken = set(PREDICTION_COLUMNS) & ({value} if isinstance(value, str) else set(value))
        if taken:
            raise ValueError(f"{min(taken)!r} is a column of the predictions table; rename it in the source")
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

    @field_validator("labels")
    @classmethod
    def _matched_apart(cls, value: Labels) -> Labels:
        usual = Labels()
        Problems.raise_any(
            ((name,), "is for labels that come apart from the data: write labels.source, or leave it out")
            for name in ("max_unmatched", "on_unmatched")
            if value.source is None and getattr(value, name) != getattr(usual, name)
        )
        return value

    @field_validator("features")
    @classmethod
    def _features(cls, value: Features | None, info: ValidationInfo) -> Features | None:
        if value and value.missing and not value.numeric:
            why = "adds a column for each number that has gaps, and numeric lists none; leave it out"
            raise Problems([(("missing",), why)])
        roles = dict.fromkeys(info.data.get("key", ()), "in the key, which only identifies a row")
        roles[info.data.get("event_time")] = "the event time, which only orders rows"
        roles[info.data.get("target")] = "the target, so the model would see what it predicts"
        Problems.raise_any(
            ((kind, position), f"{column!r} is {roles[column]}")
            for kind, columns in (value.kinds if value else {}).items()
            for position, column in enumerate(columns)
            # The event time may be a date feature, because the season and the hour of a row are known before it is scored.
            if column in roles and (kind, column) != ("dates", info.data.get("event_time"))
        )
        return value
