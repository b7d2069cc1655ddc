"""CSV in Arrow batches, with types that hold for the whole file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.arrow import arrow_type, is_beyond_exact, unsigned, wider
from airflow_mlops.stores.sources import quotes
from airflow_mlops.stores.sources.batches import distinct
from airflow_mlops.stores.sources.bytes import File
from airflow_mlops.stores.sources.strange import Strange
from airflow_mlops.stores.sources.unreadable import overflowing

if TYPE_CHECKING:
    import pyarrow as pa


_DELIMITERS = ";\t|,"
_LONGEST = 60


def find(file: File, types: Mapping[str, str], *, lenient: bool = False) -> pa.Schema:
    """Return the columns of a file, each with a type that holds all of its values.

    Arrow infers types from the first block only. If a later value does not fit, each column is tried again, as whole
    numbers, fractions, truth values, dates and times, and text.

    :param types: expected types, by column; one that does not fit is widened.
    :param lenient: take a column for text if some of its values are not of the notation that is said of it.
    :raises SourceUnreadable: if it is no CSV.
    """
    import pyarrow as pa

    expected = {name: kind for name, text in types.items() if (kind := arrow_type(text)) is not None}
    if not file.layout.notation.is_plain:
        return _find_carefully(file, expected, lenient)
    try:
        text = quotes.open_text(file)
        reader = _reader(file, text, expected)
        schema = reader.schema
        _refuse_delimiter(file, schema.names)
        inexact = False
        for batch in reader:
            inexact = inexact or _is_inexact(batch)
        if inexact or (text.has_hexadecimal and any(map(pa.types.is_integer, schema.types))):
            schema = _find_carefully(file, expected, lenient)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise _unreadable(file, error) from error
        schema = _find_carefully(file, expected, lenient)
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
    text, layout = quotes.open_text(file), file.layout
    as_text = (
        schema if layout.notation.is_plain else pa.schema([(name, pa.string()) for name in schema.names])
    )
    try:
        for batch in _reader(file, text, dict(zip(as_text.names, as_text.types, strict=True))):
            columns = [
                pc.if_else(pc.equal(column, empty), pa.scalar(None, pa.string()), column)
                if pa.types.is_string(field.type)
                else column
                if column.type == field.type
                else layout.notation.read(field.name, column, field.type, layout.missing)
                for field, column in zip(schema, batch.columns, strict=True)
            ]
            several_lines = several_lines or any(map(_has_line_end, batch.columns))
            yield pa.record_batch(columns, names=batch.schema.names)
    except pa.ArrowInvalid as error:
        raise _unreadable(file, error) from error
    has_escaped = text.has_escaped and layout.escape is None
    if several_lines or has_escaped:
        quotes.refuse_open(file, has_escaped=has_escaped)


def without_nulls(file: File, column: pa.Array) -> pa.Array:
    """Return texts in which what counts as missing in a column of numbers, times or truth values is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = pc.is_in(column, value_set=pa.array(file.layout.missing, pa.string()))
    return pc.if_else(missing, pa.scalar(None, pa.string()), column)


def _has_line_end(column: pa.Array) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return text and bool(pc.any(pc.match_substring(column, "\n")).as_py())


def _reader(
    file: File, text: quotes.Text, types: Mapping[str, pa.DataType], *, nulls_in_text: bool = False
) -> Any:
    from pyarrow import csv as arrow

    layout = file.layout
    return arrow.open_csv(
        text,
        read_options=arrow.ReadOptions(block_size=quotes.BLOCK),
        parse_options=arrow.ParseOptions(
            delimiter=layout.delimiter, escape_char=layout.escape or False, newlines_in_values=True
        ),
        convert_options=arrow.ConvertOptions(
            column_types=dict(types),
            null_values=layout.missing,
            strings_can_be_null=nulls_in_text,
            check_utf8=False,
        ),
    )


