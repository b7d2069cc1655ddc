"""The section of a spec about who is told what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from airflow_mlops.domain.spec.fields import Duration, Line, unique
from airflow_mlops.domain.spec.loading import describe
from airflow_mlops.domain.spec.section import Section


class Event(StrEnum):
    """What mails can be about."""

    FAILURE = "failure"
    VALIDATION = "validation"
    HEALTH = "health"
    PROMOTION = "promotion"
    APPROVAL = "approval"


class Level(StrEnum):
    """How soon people have to know: what failed, waits for them or was tampered with is urgent, all else a warning."""

    URGENT = "urgent"
    WARNING = "warning"


def _address(value: str) -> str:
    host = r"(localhost|[\w-]+(\.[\w-]+)+)"
    if len(value) > 254 or not re.fullmatch(rf"[\w.!#$%&'*+/=?^`{{|}}~-]+@{host}", value, re.ASCII):
        raise ValueError(f"must be a mail address such as ml-team@example.com, not {describe(value)}")
    return value


Address = Annotated[Line, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "email"})]
Addresses = Annotated[tuple[Address, ...], AfterValidator(unique)]


class Alerts(Section):
    """Who is told of what, and how often."""

    email: Addresses = Field(default=(), description="Mail addresses.")
    warnings: Addresses | None = Field(
        default=None,
        description="Addresses for what is not urgent: everything but a run that failed, a person who is asked, and a "
        "champion that somebody moved; `null` for those of `email`, `[]` for nobody.",
    )
    events: Annotated[tuple[Event, ...], AfterValidator(unique)] = Field(
        default=(Event.FAILURE, Event.VALIDATION, Event.HEALTH, Event.APPROVAL),
        description="What is mailed: `failure`, `validation`, `health` (drift, performance, staleness, a champion that was "
        "moved or taken back), `promotion`, `approval` (a person is asked).",
    )
    cooldown: Duration = Field(
        default=timedelta(days=1),
        description="ISO 8601 duration in which the same problem of the same partition is not mailed again.",
    )
    digest: Duration | None = Field(
        default=None,
        description="Collect what is not urgent into one mail in each such period, for example `P1D`; `null` mails it "
        "at once.",
    )

    def recipients(self, levels: Iterable[Level]) -> tuple[str, ...]:
        """Return the addresses for mails of these levels, without duplicates."""
        warnings = self.email if self.warnings is None else self.warnings
        lists = {Level.URGENT: self.email, Level.WARNING: warnings}
        return tuple(dict.fromkeys(address for level in levels for address in lists[level]))

    @field_validator("email", "warnings", "events", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"must be a list, not {describe(value)}; write [{value}]")
        return value

    @field_validator("digest")
    @classmethod
    def _some_time(cls, value: timedelta | None) -> timedelta | None:
        if value == timedelta():
            raise ValueError("must be longer than no time; leave it out to mail at once")
        return value
