"""Arrow types: a type by its name, the type that two have in common, and times in UTC."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import SchemaMismatch

if TYPE_CHECKING:
    import pyarrow as pa

_INEXACT = 2**53

# A time that names its offset, as ISO 8601 and databases write it.
_OFFSET = r"(Z|:\d\d([.,]\d+)?\s?[+-]\d\d(:?\d\d)?)$"
# The years of Python and of SQL, in seconds since 1970.
_FIRST, _END = -62_135_596_800, 253_402_300_800
_TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# Digits after the point of a text that is read as a whole number, such as `1.00`.
_SCALE = 18


def arrow_type(text: str) -> pa.DataType | None:
    """Return the type that Arrow writes as this text; None for nested types, and for a text that names no type.

    >>> str(arrow_type("timestamp[us, tz=UTC]")), str(arrow_type("decimal128(7, 2)")), str(arrow_type("string"))
    ('timestamp[us, tz=UTC]', 'decimal128(7, 2)', 'string')
    """
    import pyarrow as pa

    if match := re.fullmatch(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]", text):
        return pa.timestamp(match[1], match[2])
    if match := re.fullmatch(r"decimal128\((\d+), (-?\d+)\)", text):
        return pa.decimal128(int(match[1]), int(match[2]))
    try:
        return pa.type_for_alias(text)
    except ValueError:
        return None


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both types unchanged; None if there is none."""
    import pyarrow as pa
    from pyarrow import types

    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if types.is_dictionary(one) or types.is_dictionary(other):
        return wider(*(kind.value_type if types.is_dictionary(kind) else kind for kind in (one, other)))
    if types.is_boolean(one) or types.is_boolean(other):
        return None
    if types.is_date(one) and types.is_timestamp(other):
        return other
    if types.is_timestamp(one) and types.is_date(other):
        return one
    for text in (pa.string(), pa.large_string()):
        if {one, other} <= {text, pa.string(), pa.string_view()}:
            return text
    try:
        return pa.unify_schemas(
            [pa.schema([("_", one)]), pa.schema([("_", other)])], promote_options="permissive"
        )[0].type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None


def unsigned() -> pa.DataType:
    """Return the type that holds unsigned numbers of 64 bits, of which Delta has none of its own."""
    import pyarrow as pa

    return pa.decimal128(20, 0)


def decoded(column: pa.Array) -> pa.Array:
    """Return categories as their values, and any other column as it is."""
    import pyarrow as pa
    from pyarrow import types

    if not types.is_dictionary(column.type):
        return column
    words, kind = column.dictionary, column.type.value_type
    if types.is_string_view(kind) or types.is_binary_view(kind):
        # Arrow cannot look up views by their number; Polars has them in its categories.
        words = words.cast(pa.string() if types.is_string_view(kind) else pa.binary())
    return pa.DictionaryArray.from_arrays(column.indices, words).dictionary_decode()


