"""How numbers and times of CSV are written, in a spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from airflow_mlops.domain.spec.fields import Line, Text
from airflow_mlops.domain.spec.loading import Place, describe
from airflow_mlops.domain.spec.time_formats import pattern

KEYS = ("escape", "decimal", "thousands", "percent", "times")
"""Keys of files that only CSV has, beside its delimiter."""


def _escape(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value in '\r\n"':
        raise ValueError(f"must be one character, such as \\, not {describe(value)}")
    return value


def _format(value: str) -> str:
    pattern(value)
    return value


Escape = Annotated[Text, AfterValidator(_escape)]
Decimal = Literal[".", ","]
Thousands = Literal[",", ".", "'", "_", " "]
TimeFormat = Annotated[Line, AfterValidator(_format)]


def contradictions(files: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield what contradicts itself among the keys of files.

    :param files: the keys with their values.
    """
    if files["escape"] is not None and files["escape"] == files["delimiter"]:
        yield ("escape",), f"is the delimiter too: {files['escape']!r}"
    if files["thousands"] == files["decimal"]:
        other = "." if files["decimal"] == "," else ","
        yield ("thousands",), f"is {files['decimal']!r}, as decimal is; write decimal: {other!r}, or another"
    for name in files["times"]:
        for key in ("percent", "types"):
            if name in files[key]:
                yield ("times", name), f"is listed under {key} too; a column is a time, or it is none"
    for name in files["percent"]:
        if name in files["types"]:
            yield ("percent",), f"{name!r} is listed under types too; a percentage is a double"


def of_csv_only(files: Mapping[str, Any], changed: set[str]) -> Iterator[tuple[Place, str]]:
    """Yield the keys that have no meaning, because the files are no CSV.

    :param changed: the keys that are not as by default.
    """
    path, format = files["path"], files["format"]
    if format == "csv" or (format is None and re.search(r"\.csv(\.\w+)?$", path)):
        return
    for key in KEYS:
        if key in changed:
            yield (key,), f"is of CSV, and {path!r} is none; change the values in a transform"
