"""The Python of docs/datasets.md is run."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops.learning.models import transform

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# (?:dags/)?([\w. ]+)\n(.*?)```", PAGE, re.DOTALL))
START = datetime(2013, 1, 1, tzinfo=UTC)


def at(*hours: float) -> pa.Array:
    return pa.array([START + timedelta(hours=hour) for hour in hours], pa.timestamp("us", "UTC"))


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in BLOCKS.items():
        if name.endswith(".py"):
            (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


def test_the_transform_prepares_each_row() -> None:
    rows = pa.table({"ordered_at": at(0, 24, 48), "weight": [3.0, 4.0, 5.0], "items": [1, 2, 5]})
    prepare = transform.load("orders_features:prepare")
    found = prepare(rows)
    assert found.select(["weekday", "weight_each"]).to_pydict() == {
        "weekday": [1, 2, 3],
        "weight_each": [3, 2, 1],
    }


def test_the_join_takes_what_was_known() -> None:
    from flights_with_weather import join  # type: ignore[import-not-found]

    flights = pa.table({"scheduled_departure": at(10, 12, 20), "origin": ["EWR"] * 3})
    weather = {"observed_at": at(9, 10), "known_at": at(10, 11), "origin": ["EWR"] * 2, "wind_speed": [5, 6]}
    assert join(flights, pa.table(weather))["wind_speed"].to_pylist() == [5, 6, None]


def test_a_service_needs_only_what_is_there() -> None:
    text = BLOCKS["in a service"]
    names = {"models": ("load_version", "predict"), "registry": ("champion",), "transform": ("of_model",)}
    for module, functions in names.items():
        loaded = __import__(f"airflow_mlops.engines.{module}", fromlist=[module])
        for function in functions:
            assert f"{module}.{function}(" in text
            assert callable(getattr(loaded, function))
