"""A training that somebody cancels in Airflow's UI, in the middle of a fit that Python cannot interrupt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.engines import trials
from airflow_mlops.local.airflow import LocalAirflow
from history import MODEL, History
from synthetic import make_rows

pytestmark = pytest.mark.slow

DAG = """
from airflow.sdk import DAG
from airflow_mlops.domain.spec import Features
from airflow_mlops.operators.train import TrainOperator

with DAG("{model}.train", schedule=None):
    # Minutes within libsvm, which never returns to Python on the way.
    TrainOperator(
        task_id="train", dataset={dataset}, target="delay", task="regression", metric="rmse", holdout=0.05,
        features=Features(numeric=("distance", "wind")),
        candidate={{"sklearn.svm.SVR": {{"cache_size": 10, "search": {{"C": [1000.0, 2000.0]}}}}}},
    )
"""


def test_a_cancelled_training_leaves_killed_runs_and_no_version(tmp_path: Path) -> None:
    history, dags = History(tmp_path), tmp_path / "dags"
    dags.mkdir()
    dataset = history.publish("2013-01", make_rows(60_000, months=1))
    (dags / "train.py").write_text(
        DAG.format(
            model=MODEL, dataset=json.dumps(dataset.to_dict()).replace("true", "True").replace("null", "None")
        )
    )
    settings = {
        "AIRFLOW__MLOPS__STORAGE": history.storage,
        "AIRFLOW__MLOPS__TRACKING_URI": history.client.tracking_uri,
    }
    with LocalAirflow(tmp_path / "airflow", dags, settings=settings) as airflow:
        airflow.wait(lambda: _dags(airflow), "the DAG", seconds=60)
        run = airflow.call("POST", f"dags/{MODEL}.train/dagRuns", json={"logical_date": None})
        airflow.wait(
            lambda: _states(history.client) == ["RUNNING", "RUNNING"], "a trial to be fitted", seconds=90
        )
        task = f"dags/{MODEL}.train/dagRuns/{run['dag_run_id']}/taskInstances/train"
        airflow.call("PATCH", task, json={"new_state": "failed"})
        airflow.wait(lambda: "RUNNING" not in _states(history.client), "the runs to be closed", seconds=60)
    assert _states(history.client) == ["KILLED", "KILLED"]
    assert list(history.client.search_model_versions(f"name = '{MODEL}'")) == []


def _dags(airflow: LocalAirflow) -> Any:
    return airflow.call("GET", "dags")["total_entries"]


def _states(client: Any) -> list[str]:
    """Return the states of the training and its trial."""
    found = client.get_experiment_by_name(MODEL)
    if found is None:
        return []
    runs = client.search_runs([found.experiment_id])
    assert sum(trials.SEARCH in run.data.tags for run in runs) <= 1, "the second trial never begins"
    return sorted(run.info.status for run in runs)
