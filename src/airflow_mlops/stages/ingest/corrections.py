"""Corrections: read back a file of exported rows that a person has edited, with the types of the rows."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import OtherValue, ReleaseRefused
from airflow_mlops.stores import written
from airflow_mlops.stores.tables.exports import FORMATS

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 60
"""Characters of a wrong value that a message shows."""

_ADDED = ("_reasons", "_partition")
"""Columns that an export adds for people; they may be left in a file, or out of it."""


def read(
    file: str, rows: pa.Table, key: Sequence[str], timezone: str, ambiguous: str | None, where: str
) -> tuple[pa.Table, list[int]]:
    """Return the corrected rows, and for each of them the position of the row that it replaces.

    :param file: the edited file, in a format of exports: .parquet, .csv or .jsonl, also with .gz.
    :param rows: the rows in quarantine.
    :param key: columns that identify a row.
    :param timezone: time zone whose clocks show times without an offset.
    :param ambiguous: which one is meant by a time that they show twice; None refuses it.
    :param where: dataset and partition, for messages.
    :raises ReleaseRefused: if columns, a value or a key do not fit; the message names the row and what to do.
    """
    import pyarrow as pa

    cells = _load(file)
    names = rows.column_names
    missing = [name for name in names if name not in cells]
    extra = [name for name in cells if name not in (*names, *_ADDED)]
    if missing or extra:
        differences = [f"lacks {_listed(missing)}"] * bool(missing) + [f"has {_listed(extra)} too"] * bool(
            extra
        )
        raise ReleaseRefused(
            f"{file} {' and '.join(differences)}; keep the columns as they were exported: {_listed(names)}"
        )
    if not cells[names[0]]:
        raise ReleaseRefused(f"{file} has no rows; nothing is released")
    columns = [_typed(file, cells[field.name], field, timezone, ambiguous) for field in rows.schema]
    corrected = pa.Table.from_arrays(columns, schema=rows.schema)
    return corrected, _origins(file, corrected, rows, key, where)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _load(file: str) -> dict[str, list[Any]]:
    from pyarrow import parquet

    ending = next((suffix for suffix in FORMATS if file.endswith(suffix)), None)
    if ending is None:
        raise ReleaseRefused(f"{file}: the name of the file must end in one of {', '.join(FORMATS)}")
    try:
        if ending == ".parquet":
            return dict(parquet.read_table(file).to_pydict())
        return _csv(file) if ending.startswith(".csv") else _json_lines(file)
    except FileNotFoundError as error:
        raise ReleaseRefused(f"there is no file {file}") from error
    except (OSError, EOFError, ValueError, RecursionError, csv.Error) as error:  # Arrow's are ValueErrors too
        raise ReleaseRefused(
            f"{file} cannot be read as {ending}: {error}; save it as it was exported, in UTF-8"
        ) from error


def _open(file: str) -> Any:
    return (gzip.open if file.endswith(".gz") else open)(file, "rt", encoding="utf-8-sig", newline="")


def _csv(file: str) -> dict[str, list[Any]]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    with _open(file) as text:
        header = next(csv.reader(text), [])
    if len(set(header)) < len(header):
        raise ValueError("two columns have the same name")
    # Read as text, so that the message about a value that does not fit names its row. An empty cell without
    # quotes is a missing value.
    convert = arrow.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = arrow.ParseOptions(newlines_in_values=True)
    return dict(arrow.read_csv(file, parse_options=parse, convert_options=convert).to_pydict())


def _json_lines(file: str) -> dict[str, list[Any]]:
    with _open(file) as text:
        lines = [json.loads(line) for line in text if line.strip()]
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or line.keys() != lines[0].keys():
            raise ValueError(f"row {number} does not have the names that row 1 has")
    return {name: [line[name] for line in lines] for name in (lines[0] if lines else ())}


def _typed(file: str, column: list[Any], field: pa.Field, timezone: str, ambiguous: str | None) -> pa.Array:
    import pyarrow as pa

    cells = []
    for number, cell in enumerate(column, 1):
        try:
            if isinstance(cell, int | float) and pa.types.is_string(field.type):
                # Arrow would take it for its digits.
                raise OtherValue(f"is no {field.type}; correct it")
            cells.append(written.read(cell, field.type, timezone, ambiguous))
        except OtherValue as error:
            raise ReleaseRefused(
                f"{file}: row {number}: {field.name!r} is {str(cell)[:_SHOWN]!r}, which {error}"
            ) from error
    return pa.concat_arrays(cells)


def _origins(file: str, corrected: pa.Table, rows: pa.Table, key: Sequence[str], where: str) -> list[int]:
    keys = _keys(rows, key)
    positions = {row_key: position for position, row_key in enumerate(keys)}
    counts = Counter(keys)
    seen: dict[tuple[Any, ...], int] = {}
    for number, row_key in enumerate(_keys(corrected, key), 1):
        named = ", ".join(f"{name} {value}" for name, value in zip(key, row_key, strict=True))
        if row_key not in positions:
            raise ReleaseRefused(
                f"{file}: row {number}: no row of {where} with {named} is in quarantine; leave the key as it was exported"
            )
        if counts[row_key] > 1:
            raise ReleaseRefused(
                f"{file}: row {number}: {counts[row_key]} rows of {where} with {named} are in quarantine, which their key "
                "does not tell apart; correct them at their source"
            )
        if row_key in seen:
            raise ReleaseRefused(f"{file}: rows {seen[row_key]} and {number} both have {named}; remove one")
        seen[row_key] = number
    return [positions[row_key] for row_key in seen]


def _keys(rows: pa.Table, key: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in key), strict=True))
