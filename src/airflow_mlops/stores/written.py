"""Values that people wrote, in a file or on a command line, as the types of columns hold them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.offsets import first_instant, zone_of
from airflow_mlops.exceptions import OtherValue
from airflow_mlops.stores import zones
from airflow_mlops.stores.arrow import exactly, is_beyond_years, times_of

if TYPE_CHECKING:
    import pyarrow as pa

_MINUTE = timedelta(minutes=1)


def read(value: Any, kind: pa.DataType, timezone: str, ambiguous: str | None = None) -> pa.Array:
    """Return a value as a column of one row.

    :param value: a text, or a value of Python.
    :param kind: type of the column.
    :param timezone: time zone whose clocks show times without an offset, if instants are meant.
    :param ambiguous: which one is meant by a time that the clocks show twice, ``earlier`` or ``later``; None refuses it.
    :raises OtherValue: if the type has no such value, or the clocks show it twice or never. The message goes on from what
        names the value, and does not show it.
    """
    import pyarrow as pa

    if value is None:
        return pa.nulls(1, kind)
    try:
        column = pa.chunked_array([pa.array([value])])
        if timezone != "UTC":
            column = _instant(column, kind, timezone, ambiguous)
        cell = exactly(column, kind).combine_chunks()
        if cell.null_count or is_beyond_years(cell):
            raise pa.ArrowInvalid("another value")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise OtherValue(f"is no {kind}; {_advice(kind)}") from error
    return cell


def _advice(kind: pa.DataType) -> str:
    from pyarrow import types

    if types.is_timestamp(kind):
        return "write it like 2024-10-28 04:55:00"
    if types.is_date(kind):
        return "write it like 2024-10-28"
    return "write it like 04:55:00" if types.is_time(kind) else "correct it"


def _instant(
    column: pa.ChunkedArray, kind: pa.DataType, timezone: str, ambiguous: str | None
) -> pa.ChunkedArray:
    """Return a time without an offset as the instant at which the clocks of a time zone show it; others as they are."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import types

    if types.is_nested(column.type) and zones.has_naive(column.type):
        raise OtherValue(
            f"has times without an offset, so that they cannot be read in {timezone}: write their offset behind them"
        )
    if not types.is_timestamp(kind) or kind.tz is None:
        return column
    if not (types.is_temporal(column.type) or types.is_string(column.type)):
        return column
    _, without = times_of(column)
    if without.null_count:
        return column
    zone, is_date = zone_of(timezone), types.is_date(column.type)
    shown = without.cast(pa.timestamp("us"))
    first, last = zones.instants(shown.to_numpy(), zone)
    if is_date:
        try:
            first = np.array([first_instant(shown[0].as_py(), zone).replace(tzinfo=None)], "datetime64[us]")
        except (ValueError, OverflowError):
            raise pa.ArrowInvalid("beyond the years") from None
    elif np.isnat(first[0]):
        raise OtherValue(
            f"never occurs in {timezone}, as clocks are set ahead: correct it, or write its offset behind it"
        )
    elif first[0] != last[0] and ambiguous is not None:
        first = last if ambiguous == "later" else first
    elif first[0] != last[0]:
        offsets = " or ".join(_offset((shown.to_numpy() - moment).item(0)) for moment in (first, last))
        raise OtherValue(
            f"occurs twice in {timezone}, as clocks are set back: write its offset behind it, {offsets}"
        )
    return pa.chunked_array([pa.array(first).cast(pa.timestamp("us", "UTC"))])


def _offset(ahead: timedelta) -> str:
    minutes = ahead // _MINUTE
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
