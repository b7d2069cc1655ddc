"""The Python of docs/datasets.md is run."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from runpy import run_path

import pyarrow as pa
import pytest

from airflow_mlops import Features, Partition
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.learning.models import transform
from airflow_mlops.stages.train.split import place_bounds
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables
from history import make_decision, moved
from synthetic import make_client, make_dataset, make_trained

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


def test_a_service_predicts_with_the_champion_and_the_code_that_it_learned_from(tmp_path: Path) -> None:
    orders = pa.table(
        {
            "order_id": range(600),
            "ordered_at": at(*(24 * 59 * order / 600 for order in range(600))),
            "weight": [1.0 + order % 7 for order in range(600)],
            "items": [1 + order % 3 for order in range(600)],
            "late": [order % 7 > 3 for order in range(600)],
        }
    )
    prepare = transform.load("orders_features:prepare")
    rows, february = prepare(orders), Partition.parse("2013-02", "month")
    dataset = make_dataset(rows).model_copy(
        update={
            "name": "orders",
            "key": ("order_id",),
            "event_time": "ordered_at",
            "transform": prepare.version,
        }
    )
    bounds = place_bounds(rows["ordered_at"], holdout=1, partition=february, window="all", delay=timedelta(0))
    client = make_client(tmp_path)
    trained = make_trained(
        client, rows, "orders", model="orders", dataset=dataset, split=bounds,
        features=Features(numeric=("weekday", "weight_each")),
    )  # fmt: skip
    registry.set_champion(client, "orders", trained.version)
    storage = (tmp_path / "storage").as_uri()
    promoted = make_decision(
        "2013-02", Action.PROMOTED, model="orders", after=trained.version, digest=trained.digest
    )
    moved(tables.uri_of(storage, "orders", "ledger"), promoted)
    service = tmp_path / "service.py"
    example = BLOCKS["in a service"].replace("http://127.0.0.1:5000", client.tracking_uri)
    service.write_text(example.replace("file:///data/mlops", storage))
    # The code of today is not what the champion learned from.
    (tmp_path / "orders_features.py").write_text("raise RuntimeError")
    names = run_path(str(service), {"orders": orders.drop_columns(["late"])})
    assert names["prepare"].version == prepare.version
    assert names["version"].version == trained.version
    assert len(names["scores"]) == orders.num_rows
    assert all(0 <= score <= 1 for score in names["scores"])