def _find_carefully(file: File, expected: Mapping[str, pa.DataType], lenient: bool) -> pa.Schema:
    import pyarrow as pa

    names, notation = _header(file), file.layout.notation
    _refuse_delimiter(file, names)
    distinct(names, file.name)
    kinds: dict[str, pa.DataType] = {name: expected.get(name, pa.null()) for name in names}
    strange: dict[str, Strange] = {}
    try:
        text, before = quotes.open_text(file), 0
        for batch in _reader(file, text, dict.fromkeys(names, pa.string()), nulls_in_text=True):
            for name, column in zip(names, batch.columns, strict=True):
                if pa.types.is_string(kinds[name]) and name not in notation.kinds:
                    continue
                plain = column if notation.is_plain else notation.plain(name, column)
                is_number = plain.null_count == column.null_count
                if name in notation.kinds:
                    strange.setdefault(name, Strange()).add(column, plain, before)
                    continue
                kinds[name] = holding(plain if is_number else column, kinds[name], is_number)
            before += batch.num_rows
    except pa.ArrowInvalid as error:
        raise _unreadable(file, error) from error
    for name in kinds.keys() & file.layout.types.keys():
        # Text is looked at cell by cell, elsewhere: it may be of other values than the declared type here and there.
        if kinds[name] != expected.get(name) and not pa.types.is_string(kinds[name]):
            raise SourceUnreadable(
                f"{file.name}: {name!r} holds values that are no {file.layout.types[name]}, as types says"
            )
    for name, values in strange.items():
        kinds[name] = pa.string() if values.count else notation.kinds[name]
        if values.count and not lenient:
            what = f"{notation.times[name]}, as times" if name in notation.times else "percentage, as percent"
            raise SourceUnreadable(
                f"{file.name}: {name!r} holds {values.describe(file)} that are no {what} says"
            )
    return pa.schema(list(kinds.items()))


def holding(column: pa.StringArray, former: pa.DataType, is_number: bool) -> pa.DataType:
    """Return the narrowest type that holds these texts and all earlier ones.

    :param former: the type that holds the earlier ones.
    :param is_number: whether they may be numbers.
    """
    import pyarrow as pa

    if column.null_count == len(column) or pa.types.is_string(former):
        return former
    kinds = [pa.int64(), unsigned(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("s")]
    kinds += [pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("us", "ns")]
    for kind in [former, *kinds]:
        if pa.types.is_null(kind) or wider(former, kind) != kind or not (is_number or _is_other(kind)):
            continue
        if kind == unsigned() and not _is_whole(column):
            continue
        if _holds(kind, column):
            return kind
    return pa.string()


def time_or_text(texts: pa.StringArray) -> pa.DataType:
    """Return the type of texts that Arrow's reader of JSON takes for text, as it does times with fractions of a second."""
    import pyarrow as pa
    import pyarrow.compute as pc

    are_times = pc.all(
        pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:"), min_count=1
    ).as_py()
    return holding(texts, pa.null(), is_number=False) if are_times else pa.string()


def _holds(kind: pa.DataType, column: pa.StringArray) -> bool:
    """Tell whether all texts are values of a type; Arrow itself would read ``0x10`` as 16, and ``1e400`` as infinite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_boolean(kind) and not pa.types.is_timestamp(kind):
        # These alone may have blanks around them, as they may where Arrow reads the file itself.
        column = pc.ascii_trim(column, " \t")
    if pa.types.is_integer(kind) and pc.any(pc.starts_with(column, pattern="0x", ignore_case=True)).as_py():
        return False
    try:
        values = column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return not pa.types.is_floating(kind) or not overflowing(column, values)


def _is_other(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_boolean(kind) or pa.types.is_temporal(kind))


def _is_inexact(batch: pa.RecordBatch) -> bool:
    """Tell whether Arrow may have read whole numbers of more than 63 bits as fractions."""
    import pyarrow as pa

    return any(pa.types.is_floating(column.type) and is_beyond_exact(column) for column in batch.columns)


def _is_whole(column: pa.StringArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(column, r"^\s*-?\d{1,20}\s*$")).as_py())


def _header(file: File) -> list[str]:
    with quotes.rows(file) as rows:
        return next(rows, [])


def _refuse_delimiter(file: File, names: Sequence[str]) -> None:
    """Refuse a file whose fields are separated by something else: no partition has a single column.

    :raises SourceUnreadable: if the header is one field that holds another delimiter.
    """
    others = [mark for mark in _DELIMITERS if mark != file.layout.delimiter and mark in "".join(names)]
    if len(names) == 1 and others:
        mark = max(others, key=names[0].count)
        written = "\\t" if mark == "\t" else mark
        raise SourceUnreadable(
            f'{file.name}: its header is one field, {names[0][:_LONGEST]!r}: write delimiter: "{written}"'
        )


def _unreadable(file: File, error: Exception) -> SourceUnreadable:
    text = " ".join(str(error).split())
    _refuse_delimiter(file, _header(file))
    if match := re.search(r"Expected (\d+) columns, got (\d+)", text):
        line, hint = quotes.ragged(file, int(match[1]))
        return SourceUnreadable(
            f"{file.name}: {line} has {match[2]} fields, the header {match[1]}; quote fields that hold the delimiter{hint}"
        )
    if "straddling" in text:
        return SourceUnreadable(
            f"{file.name}: a row is longer than {quotes.BLOCK >> 20} MiB; a quote may not be closed"
        )
    return SourceUnreadable(f"{file.name} cannot be read as CSV: {text}")
