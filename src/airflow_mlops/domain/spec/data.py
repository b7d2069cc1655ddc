"""Sections of a spec about its data: labels, features and expectations."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    Tag,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from airflow_mlops.domain.checks import Severity
from airflow_mlops.domain.spec import expectations
from airflow_mlops.domain.spec.fields import Column, Columns, Duration, Json, Line, Number, unique
from airflow_mlops.domain.spec.loading import describe
from airflow_mlops.domain.spec.problems import Problems, one_of
from airflow_mlops.domain.spec.section import Section, short_form, short_schema
from airflow_mlops.domain.spec.source import Source


class Labels(Section):
    """When the truth about a row is known."""

    delay: Duration = Field(
        default=timedelta(),
        description="ISO 8601 duration from a row's event time until its label counts.",
    )
    source: Source | None = Field(
        default=None,
        description="Where the labels come from, if they come later than the data and apart from it; `null` for the target "
        "column of the data.",
    )
    max_unmatched: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.1,
        description="Share of the labels that a run brings from `source` which may belong to no published row.",
    )
    on_unmatched: Literal["warn", "block"] = Field(
        default="warn",
        description="What follows when more do: `warn` tells, `block` fails the task, so that the run gives no verdict.",
    )


class TextFeature(Section):
    """A column of texts, such as comments, used by its words; in YAML its name, or a mapping."""

    column: Column = Field(description="Column used by its words.")
    ngrams: Annotated[int, Strict(), Field(ge=1, le=3)] = Field(
        default=1, description="Most words in a row that count as one term: 1 to 3."
    )
    max_features: Annotated[int, Strict(), Field(ge=256, le=2**20)] = Field(
        default=2**15,
        description="Columns that terms are hashed to: with many more terms than columns, some share one.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> Any:
        changed = {name: value for name, value in handler(self).items() if name in self.model_fields_set}
        return self.column if changed.keys() <= {"column"} else changed

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        name = {"type": "string", "minLength": 1}
        return {"anyOf": [name, handler.resolve_ref_schema(handler(core))], "description": cls.__doc__}


def _each_once(features: tuple[TextFeature, ...]) -> tuple[TextFeature, ...]:
    unique(tuple(feature.column for feature in features))
    return features


class Features(Section):
    """The columns that a model learns from."""

    numeric: Columns = Field(default=(), description="Columns used as numbers.")
    categorical: Columns = Field(default=(), description="Columns used as categories.")
    dates: Columns = Field(
        default=(), description="Columns of times, used as time of day, day of the week and season."
    )
    # Left out unless they say something: recipes are compared by their JSON, also with those of former builds.
    text: Annotated[tuple[TextFeature, ...], AfterValidator(_each_once)] = Field(
        default=(),
        description="Columns of texts, such as comments, used by their words.",
        exclude_if=lambda features: not features,
    )
    missing: Literal["indicate"] | None = Field(
        default=None,
        description="`indicate` adds a column for each number that has gaps in training, which says where it is missing, for "
        "estimators that cannot tell by themselves; `null` gives them the median alone.",
        exclude_if=lambda missing: missing is None,
    )

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The columns by what they are used as, in the order that a model gets them in."""
        texts = {"text": tuple(feature.column for feature in self.text)} if self.text else {}
        return {"numeric": self.numeric, "categorical": self.categorical, "dates": self.dates, **texts}

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, in the order that a model gets them in."""
        return tuple(name for names in self.kinds.values() for name in names)

    @property
    def types(self) -> dict[str, str]:
        """Arrow types of the columns whose use tells their type: categories may be numbers as well as text."""
        texts = dict.fromkeys(self.kinds.get("text", ()), "string")
        return {
            **dict.fromkeys(self.numeric, "double"),
            **dict.fromkeys(self.dates, "timestamp[us, tz=UTC]"),
            **texts,
        }

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.names:
            raise ValueError("lists no column; name some, or leave features out to use all")
        kinds = self.kinds
        Problems.raise_any(
            ((kind,), f"{column!r} is also listed under {other}")
            for (other, first), (kind, second) in combinations(kinds.items(), 2)
            for column in second
            if column in first
        )
        return self


class Expectation(Section):
    """One check of the data, by Great Expectations or against earlier partitions; in YAML `- name: {arguments}`."""

    expectation: Line = Field(description="Name as Great Expectations spells it, or one of ours.")
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
    def _well_formed(cls, value: str) -> str:
        if not re.fullmatch(r"expect_[a-z0-9_]+", value):
            raise ValueError(
                f"must be a name such as expect_column_values_to_not_be_null, not {describe(value)}"
            )
        return value

    @model_validator(mode="after")
    def _valid_arguments(self) -> Self:
        Problems.raise_any(expectations.check(self.expectation, self.args))
        return self

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {self.expectation: {**self.args, "severity": self.severity.value}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        severity = {"enum": [level.value for level in Severity], "default": "block"}
        arguments = {"type": ["object", "null"], "properties": {"severity": severity}}
        return short_schema("^expect_[a-z0-9_]+$", arguments, cls.__doc__)


class Suite(Section):
    """Expectations kept outside of the spec, in a JSON file or in a project of Great Expectations."""

    suite: Line = Field(description="Path of a suite's JSON file; with `context` the name of a suite.")
    context: Line | None = Field(
        default=None, description="Folder of a Great Expectations project, with its great_expectations.yml."
    )
    sha256: Line | None = Field(
        default=None, description="Digest that the file must have, as `sha256sum` prints it; `null` for any."
    )

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        allowed = list(cls.model_fields)
        Problems.raise_any(
            ((key,), f"is no key of a suite{one_of(key, allowed)}")
            for key in (value if isinstance(value, dict) else ())
            if key not in allowed
        )
        return value

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-f]{64}", value):
            raise ValueError(
                f"must be 64 hexadecimal digits, as sha256sum prints them, not {describe(value)}"
            )
        if value is not None and info.data.get("context"):
            raise ValueError("pins a file; leave it out with context")
        return value

    @model_validator(mode="after")
    def _beside_its_spec(self, info: ValidationInfo) -> Self:
        folder = (info.context or {}).get("folder")
        key = "context" if self.context else "suite"
        # A copy, because sections are frozen.
        return self.model_copy(update={key: str(Path(folder, getattr(self, key)))}) if folder else self

    @model_serializer
    def _write(self) -> dict[str, Any]:
        fields = {"suite": self.suite, "context": self.context, "sha256": self.sha256}
        return {key: value for key, value in fields.items() if value is not None}


def _which(value: Any) -> str:
    suite = isinstance(value, Suite) or (isinstance(value, dict) and "suite" in value)
    return "[suite]" if suite else "[expectation]"


# Pydantic adds these tags to the place of an error; the brackets tell them from keys.
Rule = Annotated[
    Annotated[Expectation, Tag("[expectation]")] | Annotated[Suite, Tag("[suite]")], Discriminator(_which)
]
"""An entry of a list of checks."""


class SchemaPolicy(StrEnum):
    """What a partition may change in the columns that a dataset has."""

    STRICT = "strict"
    ADD = "add"
    EVOLVE = "evolve"


class Skew(Section):
    """How far a partition may be from the data that the champion was trained on."""

    threshold: Annotated[Number, Field(gt=0)] = Field(
        default=0.5,
        description="Distance from which a feature's values count as skewed: normalised Wasserstein for numbers, "
        "Jensen-Shannon for categories.",
    )
    severity: Severity = Field(
        default=Severity.WARN, description="What follows when values are skewed: `warn` or `block`."
    )

    @field_validator("severity")
    @classmethod
    def _of_no_row(cls, value: Severity) -> Severity:
        if value is Severity.QUARANTINE:
            raise ValueError("cannot be quarantine, as no single row is skewed; write warn or block")
        return value
