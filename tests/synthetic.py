"""Builders of small, reproducible training data and of what trains on it."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import DatasetVersion, Split, TrainedModel
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import Budget, Candidate, Features
from airflow_mlops.stages.train import split, train

FEATURES = Features(numeric=("distance", "wind"), categorical=("carrier", "origin"))
LOGISTIC = Candidate(estimator="sklearn.linear_model.LogisticRegression")
BOOSTING = Candidate(
    estimator="sklearn.ensemble.HistGradientBoostingClassifier", params={"max_iter": 20, "learning_rate": 0.3}
)
JANUARY = datetime(2013, 1, 1, tzinfo=UTC)


def make_rows(count: int = 1000, *, seed: int = 0, months: int = 2, signal: float = 2.0) -> pa.Table:
    """Build flights of some months, with gaps, whose lateness and delay follow from wind and carrier."""
    random = np.random.default_rng(seed)
    wind, distance = random.normal(size=count), random.gamma(2, 300, size=count)
    carrier = random.choice(["AA", "DL", "UA"], count)
    strength = signal * wind + 1.0 * (carrier == "UA") + random.normal(size=count)
    seconds = np.sort(random.integers(0, months * 28 * 86_400, count))
    gaps = random.random(count) < 0.05
    return pa.table(
        {
            "flight": pa.array(np.arange(count)),
            "departure": pa.array([JANUARY + timedelta(seconds=int(value)) for value in seconds]),
            "distance": pa.array(distance),
            "wind": pa.array(np.where(gaps, np.nan, wind), from_pandas=True),
            "carrier": pa.array(np.where(gaps, None, carrier.astype(object))),
            "origin": pa.array(random.choice(["EWR", "JFK", "LGA"], count)),
            "late": pa.array(strength > 0),
            "delay": pa.array(10 * strength + distance / 100),
        }
    )


def make_dataset(rows: pa.Table, *, digest: str = "d" * 64, partition: str = "2013-02") -> DatasetVersion:
    """Describe rows as a dataset version would."""
    return DatasetVersion(
        name="flights",
        uri="file:///data/flights/data",
        version=3,
        grain="month",
        partition=partition,
        rows=rows.num_rows,
        digest=digest,
        columns={field.name: str(field.type) for field in rows.schema},
        key=("flight",),
        event_time="departure",
    )


def make_split(rows: pa.Table, **changes: Any) -> Split:
    """Hold out the last of the partitions up to February."""
    settings: dict[str, Any] = {"holdout": 1, "window": "all", "delay": timedelta(0)}
    return split.place_bounds(
        rows["departure"], **{**settings, "partition": Partition.parse("2013-02", "month"), **changes}
    )


def make_client(folder: Path) -> Any:
    """Return a client of a new MLflow on SQLite."""
    from mlflow import MlflowClient

    shutil.copy(empty_database(), folder / "mlflow.db")
    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def empty_database() -> Path:
    """Return MLflow's tables in SQLite, to be copied: it takes seconds to make them."""
    from mlflow import MlflowClient

    empty = Path(os.environ["AIRFLOW_HOME"]) / "empty-mlflow.db"
    if not empty.exists():
        MlflowClient(f"sqlite:///{empty}").search_experiments()
    return empty


def make_recipe(rows: pa.Table, **changes: Any) -> Recipe:
    """Say how to train on the rows; sections of a spec are taken as they are."""
    settings: dict[str, Any] = {
        "model": "flights",
        "candidate": LOGISTIC,
        "task": "classification",
        "target": "late",
        "features": FEATURES,
        "metric": "roc_auc",
        "split": changes.get("split") or make_split(rows),
        "dataset": make_dataset(rows),
        "budget": Budget(),
    }
    return Recipe(**settings | changes)


def make_trained(
    client: Any, rows: pa.Table, key: str, *, tags: dict[str, str] | None = None, **changes: Any
) -> TrainedModel:
    """Train a candidate on the rows."""
    return train.train(
        rows, client=client, recipe=make_recipe(rows, **changes), key=key, tags=tags or {}, pictures=False
    )