def micros(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times in microseconds, which is what tables keep: digits of a second beyond the sixth are cut off."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if not pa.types.is_timestamp(kind) or kind.unit != "ns":
        return column
    # In UTC, for Arrow rounds local times, of which an hour occurs twice in autumn.
    zone = None if kind.tz is None else "UTC"
    floor = pc.floor_temporal(column.cast(pa.timestamp("ns", zone)), unit="microsecond")
    return floor.cast(pa.timestamp("us", zone)).cast(pa.timestamp("us", kind.tz))


def is_beyond_exact(column: pa.ChunkedArray | pa.Array) -> bool:
    """Tell whether fractions are so large that different whole numbers become the same."""
    import pyarrow.compute as pc

    most = pc.max(pc.abs(column)).as_py()
    return most is not None and most >= _INEXACT


def count_missing(column: pa.ChunkedArray) -> int:
    """Count the values that are null, or NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nan = pc.sum(pc.is_nan(column), min_count=0).as_py() if pa.types.is_floating(column.type) else 0
    return int(column.null_count + nan)


def is_beyond_years(column: pa.ChunkedArray | pa.Array) -> bool:
    """Tell whether times, also those within lists and structs, lie before year 1 or after 9999, where no calendar goes."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    kind = column.type
    if isinstance(column, pa.ChunkedArray) and types.is_nested(kind):
        return any(map(is_beyond_years, column.chunks))
    if types.is_struct(kind):
        return any(map(is_beyond_years, column.flatten()))
    if types.is_map(kind):
        start, end = column.offsets[0].as_py(), column.offsets[-1].as_py()
        return is_beyond_years(column.keys[start:end]) or is_beyond_years(column.items[start:end])
    if types.is_nested(kind):
        return is_beyond_years(column.flatten())
    if not (types.is_timestamp(kind) or types.is_date(kind)):
        return False
    ends = pc.min_max(column.cast(pa.int32() if types.is_date32(kind) else pa.int64()))
    seconds = (
        86_400 if types.is_date32(kind) else Fraction(1, _TICKS["ms" if types.is_date(kind) else kind.unit])
    )
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return low is not None and not _FIRST <= low * seconds <= high * seconds < _END


def times_of(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray | None, pa.ChunkedArray]:
    """Return the instants of a column of times or of text, and the times that it has without an offset.

    Each is null where the other is not; None means that no time has an offset.

    :raises pa.ArrowInvalid: if a text is no time.
    :raises pa.ArrowTypeError: if the column is neither.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_null(kind):
        return None, pa.chunked_array([pa.nulls(len(column), pa.timestamp("us"))])
    if pa.types.is_date(kind):
        return None, column
    if pa.types.is_timestamp(kind):
        column = micros(column)
        if kind.tz is None:
            return None, column
        return column.cast(pa.timestamp("us", "UTC")), pa.chunked_array(
            [pa.nulls(len(column), pa.timestamp("us"))]
        )
    if not _is_text(kind):
        raise pa.ArrowTypeError(f"{kind} is no time")
    # .NET and SQL Server write seven digits of a second, pandas nine.
    column = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"([.,]\d{6})\d+", r"\1")
    named = pc.match_substring_regex(column, _OFFSET)
    none = pa.scalar(None, kind)
    with_offset = pc.if_else(named, column, none).cast(pa.timestamp("us", "UTC"))
    return with_offset, pc.if_else(named, none, column).cast(pa.timestamp("us"))


def exactly(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column as another type, each value the same as before; null where that type has no such value.

    The decimal `1.00`, the text `1.00` and the number `1` are the same; the texts `007` and `7` are not.

    :raises pa.ArrowNotImplementedError: if no value of the one type can be one of the other.
    """
    import pyarrow as pa

    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    if pa.types.is_temporal(kind) and not (pa.types.is_temporal(column.type) or _is_text(column.type)):
        # Arrow would take a number for a time since 1970.
        raise pa.ArrowNotImplementedError(f"{column.type} is no {kind}")
    try:
        return _same(column, kind)
    except pa.ArrowInvalid:
        encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    values = [
        _same_or_null(encoded.dictionary[place : place + 1], kind) for place in range(len(encoded.dictionary))
    ]
    return pa.chunked_array([pa.concat_arrays(values).take(encoded.indices)])


def _same_or_null(value: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    try:
        return _same(pa.chunked_array([value]), kind).combine_chunks()
    except pa.ArrowInvalid:
        return pa.nulls(1, kind)


def _same(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Cast a column; text without an offset to a time in UTC, and numbers without losing a digit.

    :raises pa.ArrowInvalid: if a value would change.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(kind) and _is_text(column.type):
        with_offset, without = times_of(column)
        return pc.coalesce(with_offset, without.cast(pa.timestamp("us", "UTC"))).cast(kind)
    if pa.types.is_decimal(kind) and pa.types.is_integer(column.type):
        # Arrow asks for room for any whole number, whatever the values are.
        return column.cast(pa.decimal256(76, kind.scale)).cast(kind)
    if pa.types.is_integer(kind) and _is_text(column.type):
        return column.cast(pa.decimal256(76, _SCALE)).cast(kind)
    cast = column.cast(kind)
    # Arrow rounds a fraction to a decimal without a word.
    rounds = pa.types.is_floating(column.type) and pa.types.is_decimal(kind)
    if rounds and not pc.all(pc.equal(cast.cast(column.type), column), min_count=0).as_py():
        raise pa.ArrowInvalid(f"values would be less exact as {kind}")
    return cast


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def refuse_twice(names: Sequence[str], where: str) -> None:
    """Refuse columns that share a name.

    :raises SchemaMismatch: naming them.
    """
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise SchemaMismatch(f"{where} has columns of one name: {_list(twice)}; rename one of them")


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
