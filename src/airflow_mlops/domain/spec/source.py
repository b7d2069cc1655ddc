"""The section of a spec about its source."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from airflow_mlops.domain.encodings import is_encoding
from airflow_mlops.domain.spec.fields import Column, Columns, Duration, Line, Name, Text, Whole
from airflow_mlops.domain.spec.loading import describe, shorten
from airflow_mlops.domain.spec.notation import (
    Decimal,
    Escape,
    Thousands,
    TimeFormat,
    contradictions,
    of_csv_only,
)
from airflow_mlops.domain.spec.problems import Problems, one_of
from airflow_mlops.domain.spec.section import Section

FORMATS = ("csv", "jsonl", "parquet")
"""Formats of source files."""
SUFFIXES = (
    *(f".{name}{end}" for name in ("csv", "jsonl") for end in ("", ".gz", ".bz2", ".zst")),
    ".parquet",
)
"""Suffixes of source files whose format is known from the name."""
PLACEHOLDERS = ("partition", "year", "month", "day", "hour")
"""Placeholders that the path of source files may hold in braces."""
PARAMETERS = ("start", "end", "partition")
"""Parameters that a query may refer to, after a colon."""


def _function(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", value, re.ASCII):
        raise ValueError(
            f"must be written module:function, such as nycflights:read_month, not {describe(value)}"
        )
    return value


def _path(value: str) -> str:
    names = re.findall(r"\{(\w*)\}", value)
    unknown = [name for name in names if name not in PLACEHOLDERS]
    if unknown or re.search(r"[{}]", re.sub(r"\{\w*\}", "", value)):
        what = f"{{{unknown[0]}}}" if unknown else "a single brace"
        allowed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"holds {what}; allowed in braces: {allowed}")
    if not {"partition", "year"} & set(names):
        raise ValueError(
            f"must hold {{partition}}, or {{year}}, {{month}} …, such as data/{{partition}}.parquet, "
            f"not {describe(value)}"
        )
    return value


def _uri(value: str) -> str:
    if "://" not in value and not value.startswith("/"):
        raise ValueError(f"must be a URI such as s3://bucket/table or file:///folder, not {describe(value)}")
    return value


def _query(value: str) -> str:
    names = re.findall(r"(?<![:\w\\]):([A-Za-z_]\w*)", value)
    unknown = [name for name in names if name not in PARAMETERS]
    if unknown:
        raise ValueError(f"refers to :{unknown[0]}{one_of(unknown[0], PARAMETERS)}")
    if not names:
        raise ValueError(
            "refers to none of :start, :end, :partition, so each partition would have the same rows; write where "
            "ts >= :start and ts < :end"
        )
    return value


Function = Annotated[
    Text, AfterValidator(_function), Field(json_schema_extra={"pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"})
]
_PATH = r"^[^{}]*(\{(partition|year|month|day|hour)\}[^{}]*)+$"
Path = Annotated[Line, AfterValidator(_path), Field(json_schema_extra={"pattern": _PATH})]
Uri = Annotated[Line, AfterValidator(_uri), Field(json_schema_extra={"pattern": "://|^/"})]


class _Short(Section):
    """A section that may also be written as the text of one of its keys."""

    SHORT: ClassVar[str] = ""

    @classmethod
    def key_of(cls, text: str) -> str:
        """Return the key whose value a text alone is."""
        return cls.SHORT

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return {cls.key_of(value): value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        text = schema["properties"].get(cls.SHORT, {"type": "string"})
        return {"anyOf": [text, schema], "description": schema.pop("description", "")}


class Python(_Short):
    """A function that returns the rows of a partition."""

    SHORT: ClassVar[str] = "function"

    function: Function = Field(
        description="`module:function` that takes a Partition and returns a pyarrow table, a pandas frame, or an "
        "iterator of such."
    )
    arrived: Function | None = Field(
        default=None,
        description="`module:function` that takes a Partition and returns what changes when its data does, or None "
        "while there is none.",
    )


class Files(_Short):
    """Files of a partition."""

    SHORT: ClassVar[str] = "path"

    path: Path = Field(
        description="Path or URL that holds `{partition}`, or `{year}`, `{month}`, `{day}`, `{hour}`; `*` and `?` match "
        f"several files. It ends in {', '.join(f'`{suffix}`' for suffix in SUFFIXES)}, unless `format` is given."
    )
    conn_id: Line | None = Field(
        default=None, description="Connection to the file system; `null` for the environment's credentials."
    )
    format: Literal["csv", "jsonl", "parquet"] | None = Field(
        default=None, description="`csv`, `jsonl` or `parquet`; `null` for what the path ends in."
    )
    delimiter: Text = Field(default=",", description="What separates the fields of CSV: one character.")
    encoding: Line = Field(default="utf-8", description="Encoding of text.")
    nulls: tuple[Text, ...] | None = Field(
        default=None,
        description="What counts as missing in columns of CSV that are no text; `null` for NA, NULL, NaN and the like.",
    )
    types: dict[Column, Literal["string", "int64", "double", "bool"]] = Field(
        default={}, description="Types of columns of CSV and JSON; of others they are found from all values."
    )
    escape: Escape | None = Field(
        default=None,
        description="What stands before a quote within a field of CSV, such as `\\`; `null` if quotes are doubled.",
    )
    decimal: Decimal = Field(default=".", description="What stands before the fraction of numbers of CSV.")
    thousands: Thousands | None = Field(
        default=None,
        description="What separates the thousands of numbers of CSV; a space is any, also one that does not break.",
    )
    percent: Columns = Field(
        default=(), description="Columns of CSV written in percent: `12.5 %` is read as 0.125."
    )
    times: dict[Column, TimeFormat] = Field(
        default={},
        description="Formats of columns of CSV with times that are not ISO 8601, such as `%d.%m.%Y %H:%M`; without a "
        "time of day they are dates.",
    )

    @field_validator("delimiter")
    @classmethod
    def _delimiter(cls, value: str) -> str:
        if len(value) != 1 or value in '\r\n"':
            raise ValueError(f"must be one character, such as ; or \\t, not {describe(value)}")
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        if not is_encoding(value):
            raise ValueError(f"{shorten(repr(value))} is no encoding of text; write utf-8, latin-1, cp1252 …")
        return value

    @model_validator(mode="after")
    def _format(self) -> Self:
        if self.format is None and not self.path.endswith(SUFFIXES):
            problem = (
                f"must end in one of {', '.join(SUFFIXES)}, not {describe(self.path)}; or give the format"
            )
            raise Problems([(("path",), problem)])
        keys = dict(self)
        # Not the keys that are written: a section that was written out and is read again has them all.
        changed = {name for name, field in type(self).model_fields.items() if keys[name] != field.default}
        Problems.raise_any([*contradictions(keys), *of_csv_only(keys, changed)])
        return self


class Sql(Section):
    """A query on a database."""

    conn_id: Line = Field(description="Connection of any SQL database.")
    query: Annotated[Text, AfterValidator(_query)] = Field(
        description="Query that refers to `:start` and `:end` of the partition, or to `:partition`, its key."
    )
    changed: Annotated[Text, AfterValidator(_query)] | None = Field(
        default=None,
        description="Query whose first row changes when the data does; `null` to count the rows of `query`.",
    )


class Delta(_Short):
    """A Delta table, or a table of another dataset."""

    @classmethod
    def key_of(cls, text: str) -> str:
        """Return the key whose value a text alone is."""
        return "uri" if "/" in text else "dataset"

    uri: Uri | None = Field(default=None, description="Where a Delta table is.")
    dataset: Name | None = Field(default=None, description="Instead of `uri`: name of another model.")
    table: Name = Field(default="data", description="Table of `dataset`, such as `data` or `predictions`.")
    event_time: Column | None = Field(
        default=None,
        description="Column that tells the partition of a row; `null` for `_partition`, which our tables have.",
    )
    version: Whole | None = Field(default=None, description="Version to read; `null` for the latest.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.uri is None) == (self.dataset is None):
            raise ValueError(
                f"takes exactly one of uri, dataset; {'both are' if self.uri else 'none is'} given"
            )
        if self.uri is not None and "table" in self.model_fields_set and self.table != "data":
            raise Problems([(("table",), "belongs to dataset; write the whole place as uri")])
        return self


_KINDS = ("python", "files", "sql", "delta")


class Source(Section):
    """Where the rows of a partition come from: exactly one of the kinds."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [kind], "properties": {kind: {"type": ["string", "object"]}}} for kind in _KINDS
            ]
        }
    )

    python: Python | None = Field(
        default=None, description="A function: `module:function`, or the keys below."
    )
    files: Files | None = Field(default=None, description="Files: a path or URL, or the keys below.")
    sql: Sql | None = Field(default=None, description="A query on a database.")
    delta: Delta | None = Field(
        default=None, description="A Delta table: its URI, or the name of another model, or the keys below."
    )
    wait: Duration | None = Field(
        default=None,
        description="How long `<name>.ingest` waits for the data of a partition to arrive and to stop growing; `null` "
        "does not wait.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            what = f"{' and '.join(kinds)} are" if kinds else "none is"
            raise ValueError(f"takes exactly one of {', '.join(_KINDS)}; {what} given")
        if self.wait is not None and self.python is not None and self.python.arrived is None:
            problem = (
                "nobody can tell when the rows of a function have arrived; name a function that can, as python.arrived, "
                "or leave wait out"
            )
            raise Problems([(("wait",), problem)])
        return self
