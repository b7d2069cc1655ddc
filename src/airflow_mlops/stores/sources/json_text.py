"""Values of JSON lines as the text that they are written in, and numbers within objects and lists with all of their digits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.arrow import is_beyond_exact, unsigned
from airflow_mlops.stores.sources.unreadable import is_number

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stores.sources.bytes import File

# How JSON writes numbers: without a sign before, a zero in front, or a bare point.
_NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_DIGITS = 4_000


class _Number(str):
    """A number, as it is written."""

    __slots__ = ()


def as_text(
    block: bytes, names: Sequence[str], raw: Mapping[str, pa.DataType] = MappingProxyType({})
) -> bytes:
    """Return a block of lines in which numbers, truth values, objects and lists of some keys are text, with every digit.

    :param raw: keys whose values are text of the JSON that stands for them; times have no quotes around them, nor have
        texts that are written as JSON writes numbers, since many programs write long numbers, or decimals, so.
    """
    lines = []
    for text in filter(None, map(bytes.strip, block.split(b"\n"))):
        row, exact = json.loads(text, parse_int=_whole), _exact(text)
        for name in row.keys() & set(names):
            if row[name] is not None:
                row[name] = exact[name] if isinstance(exact[name], str) else _written(exact[name])
        for name in row.keys() & raw.keys():
            if not isinstance(row[name], str) or not _is_bare(row[name], raw[name]):
                row[name] = None if row[name] is None else _written(exact[name])
        lines.append(json.dumps(row).encode())
    return b"\n".join([*lines, b""])


def exact_type(
    column: pa.Array,
    holds: Callable[[pa.DataType], bool],
    whole: Callable[[pa.DataType], pa.DataType] = lambda kind: kind,
) -> pa.DataType:
    """Return the type of objects or lists in which unsigned numbers of 64 bits, which Arrow reads as fractions, are exact.

    :param holds: tells whether the values can be read as a type.
    :param whole: returns the type of all of the column, of the type of this part.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_list(kind):
        return pa.list_(exact_type(column.flatten(), holds, lambda part: whole(pa.list_(part))))
    if pa.types.is_struct(kind):
        fields = list(kind)
        for place, field in enumerate(kind):

            def changed(part: pa.DataType, place: int = place) -> pa.DataType:
                return whole(
                    pa.struct([*fields[:place], fields[place].with_type(part), *fields[place + 1 :]])
                )

            fields[place] = field.with_type(exact_type(column.field(place), holds, changed))
        return pa.struct(fields)
    is_rounded = pa.types.is_floating(kind) and is_beyond_exact(column)
    return unsigned() if is_rounded and holds(whole(pa.uint64())) else kind


def refuse_rounded(file: File, line: int, block: bytes, rows: pa.RecordBatch | pa.Table) -> None:
    """Refuse a number within an object or a list that loses digits as the fraction that it is read as.

    :param line: the number of the first line of a block.
    :param rows: the block, as it is read.
    :raises SourceUnreadable: with the line of the first such number.
    """
    import pyarrow as pa

    doubtful = {
        field.name: field.type
        for field, column in zip(rows.schema, rows.columns, strict=True)
        if pa.types.is_nested(field.type) and any(map(is_beyond_exact, _fractions(column)))
    }
    if not doubtful:
        return
    for place, text in enumerate(block.split(b"\n")):
        row = _exact(text) if text.strip() else {}
        for name in (name for name, kind in doubtful.items() if _is_rounded(row.get(name), kind)):
            raise SourceUnreadable(
                f"{file.name}: line {line + place:,}: {name!r} holds a number, in an object or a list, of more digits than a "
                f"fraction keeps: write such numbers as text, or types: {{{name}: string}}, which reads {name!r} as the text of "
                "its JSON"
            )


def _fractions(column: pa.Array | pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield the fractions of a column, from whatever depth."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_list(column.type):
        yield from _fractions(column.flatten())
    elif pa.types.is_struct(column.type):
        for part in column.flatten():
            yield from _fractions(part)
    elif pa.types.is_floating(column.type):
        yield column


def _is_rounded(value: Any, kind: pa.DataType) -> bool:
    import pyarrow as pa

    if isinstance(value, dict) and pa.types.is_struct(kind):
        return any(_is_rounded(value[field.name], field.type) for field in kind if field.name in value)
    if isinstance(value, list) and pa.types.is_list(kind):
        return any(_is_rounded(part, kind.value_type) for part in value)
    if not isinstance(value, _Number) or not pa.types.is_floating(kind):
        return False
    number = float(value)
    # JavaScript writes the fewest digits that tell a fraction from all others, and zeros after them.
    is_whole = value.removeprefix("-").isdigit()
    return math.isinf(number) or (is_whole and Decimal(value) not in (Decimal(number), Decimal(repr(number))))


def _exact(text: bytes) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(text, parse_int=_Number, parse_float=_Number)
    return row


def _written(value: Any) -> str:
    """Return the JSON that stands for a value: numbers with every digit, and text in its quotes."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        parts = (f"{json.dumps(key, ensure_ascii=False)}: {_written(part)}" for key, part in value.items())
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _is_bare(text: str, kind: pa.DataType) -> bool:
    """Tell whether a text stands for a value of a type without its quotes."""
    import pyarrow as pa

    return pa.types.is_temporal(kind) or (is_number(kind) and re.fullmatch(_NUMBER, text) is not None)


def _whole(digits: str) -> float:
    """Return a whole number; one of thousands of digits, which Python refuses, is infinite, and Arrow refuses that."""
    return int(digits) if len(digits) <= _DIGITS else float(digits)
