"""Columns of every Arrow type, with nulls, empties and extremes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kept_values import TICKS_OF_DAY

THOROUGH = 20 if os.environ.get("THOROUGH") else 1
"""How many times the examples of ``make test`` are run, as ``make test-all`` sets it."""

UNITS = ("s", "ms", "us", "ns")
ZONES = (None, "UTC", "Europe/Berlin", "America/St_Johns", "+05:30")
_ROWS = 5

Draw = Callable[[st.SearchStrategy[Any]], Any]


def examples(count: int) -> settings:
    """Return how a test is run: the same examples each time, so that it passes or fails for its code alone."""
    return settings(
        max_examples=count * THOROUGH,
        derandomize=True,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def _integers(kind: pa.DataType) -> st.SearchStrategy[int]:
    bits = kind.bit_width
    low, high = (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if pa.types.is_signed_integer(kind) else (0, 2**bits - 1)
    )
    return st.one_of(st.integers(max(low, -9), 9), st.sampled_from([low, high]), st.integers(low, high))


def _moments(low: int, high: int) -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(max(low, -9), min(high, 9)), st.integers(low, high), st.sampled_from([low, high])
    )


_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "ß\u0301",
            "007",
            "1.00",
            "NaN",
            "null",
            "\U0001f600" * 40,
            "x" * 300,
            "a\r\nb",
            '"',
            "2013-01-02",
        ]
    ),
)
_BYTES = st.one_of(st.binary(max_size=9), st.sampled_from([b"", b"\0", b"\xff" * 200]))
# Years 1 to 9999 in each unit, and what 64 bits hold beyond.
_YEARS = (-62_135_596_800, 253_402_300_799)


@st.composite
def _timestamps(draw: Draw, kind: pa.DataType) -> int:
    factor = TICKS_OF_DAY[kind.unit] // 86_400
    low, high = (bound * factor for bound in _YEARS)
    inside = st.integers(max(low, -(2**63) + 1), min(high, 2**63 - 1))
    return int(draw(st.one_of(inside, inside, inside, _moments(-(2**63), 2**63 - 1))))


def _decimals(make: Callable[[int, int], pa.DataType], most: int) -> st.SearchStrategy[pa.DataType]:
    precisions = st.integers(1, most)
    return precisions.flatmap(
        lambda precision: st.builds(make, st.just(precision), st.integers(-3, precision))
    )


KINDS = {
    "whole numbers": st.sampled_from([pa.int8(), pa.int16(), pa.int32(), pa.int64()]),
    "unsigned numbers": st.sampled_from([pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]),
    "fractions": st.sampled_from([pa.float16(), pa.float32(), pa.float64()]),
    "decimals": st.one_of(
        _decimals(pa.decimal128, 38),
        _decimals(pa.decimal32, 9),
        _decimals(pa.decimal64, 18),
        _decimals(pa.decimal256, 76),
    ),
    "truth values": st.just(pa.bool_()),
    "text": st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]),
    "bytes": st.sampled_from([pa.binary(), pa.large_binary(), pa.binary_view()])
    | st.integers(1, 17).map(pa.binary),
    "dates": st.sampled_from([pa.date32(), pa.date64()]),
    "times": st.builds(pa.timestamp, st.sampled_from(UNITS), st.sampled_from(ZONES)),
    "times of day": st.sampled_from([pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]),
    "durations": st.builds(pa.duration, st.sampled_from(UNITS)),
    "intervals": st.just(pa.month_day_nano_interval()),
    "nulls": st.just(pa.null()),
}
"""Types without parts."""


def _numbers(kind: pa.DataType) -> st.SearchStrategy[int] | None:
    """Return the numbers that stand for values of a type; None if it has others."""
    types = pa.types
    if types.is_integer(kind):
        return _integers(kind)
    if types.is_date32(kind):
        return _moments(-(2**31), 2**31 - 1) | st.integers(-719_162, 2_932_896)
    if types.is_date64(kind):
        days = st.integers(-719_162, 2_932_896) | st.integers(
            -(2**63) // 86_400_000 + 1, 2**63 // 86_400_000 - 1
        )
        return days.map(lambda day: day * 86_400_000)
    if types.is_timestamp(kind):
        return _timestamps(kind)
    if types.is_time(kind):
        return _moments(0, TICKS_OF_DAY[kind.unit] - 1)
    if types.is_duration(kind):
        return _moments(-(2**63), 2**63 - 1)
    if types.is_decimal(kind):
        most = 10**kind.precision - 1
        return st.integers(-9, 9) | st.sampled_from([most, -most]) | st.integers(-most, most)
    return None


def _values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    types = pa.types
    if types.is_floating(kind):
        return st.floats(width=kind.bit_width)
    if types.is_boolean(kind):
        return st.booleans()
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _TEXT
    if types.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if types.is_null(kind):
        return st.none()
    if types.is_interval(kind):
        part = st.integers(-(2**31), 2**31 - 1)
        return st.tuples(part, part, st.integers(-(2**63), 2**63 - 1))
    return _BYTES


@st.composite
def _plain(draw: Draw, kind: pa.DataType, rows: int, nulls: bool) -> pa.Array:
    numbers = _numbers(kind)
    values = numbers if numbers is not None else _values(kind)
    if nulls:
        values = st.none() | values
    cells = draw(st.lists(values, min_size=rows, max_size=rows))
    if numbers is None:
        return pa.array(cells, kind)
    if pa.types.is_decimal(kind):
        # Not from Python's decimals, some of which Arrow does not take for negative scales.
        width = kind.byte_width
        words = [None if cell is None else cell.to_bytes(width, "little", signed=True) for cell in cells]
        return pa.Array.from_buffers(kind, rows, pa.array(words, pa.binary(width)).buffers())
    stored = kind if pa.types.is_integer(kind) else pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array(cells, stored).view(kind)


def _dictionary(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    words = draw(arrays(draw(st.integers(1, 4)), nulls=draw(st.booleans()), depth=0))
    index = draw(st.sampled_from([pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32()]))
    place = st.integers(0, len(words) - 1)
    places = draw(st.lists(st.none() | place if nulls else place, min_size=rows, max_size=rows))
    return pa.DictionaryArray.from_arrays(pa.array(places, index), words, ordered=draw(st.booleans()))


def _mask(draw: Draw, rows: int, nulls: bool) -> pa.Array | None:
    if not nulls:
        return None
    return pa.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), pa.bool_())


def _offsets(draw: Draw, rows: int) -> list[int]:
    sizes = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    return [sum(sizes[:end]) for end in range(rows + 1)]


def _list(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    make, offset = draw(st.sampled_from([(pa.ListArray, pa.int32()), (pa.LargeListArray, pa.int64())]))
    ends = _offsets(draw, rows)
    child = draw(arrays(ends[-1], nulls=nulls, depth=depth - 1))
    return make.from_arrays(pa.array(ends, offset), child, mask=_mask(draw, rows, nulls))


def _view(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    make, offset = draw(
        st.sampled_from([(pa.ListViewArray, pa.int32()), (pa.LargeListViewArray, pa.int64())])
    )
    child = draw(arrays(draw(st.integers(3, 6)), nulls=nulls, depth=depth - 1))
    begins, sizes = (
        pa.array(draw(st.lists(st.integers(0, most), min_size=rows, max_size=rows)), offset)
        for most in (2, 1)
    )
    return make.from_arrays(begins, sizes, child, mask=_mask(draw, rows, nulls))


def _fixed(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    size = draw(st.integers(1, 3))
    child = draw(arrays(rows * size, nulls=nulls, depth=depth - 1))
    return pa.FixedSizeListArray.from_arrays(child, size, mask=_mask(draw, rows, nulls))


def _struct(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    names = draw(st.lists(st.sampled_from(["a", "b", "id", "x", "", "A", "ä.b"]), max_size=3))
    if not names:
        return pa.array([{}] * rows, pa.struct([]))
    children = [draw(arrays(rows, nulls=nulls, depth=depth - 1)) for _ in names]
    return pa.StructArray.from_arrays(children, names, mask=_mask(draw, rows, nulls))


def _map(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    ends = _offsets(draw, rows)
    kind = draw(KINDS[draw(st.sampled_from(sorted({*KINDS} - {"nulls"})))])
    keys = draw(_plain(kind, ends[-1], False))
    items = draw(arrays(ends[-1], nulls=nulls, depth=depth - 1))
    return pa.MapArray.from_arrays(pa.array(ends, pa.int32()), keys, items)


def _runs(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    lengths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=rows))
    ends = [min(rows, sum(lengths[: end + 1])) for end in range(len(lengths))]
    ends = sorted({*ends, rows})
    values = draw(arrays(len(ends), nulls=nulls, depth=0))
    index = draw(st.sampled_from([pa.int16(), pa.int32(), pa.int64()]))
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, index), values)


def _extension(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    kind = draw(
        st.sampled_from(
            [
                pa.uuid(),
                pa.json_(),
                pa.bool8(),
                pa.opaque(pa.binary(), "point", "postgis"),
                pa.fixed_shape_tensor(pa.int8(), [2]),
            ]
        )
    )
    if kind.extension_name == "arrow.fixed_shape_tensor":
        stored = pa.array([[1, 2]] * rows, kind.storage_type)
    elif kind.extension_name == "arrow.bool8":
        stored = draw(_plain(pa.int8(), rows, nulls))
    else:
        stored = draw(_plain(kind.storage_type, rows, nulls))
    return pa.ExtensionArray.from_storage(kind, stored)


def _union(draw: Draw, rows: int, nulls: bool, depth: int) -> pa.Array:
    children = [draw(arrays(rows, nulls=nulls, depth=0)) for _ in range(2)]
    types = pa.array(draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)), pa.int8())
    return pa.UnionArray.from_sparse(types, children)


_WITH_PARTS = (_dictionary, _list, _view, _fixed, _struct, _map, _runs, _extension, _union)


@st.composite
def arrays(draw: Draw, rows: int, nulls: bool = True, depth: int = 2) -> pa.Array:
    """Return an array of any type; it may begin within its buffers."""
    if depth > 0 and rows and draw(st.booleans()):
        return draw(st.sampled_from(_WITH_PARTS))(draw, rows, nulls, depth)
    extra = draw(st.integers(0, 2))
    column = draw(_plain(draw(KINDS[draw(st.sampled_from(sorted(KINDS)))]), rows + extra, nulls))
    return column.slice(extra)


@st.composite
def columns(
    draw: Draw,
    kinds: st.SearchStrategy[pa.DataType] | None = None,
    rows: int | None = None,
    nulls: bool = True,
) -> pa.ChunkedArray:
    """Return a column of one to five rows in one or several chunks, of any type or of one of these."""
    rows = draw(st.integers(1, _ROWS)) if rows is None else rows
    nulls = nulls and draw(st.booleans())
    whole = draw(arrays(rows, nulls=nulls) if kinds is None else _plain(draw(kinds), rows, nulls))
    cut = draw(st.integers(0, rows))
    return pa.chunked_array([whole.slice(0, cut), whole.slice(cut)] if draw(st.booleans()) else [whole])
