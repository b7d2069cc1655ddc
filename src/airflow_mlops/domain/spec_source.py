"""The section of a spec about its source."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from airflow_mlops.domain.fields import Line, Text
from airflow_mlops.domain.loading import describe
from airflow_mlops.domain.section import Section

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
"""Formats of source files."""


def _function(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", value, re.ASCII):
        raise ValueError(
            f"must be written module:function, such as nycflights:read_month, not {describe(value)}"
        )
    return value


def _path(value: str) -> str:
    if value.count("{partition}") != 1 or re.search(r"[{}]", value.replace("{partition}", "")):
        raise ValueError(
            f"must hold {{partition}} once and no other braces, such as data/{{partition}}.parquet, "
            f"not {describe(value)}"
        )
    if not value.endswith(SUFFIXES):
        raise ValueError(f"must end in one of {', '.join(SUFFIXES)}, not {describe(value)}")
    return value


Function = Annotated[
    Text, AfterValidator(_function), Field(json_schema_extra={"pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"})
]
Path = Annotated[
    Line,
    AfterValidator(_path),
    Field(
        json_schema_extra={
            "pattern": rf"^[^{{}}]*\{{partition\}}[^{{}}]*({'|'.join(map(re.escape, SUFFIXES))})$",
        }
    ),
]


class Source(Section):
    """Where the rows of a partition come from: exactly one of the keys."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [key], "properties": {key: {"type": "string"}}} for key in ("python", "files")
            ]
        }
    )

    python: Function | None = Field(
        default=None,
        description="`module:function` that takes a Partition and returns a pyarrow table or pandas frame.",
    )
    files: Path | None = Field(
        default=None,
        description="One file a partition: a path or URL that holds `{partition}` and ends in "
        f"{', '.join(f'`{suffix}`' for suffix in SUFFIXES)}.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.python is None) == (self.files is None):
            raise ValueError(
                f"takes exactly one of python, files; {'both are' if self.python else 'none is'} given"
            )
        return self
