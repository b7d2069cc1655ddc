"""A training that somebody cancels in Airflow's UI, in the middle of a fit that Python cannot interrupt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_mlops.stages.train import trials
from deployment import Deployment
from history import MODEL, History
from synthetic import make_rows

pytestmark = pytest.mark.slow

DAG = """
from airflow.sdk import DAG
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.operators.train import TrainOperator

with DAG("{model}.train", schedule=None):
    # Minutes within libsvm, which never returns to Python on the way.
    TrainOperator(
        task_id="train", dataset={dataset}, target="delay", task="regression", metric="rmse", holdout=0.05,
        features=Features(numeric=("distance", "wind")),
        candidate={{"sklearn.svm.SVR": {{"cache_size": 10, "search": {{"C": [1000.0, 2000.0]}}}}}},
    )
"""


def test_a_cancelled_training_leaves_killed_runs_and_no_version(deployment: Deployment) -> None:
    history, airflow, client = History(deployment.home), deployment.airflow, deployment.client
    dataset = history.publish("2013-01", make_rows(60_000, months=1))
    values = json.dumps(dataset.to_dict()).replace("true", "True").replace("null", "None")
    deployment.deploy({"train.py": DAG.format(model=MODEL, dataset=values)}, f"{MODEL}.train")
    run = deployment.start(f"{MODEL}.train")
    airflow.wait(lambda: _states(client) == ["RUNNING", "RUNNING"], "a trial to be fitted", seconds=90)
    task = f"dags/{MODEL}.train/dagRuns/{run}/taskInstances/train"
    airflow.call("PATCH", task, json={"new_state": "failed"})
    airflow.wait(lambda: "RUNNING" not in _states(client), "the runs to be closed", seconds=60)
    assert _states(client) == ["KILLED", "KILLED"]
    assert list(client.search_model_versions(f"name = '{MODEL}'")) == []


def _states(client: Any) -> list[str]:
    """Return the states of the training and its trial."""
    found = client.get_experiment_by_name(MODEL)
    if found is None:
        return []
    runs = client.search_runs([found.experiment_id])
    assert sum(trials.SEARCH in run.data.tags for run in runs) <= 1, "the second trial never begins"
    return sorted(run.info.status for run in runs)
