"""CSV in Arrow batches, with types that hold for the whole file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.arrow import arrow_type, is_beyond_exact, unsigned, wider
from airflow_mlops.stores.sources.batches import distinct
from airflow_mlops.stores.sources.bytes import File

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 23
"""Bytes that are parsed at a time; a row cannot be longer."""
_LIMIT = Lock()
"""Held while the field size limit of Python's reader is changed."""


def find(file: File, types: Mapping[str, str]) -> pa.Schema:
    """Return the columns of a file, each with a type that holds all of its values.

    Arrow infers types from the first block only. If a later value does not fit, each column is tried again, as whole
    numbers, fractions, truth values, dates and times, and text.

    :param types: expected types, by column; one that does not fit is widened.
    :raises SourceUnreadable: if it is no CSV.
    """
    import pyarrow as pa

    expected = {name: kind for name, text in types.items() if (kind := arrow_type(text)) is not None}
    try:
        reader = _reader(file, expected)
        schema = reader.schema
        inexact = False
        for batch in reader:
            inexact = inexact or _is_inexact(batch)
        if inexact:
            schema = _find_carefully(file, expected)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise _unreadable(file, error) from error
        schema = _find_carefully(file, expected)
    distinct(schema.names, file.name)
    # Delta has no type for a time of day.
    return pa.schema(
        [(field.name, pa.string() if pa.types.is_time(field.type) else field.type) for field in schema]
    )


def common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds the values of both types; text holds any."""
    import pyarrow as pa

    return wider(one, other) or pa.string()


def batches(file: File, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file with the types that :func:`find` returned.

    :raises SourceUnreadable: if the file has changed since and does not fit them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    empty, several_lines = pa.scalar("", pa.string()), False
    try:
        for batch in _reader(file, {field.name: field.type for field in schema}):
            columns = [
                pc.if_else(pc.equal(column, empty), pa.scalar(None, pa.string()), column)
                if pa.types.is_string(column.type)
                else column
                for column in batch.columns
            ]
            several_lines = several_lines or any(map(_has_line_end, batch.columns))
            yield pa.record_batch(columns, names=batch.schema.names)
    except pa.ArrowInvalid as error:
        raise _unreadable(file, error) from error
    if several_lines:
        _refuse_open_quotes(file)


def _has_line_end(column: pa.Array) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return text and bool(pc.any(pc.match_substring(column, "\n")).as_py())


def _refuse_open_quotes(file: File) -> None:
    """Read a file once more, strictly: Arrow joins the lines from an open quote to the next one, wherever that is.

    :raises SourceUnreadable: if a quote is not closed.
    """
    with _rows(file, strict=True) as rows:
        began = 0
        try:
            for _ in rows:
                began = rows.line_num
        except csv.Error as error:
            raise SourceUnreadable(
                f"{file.name}: the row that begins in line {began + 1:,} is no CSV ({error}); a quote is not closed, "
                "or one within a value is not doubled"
            ) from error


def _reader(file: File, types: Mapping[str, pa.DataType], *, nulls_in_text: bool = False) -> Any:
    from pyarrow import csv as arrow

    layout = file.layout
    return arrow.open_csv(
        file.open_text(),
        read_options=arrow.ReadOptions(block_size=_BLOCK),
        parse_options=arrow.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
        convert_options=arrow.ConvertOptions(
            column_types=dict(types),
            null_values=["", *layout.nulls],
            strings_can_be_null=nulls_in_text,
            check_utf8=False,
        ),
    )


def _find_carefully(file: File, expected: Mapping[str, pa.DataType]) -> pa.Schema:
    import pyarrow as pa

    names = _header(file)
    distinct(names, file.name)
    kinds: dict[str, pa.DataType] = {name: expected.get(name, pa.null()) for name in names}
    try:
        for batch in _reader(file, dict.fromkeys(names, pa.string()), nulls_in_text=True):
            for name, column in zip(names, batch.columns, strict=True):
                kinds[name] = _holding(column, kinds[name])
                if name in file.layout.types and kinds[name] != expected.get(name):
                    raise SourceUnreadable(
                        f"{file.name}: {name!r} holds values that are no {file.layout.types[name]}, as types says"
                    )
    except pa.ArrowInvalid as error:
        raise _unreadable(file, error) from error
    return pa.schema(list(kinds.items()))


def _holding(column: pa.StringArray, former: pa.DataType) -> pa.DataType:
    """Return the narrowest type that holds these texts and all earlier ones.

    :param former: the type that holds the earlier ones.
    """
    import pyarrow as pa

    if column.null_count == len(column) or pa.types.is_string(former):
        return former
    kinds = [pa.int64(), unsigned(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("s")]
    kinds += [pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("us", "ns")]
    for kind in [former, *kinds]:
        if pa.types.is_null(kind) or wider(former, kind) != kind:
            continue
        if kind == unsigned() and not _is_whole(column):
            continue
        try:
            column.cast(kind)
        except pa.ArrowInvalid:
            continue
        return kind
    return pa.string()


def _is_inexact(batch: pa.RecordBatch) -> bool:
    """Tell whether Arrow may have read whole numbers of more than 63 bits as fractions."""
    import pyarrow as pa

    return any(pa.types.is_floating(column.type) and is_beyond_exact(column) for column in batch.columns)


def _is_whole(column: pa.StringArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(column, r"^\s*[+-]?\d{1,20}\s*$")).as_py())


def _header(file: File) -> list[str]:
    with _rows(file) as rows:
        return next(rows, [])


@contextmanager
def _rows(file: File, *, strict: bool = False) -> Iterator[Any]:
    """Read with Python's reader, which counts lines, unlike Arrow's."""
    with (
        _LIMIT,
        io.TextIOWrapper(io.BufferedReader(file.open_text()), encoding="utf-8", newline="") as text,
    ):
        # The limit holds for the whole process, and is lower than the length of a field that Arrow can read.
        former = csv.field_size_limit(_BLOCK)
        try:
            yield csv.reader(text, delimiter=file.layout.delimiter, strict=strict)
        finally:
            csv.field_size_limit(former)


def _unreadable(file: File, error: Exception) -> SourceUnreadable:
    text = " ".join(str(error).split())
    if match := re.search(r"Expected (\d+) columns, got (\d+)", text):
        line = _ragged_line(file, int(match[1]))
        return SourceUnreadable(
            f"{file.name}: {f'line {line:,}' if line else 'a line'} has {match[2]} fields, the header {match[1]}; "
            "quote fields that hold the delimiter"
        )
    if "straddling" in text:
        return SourceUnreadable(
            f"{file.name}: a row is longer than {_BLOCK >> 20} MiB; a quote may not be closed"
        )
    return SourceUnreadable(f"{file.name} cannot be read as CSV: {text}")


def _ragged_line(file: File, width: int) -> int | None:
    # Arrow does not name the line, and rows are not lines where values hold line ends.
    with _rows(file) as rows:
        before = 0
        try:
            for row in rows:
                if row and len(row) != width:
                    return before + 1
                before = rows.line_num
        except csv.Error:
            return None
    return None
