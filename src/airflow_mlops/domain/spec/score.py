"""Section of a spec about scoring."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from airflow_mlops.domain.spec.fields import Line, Share, unique
from airflow_mlops.domain.spec.loading import describe
from airflow_mlops.domain.spec.problems import Problems
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.domain.spec.source import Path

_SUFFIXES = (".csv", ".parquet")


def _table(value: str) -> str:
    if not re.fullmatch(r"[^.\"]+(\.[^.\"]+)?", value):
        raise ValueError(f"must be a table, or schema.table, not {describe(value)}")
    return value


class SqlOutput(Section):
    """A table of a database, which gets the predictions of a partition in one transaction."""

    conn_id: Line = Field(description="Connection of a SQL database.")
    table: Annotated[Line, AfterValidator(_table)] = Field(
        description="Table, or `schema.table`; it is made if there is none."
    )


class FileOutput(Section):
    """A file for each partition, which is there as a whole or not at all."""

    SHORT: ClassVar[str] = "path"

    path: Path = Field(
        description="Path or URL that holds `{partition}`, or `{year}`, `{month}`, `{day}`, `{hour}`; it ends in "
        f"{' or '.join(f'`{suffix}`' for suffix in _SUFFIXES)}, unless `format` is given."
    )
    conn_id: Line | None = Field(
        default=None, description="Connection to the file system; `null` for the environment's credentials."
    )
    format: Literal["csv", "parquet"] | None = Field(
        default=None, description="`csv` or `parquet`; `null` for what the path ends in."
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return {cls.SHORT: value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        return {
            "anyOf": [schema["properties"][cls.SHORT], schema],
            "description": schema.pop("description", ""),
        }

    @model_validator(mode="after")
    def _format(self) -> Self:
        if self.format is None and not self.path.endswith(_SUFFIXES):
            problem = f"must end in {' or '.join(_SUFFIXES)}, not {describe(self.path)}; or give the format"
            raise Problems([(("path",), problem)])
        return self


class Output(Section):
    """Where predictions go besides the Delta table: exactly one of the kinds."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["sql"]}, {"required": ["files"]}]})

    sql: SqlOutput | None = Field(default=None, description="A table of a database.")
    files: FileOutput | None = Field(
        default=None, description="A file for each partition: a path or URL, or the keys below."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.sql is None) == (self.files is None):
            raise ValueError(
                f"takes exactly one of sql, files; {'both are' if self.sql else 'none is'} given"
            )
        return self


class Score(Section):
    """How a partition is predicted, and where that goes."""

    outputs: Annotated[tuple[Output, ...], AfterValidator(unique)] = Field(
        default=(), description="Where predictions go besides the Delta table."
    )
    shadow: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="The version with the alias `challenger` predicts the same rows, for comparison; `gates.shadow` lets "
        "candidates do so before they become champion.",
    )
    split: Share | None = Field(
        default=None,
        description="Share of the keys whose prediction is the challenger's, chosen by a hash of the key; it needs "
        "`shadow`. `null` for none.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.split is not None and not self.shadow:
            raise Problems([(("split",), "needs shadow: true, as the challenger predicts these rows")])
        return self
