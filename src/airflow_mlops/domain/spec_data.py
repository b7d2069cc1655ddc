"""Sections of a spec about its data: labels, features and expectations."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Self

from pydantic import Field, field_validator, model_serializer, model_validator

from airflow_mlops.domain.checks import Severity
from airflow_mlops.domain.fields import Columns, Duration, Json, Line
from airflow_mlops.domain.loading import describe
from airflow_mlops.domain.problems import Problems
from airflow_mlops.domain.section import Section, short_form, short_schema


class Labels(Section):
    """When the truth about a row is known."""

    delay: Duration = Field(
        default=timedelta(),
        description="ISO 8601 duration from a row's event time until its label counts.",
    )


class Features(Section):
    """The columns that a model learns from."""

    numeric: Columns = Field(default=(), description="Columns used as numbers.")
    categorical: Columns = Field(default=(), description="Columns used as categories.")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.numeric + self.categorical:
            raise ValueError("lists no column; name some, or leave features out to use all")
        both = [column for column in self.categorical if column in self.numeric]
        Problems.raise_any((("categorical",), f"{column!r} is also listed under numeric") for column in both)
        return self


class Expectation(Section):
    """One check of the data by Great Expectations; in YAML `- name: {arguments}`."""

    expectation: Line = Field(description="Name as Great Expectations spells it.")
    args: dict[str, Json] = Field(default={}, description="Its arguments.")
    severity: Severity = Field(
        default=Severity.BLOCK,
        description="What follows when it fails: `warn` tells, `quarantine` sets rows aside, `block` stops the partition.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        example = "`- expect_column_values_to_not_be_null: {column: carrier}`"
        return short_form(value, "expectation", ("severity",), "args", example)

    @field_validator("expectation")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if not re.fullmatch(r"expect_[a-z0-9_]+", value):
            raise ValueError(
                f"must be a name such as expect_column_values_to_not_be_null, not {describe(value)}"
            )
        return value

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {self.expectation: {**self.args, "severity": self.severity.value}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        severity = {"enum": [level.value for level in Severity], "default": "block"}
        arguments = {"type": ["object", "null"], "properties": {"severity": severity}}
        return short_schema("^expect_[a-z0-9_]+$", arguments, cls.__doc__)
