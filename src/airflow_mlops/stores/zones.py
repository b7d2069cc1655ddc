"""Instants, and what the clocks of a time zone show at them, for whole columns.

Arrow knows only the time zones of the operating system, and a small image has none; Python also has them as a package.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from airflow_mlops.domain.offsets import spans

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def clocks(instants: np.ndarray, zone: tzinfo) -> np.ndarray:
    """Return what the clocks of a zone show.

    :param instants: in UTC.
    """
    moments = instants.astype("datetime64[us]")
    if zone is UTC or not moments.size:
        return moments
    shown: np.ndarray = moments + _offsets(moments, zone)
    return shown


def instants(clocks: np.ndarray, zone: tzinfo) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last instant, in UTC, at which the clocks of a zone show a time.

    They differ where clocks were set back, and both are missing (NaT) where they were set ahead and never showed it.
    """
    import numpy as np

    shown = clocks.astype("datetime64[us]")
    if zone is UTC or not shown.size:
        return shown, shown
    day = np.timedelta64(1, "D")
    candidates = []
    for near in (shown - day, shown + day):
        offset = _offsets(near, zone)
        moments = shown - offset
        moments[_offsets(moments, zone) != offset] = np.datetime64("NaT")
        candidates.append(moments)
    return np.fmin(*candidates), np.fmax(*candidates)


def is_naive(kind: pa.DataType) -> bool:
    """Tell whether times of a type have no offset; those of dates have none."""
    import pyarrow as pa

    return bool(pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None))


def has_naive(kind: pa.DataType) -> bool:
    """Tell whether such times lie within a nested type."""
    return any(map(is_naive, _parts(kind)))


def _parts(kind: pa.DataType) -> Iterator[pa.DataType]:
    for index in range(kind.num_fields):
        yield kind.field(index).type
        yield from _parts(kind.field(index).type)


def _offsets(moments: np.ndarray, zone: tzinfo) -> np.ndarray:
    """Return how far the clocks of a zone are ahead at each instant."""
    import numpy as np

    years = np.unique(moments[~np.isnat(moments)].astype("datetime64[Y]").astype(np.int64)) + 1970
    parts = sorted({span for year in years for span in spans(zone, int(np.clip(year, 1, 9999)))})
    if not parts:
        return np.full(moments.shape, np.timedelta64(0, "us"))
    begins, ahead = np.array(parts, np.int64).T
    places = np.searchsorted(begins, moments.astype(np.int64), side="right") - 1
    offsets: np.ndarray = ahead[np.maximum(places, 0)].astype("timedelta64[us]")
    return offsets
