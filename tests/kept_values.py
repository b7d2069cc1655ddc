"""The values that a table has to keep of a column, worked out without what is tested."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

TICKS_OF_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def meant(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values of a column as a table has to keep them: times as microseconds since 1970."""
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in meant(chunk)]
    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        words = meant(column.dictionary)
        return [None if place is None else words[place] for place in column.indices.to_pylist()]
    if types.is_run_end_encoded(kind):
        return meant(pc.run_end_decode(column))
    if isinstance(kind, pa.BaseExtensionType):
        cells = column.to_pylist()
        return (
            [None if cell is None else str(cell) for cell in cells]
            if kind.extension_name == "arrow.uuid"
            else cells
        )
    if types.is_nested(kind):
        return _parts(column)
    if types.is_time(kind):
        return [None if ticks is None else _clock(ticks, kind.unit) for ticks in _ticks(column)]
    if types.is_timestamp(kind):
        second = TICKS_OF_DAY[kind.unit] // 86_400
        return [None if ticks is None else ticks * 1_000_000 // second for ticks in _ticks(column)]
    if types.is_date(kind):
        factor = TICKS_OF_DAY["us"] if types.is_date32(kind) else 1_000
        return [None if ticks is None else ticks * factor for ticks in _ticks(column)]
    if types.is_duration(kind):
        return _ticks(column)
    cells = column.to_pylist()
    return ["NaN" if isinstance(cell, float) and cell != cell else cell for cell in cells]


def _ticks(column: pa.Array) -> list[int | None]:
    stored = pa.int32() if column.type.bit_width == 32 else pa.int64()
    cells: list[int | None] = column.view(stored).to_pylist()
    return cells


def _clock(ticks: int, unit: str) -> str:
    seconds, micros = divmod(ticks * 1_000_000 // (TICKS_OF_DAY[unit] // 86_400), 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{clock}.{micros:06}" if micros else clock


def _parts(column: pa.Array) -> list[Any]:
    valid = column.is_valid().to_pylist()
    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        children = [meant(column.field(index)) for index in range(len(names))]
        return [
            {name: child[row] for name, child in zip(names, children, strict=True)} if there else None
            for row, there in enumerate(valid)
        ]
    if pa.types.is_map(column.type):
        return [
            list(zip(meant(cell.values.field(0)), meant(cell.values.field(1)), strict=True))
            if there
            else None
            for cell, there in zip(column, valid, strict=True)
        ]
    return [meant(cell.values) if there else None for cell, there in zip(column, valid, strict=True)]
