"""JSON lines in Arrow batches, with types that hold for the whole file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.arrow import arrow_type, is_beyond_exact, unsigned, wider
from airflow_mlops.stores.sources import csv
from airflow_mlops.stores.sources.batches import ROWS
from airflow_mlops.stores.sources.bytes import File
from airflow_mlops.stores.sources.json_text import as_text, exact_type, refuse_rounded
from airflow_mlops.stores.sources.nesting import DEEPEST, too_deep

if TYPE_CHECKING:
    import pyarrow as pa

# The end of a time that names its offset.
_OFFSET = r":\d\d([.,]\d+)?\s?(Z|[+-]\d\d(:?\d\d)?)"
_BLOCK = 1 << 23
"""Bytes that are parsed at a time, plus the rest of one line."""

_LONGEST = 1 << 26
"""Most bytes of a line, which is in memory as a whole."""


def find(
    file: File, types: Mapping[str, str], raw: Mapping[str, pa.DataType] = MappingProxyType({})
) -> pa.Schema:
    """Return the keys of all lines of a file, each with a type that holds all of its values.

    :param types: expected types, by key; used where they hold all values of the file.
    :param raw: keys whose values are read as the text that stands for them, each with the type that it should have.
    :raises SourceUnreadable: if it is no JSON lines, or a key has values of several kinds.
    """
    import pyarrow as pa

    columns: dict[str, pa.DataType] = {}
    for line, block in blocks(file):
        for field in _inferred(file, line, block, raw):
            former = columns.get(field.name, field.type)
            both = common(former, field.type)
            if both is None:
                raise SourceUnreadable(
                    f"{file.name}: {field.name!r} is {former} at first, and {field.type} after line {line:,}"
                )
            columns[field.name] = both
    for name in (columns.keys() & (types.keys() | file.layout.types.keys())) - set(raw):
        expected = arrow_type(file.layout.types.get(name) or types[name])
        if expected is not None and common(expected, columns[name]) == expected:
            columns[name] = expected
        elif name in file.layout.types and not pa.types.is_string(columns[name]):
            raise SourceUnreadable(
                f"{file.name}: {name!r} holds {columns[name]}, which is no {file.layout.types[name]}, as types says"
            )
    return pa.schema(list(columns.items()))


def _inferred(file: File, line: int, block: bytes, raw: Mapping[str, pa.DataType]) -> Iterator[pa.Field]:
    """Yield the keys of a block, each with a type that holds its values without loss.

    :raises SourceUnreadable: if a number is larger than any type holds; JSON has no infinity.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _parse(file, line, block, raw=raw)
    for field in rows.schema:
        kind = field.type
        if pa.types.is_floating(kind) and is_beyond_exact(rows[field.name]):
            # Arrow reads whole numbers of more than 63 bits as fractions, and those of hundreds of digits as infinite.
            if (row := pc.index(pc.is_inf(rows[field.name]), True).as_py()) >= 0:
                raise SourceUnreadable(
                    f"{file.name}: row {row + 1:,} after line {line:,}: {field.name!r} is larger than any number: write it as "
                    f"text, or types: {{{field.name}: string}}"
                )
            kind = unsigned() if _holds(file, line, block, field.name, raw, pa.uint64()) else kind
        if pa.types.is_nested(kind):
            holds = partial(_holds, file, line, block, field.name, raw)
            kind = exact_type(rows[field.name].combine_chunks(), holds)
        if pa.types.is_timestamp(kind) and re.search(f'{_OFFSET}"'.encode(), block):
            kind = _time(file, line, block, field, raw)
        if pa.types.is_string(field.type) and field.name not in {*raw, *file.layout.types}:
            kind = csv.time_or_text(rows[field.name].combine_chunks())
        yield pa.field(field.name, kind)


def _time(
    file: File, line: int, block: bytes, field: pa.Field, raw: Mapping[str, pa.DataType]
) -> pa.DataType:
    """Return the type of times that Arrow has read without saying which of them have an offset: text if only some do."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = _parse(file, line, block, pa.schema([(field.name, pa.string())]), raw)[field.name]
    has_offset = pc.unique(pc.match_substring_regex(texts.drop_null(), f"{_OFFSET}$")).to_pylist()
    if len(has_offset) > 1:
        return pa.string()
    return pa.timestamp(field.type.unit, "UTC") if has_offset == [True] else field.type


def _holds(
    file: File, line: int, block: bytes, name: str, raw: Mapping[str, pa.DataType], kind: pa.DataType
) -> bool:
    """Tell whether a type holds all values of a key."""
    import pyarrow as pa

    try:
        _parse(file, line, block, pa.schema([(name, kind)]), raw)
    except SourceUnreadable:
        return False
    return True


def batches(file: File, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file with the types that :func:`find` returned; a key that a line lacks is null.

    :raises SourceUnreadable: if the file has changed since and does not fit them.
    """
    for line, block in blocks(file):
        yield from parsed(file, line, block, schema)


