"""A model that begins on a laptop goes on in Airflow, and the other way round: one store, one ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.local.catch_up import STAGES, CatchUp
from airflow_mlops.stages.monitor import health
from airflow_mlops.stores.registry import champions, ledger
from airflow_mlops.stores.tables import tables
from deployment import Deployment
from history import month, rows_of

MODEL = "taken_over"
SPEC = """name: {model}
task: classification
target: late
key: [flight]
event_time: departure
partition: month
start: 2013-01
end: 2013-04
features: {{numeric: [distance, wind], categorical: [carrier, origin]}}
source: {{files: "{folder}/{{partition}}.parquet"}}
train: {{candidates: [sklearn.linear_model.LogisticRegression]}}
retrain: {{when: {{every: 1}}}}
"""
DAG = """# Airflow looks for the word DAG in a file before it reads it.
from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.load("{spec}"))
"""

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def run(deployment: Deployment, spec: Path, last: str) -> list[dict[str, Any]]:
    """Run the loop on this machine, in Airflow's store."""
    words = ["--storage", deployment.storage, "--tracking-uri", f"sqlite:///{deployment.home}/mlflow.db"]
    program = "from airflow_mlops.cli.main import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", program, "run", str(spec), *words, "--to", last, "--json"],
        env=os.environ | {"AIRFLOW__CORE__UNIT_TEST_MODE": "False"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    steps: list[dict[str, Any]] = json.loads(answer.stdout)["partitions"]
    return steps


def test_airflow_goes_on_where_run_stopped_and_run_where_airflow_did(deployment: Deployment) -> None:
    folder = deployment.home / "taken-over"
    folder.mkdir()
    keys = ("2013-01", "2013-02", "2013-03", "2013-04")
    for key in keys:
        pq.write_table(rows_of(key), folder / f"{key}.parquet")
    spec = folder / f"{MODEL}.yaml"
    spec.write_text(SPEC.format(model=MODEL, folder=folder))

    january, february = run(deployment, spec, "2013-02")
    assert (january["decision"]["action"], february["decision"]["action"]) == (Action.KEPT, Action.PROMOTED)

    deployment.deploy({f"{MODEL}.py": DAG.format(spec=spec)}, *(f"{MODEL}.{stage}" for stage in STAGES))
    march = CatchUp(deployment.airflow, MODEL, month("2013-03"), month("2013-03"))
    march.start()
    deployment.airflow.wait(march.ended, "March to go through the DAGs", seconds=300, interval=1)
    assert not [line for failure in march.failures() for line in march.errors(failure)]
    uri = deployment.uri(MODEL, "ledger")
    decided = ledger.decision(uri, "2013-03")
    assert decided is not None
    assert decided.before == february["decision"]["after"]
    predictions = tables.read(deployment.uri(MODEL, "predictions"), partition="2013-03")
    assert set(predictions["model_version"].to_pylist()) == {february["decision"]["after"]}

    (april,) = run(deployment, spec, "2013-04")
    assert april["partition"] == "2013-04"
    assert april["scoring"]["champion"]["version"] == decided.after
    assert april["decision"]["before"] == decided.after
    assert [row.partition for row in health.history(deployment.uri(MODEL, "monitoring"))] == [*reversed(keys)]
    standing = champions.current(deployment.client, uri, MODEL)
    assert standing.problem is None or not standing.problem
    assert standing.champion is not None
    assert standing.champion.version == april["decision"]["after"]