def parsed(
    file: File,
    line: int,
    block: bytes,
    schema: pa.Schema,
    raw: Mapping[str, pa.DataType] = MappingProxyType({}),
) -> list[pa.RecordBatch]:
    """Return the rows of a block.

    :param line: the number of its first line.
    :param raw: keys whose values are read as the text that stands for them, each with the type that it should have.
    :raises SourceUnreadable: if a number within an object or a list would lose digits.
    """
    rows = _parse(file, line, block, schema, raw).select(schema.names).combine_chunks()
    refuse_rounded(file, line, block, rows)
    batches: list[pa.RecordBatch] = rows.to_batches(ROWS)
    return batches


def common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both types; None if there is none."""
    import pyarrow as pa

    if pa.types.is_timestamp(one) and pa.types.is_timestamp(other) and one.tz != other.tz:
        return pa.string()
    # Arrow reads text as times if all values in a block look like times.
    if {pa.string()} < {one, other} and all(map(_is_text, (one, other))):
        return pa.string()
    return wider(one, other)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_timestamp(kind))


def _parse(
    file: File,
    line: int,
    block: bytes,
    schema: pa.Schema | None = None,
    raw: Mapping[str, pa.DataType] = MappingProxyType({}),
) -> pa.Table:
    """Parse a block; columns that are text by the spec's ``types`` may hold anything, as may raw ones."""
    import pyarrow as pa

    text = [name for name, kind in file.layout.types.items() if kind == "string"]
    explicit = dict.fromkeys([*text, *raw], pa.string())
    if schema is not None:
        explicit = dict(zip(schema.names, schema.types, strict=True))
    if raw:
        try:
            return _parsed(file, line, as_text(block, text, raw), explicit)
        except (ValueError, TypeError, RecursionError):
            return _parsed(file, line, block, explicit)
    try:
        return _parsed(file, line, block, explicit)
    except SourceUnreadable:
        if not text:
            raise
        try:
            rewritten = as_text(block, text)
        except (ValueError, TypeError, RecursionError):
            rewritten = block
        return _parsed(file, line, rewritten, explicit)


def _parsed(file: File, line: int, block: bytes, explicit: Mapping[str, pa.DataType]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json as arrow

    read = arrow.ReadOptions(block_size=len(block) + 1, use_threads=False)
    parse = arrow.ParseOptions(explicit_schema=pa.schema(list(explicit.items()))) if explicit else None
    try:
        return arrow.read_json(pa.BufferReader(block), read_options=read, parse_options=parse)
    except pa.ArrowInvalid as error:
        text = " ".join(str(error).split())
        row = re.search(r" in row (\d+)", text)
        # Arrow counts the lines that are not empty.
        places = [place for place, content in enumerate(block.split(b"\n")) if content.strip()] if row else []
        where = f"line {line + places[int(row[1])]:,}" if row else f"after line {line:,}"
        raise SourceUnreadable(
            f"{file.name}: {where}: {text.removeprefix('JSON parse error: ').replace(row[0] if row else '', '')}{_hint(block)}"
        ) from error


def _hint(text: bytes) -> str:
    return "; write one object a line, not a list" if text.lstrip().startswith(b"[") else ""


def blocks(file: File) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, each with the number of its first line.

    :raises SourceUnreadable: if a line is longer, or nested deeper, than any row is.
    """
    text, line, rest = file.open_text(), 1, b""
    with text:
        while chunk := text.read(_BLOCK):
            block, end, rest = (rest + chunk).rpartition(b"\n")
            if block.strip():
                yield line, _bounded(file, line, block + end)
            line += block.count(b"\n") + len(end)
            if len(rest) > _LONGEST:
                raise SourceUnreadable(
                    f"{file.name}: line {line:,} is longer than {_LONGEST >> 20} MiB{_hint(rest) or '; write one object a line'}"
                )
    if rest.strip():
        yield line, _bounded(file, line, rest)


def absent(file: File, names: Iterable[str]) -> set[str]:
    """Return the keys that no line has; Arrow adds those that ``types`` names."""
    spelled = {name: (json.dumps(name), json.dumps(name, ensure_ascii=False)) for name in names}
    for _, block in blocks(file) if spelled else ():
        for name in [
            name for name, texts in spelled.items() if any(text.encode() in block for text in texts)
        ]:
            del spelled[name]
        if not spelled:
            break
    return set(spelled)


def _bounded(file: File, line: int, block: bytes) -> bytes:
    if (after := too_deep(block)) is not None:
        raise SourceUnreadable(
            f"{file.name}: line {line + after:,}: more than {DEEPEST} brackets are open; write flatter objects, each on a line "
            "of its own, or close them"
        )
    return block
