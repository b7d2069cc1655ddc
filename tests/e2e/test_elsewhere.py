"""A model that served elsewhere is adopted, and versions of a notebook are gated, on a real scheduler."""

from __future__ import annotations

import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.local.catch_up import STAGES, CatchUp
from airflow_mlops.stores.registry import champions, ledger
from airflow_mlops.stores.tables import tables
from deployment import Deployment
from foreign_models import fitted, register, save
from history import month, rows_of

MODEL = "notebook_flights"
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
train: {{elsewhere: their_notebook, trust: pickle}}
gates: {{versus_champion: {{margin: -0.5}}}}
"""
DAG = """# Airflow looks for the word DAG in a file before it reads it.
from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.load("models/{model}.yaml"))
"""

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def through(deployment: Deployment, first: str, last: str) -> None:
    """Take partitions through the DAGs."""
    span = CatchUp(deployment.airflow, MODEL, month(first), month(last))
    span.start()
    deployment.airflow.wait(span.ended, f"{first} to {last} to go through the DAGs", seconds=400, interval=1)
    assert not [line for failure in span.failures() for line in span.errors(failure)]


def adopt(deployment: Deployment, number: str) -> str:
    """Adopt a version as a person does, with the configuration of the tasks."""
    program = "from airflow_mlops.cli.main import main; main()"
    words = ["adopt", MODEL, number, "--of", "their_notebook", "--reason", "it serves already"]
    settings = {
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(deployment.home / "dags"),
        "AIRFLOW__MLOPS__STORAGE": deployment.storage,
        "AIRFLOW__MLOPS__TRACKING_URI": f"sqlite:///{deployment.home}/mlflow.db",
    }
    answer = subprocess.run(
        [sys.executable, "-c", program, *words],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_what_served_elsewhere_is_adopted_and_what_a_notebook_registers_is_gated(
    deployment: Deployment,
) -> None:
    folder = deployment.home / "notebook"
    folder.mkdir()
    for key in ("2013-01", "2013-02", "2013-03", "2013-04"):
        pq.write_table(rows_of(key), folder / f"{key}.parquet")
    spec = {f"models/{MODEL}.yaml": SPEC.format(model=MODEL, folder=folder)}
    files = spec | {f"{MODEL}.py": DAG.format(model=MODEL)}
    deployment.deploy(files, *(f"{MODEL}.{stage}" for stage in STAGES))
    through(deployment, "2013-01", "2013-01")
    uri, client = deployment.uri(MODEL, "ledger"), deployment.client
    nothing = ledger.decision(uri, "2013-01")
    assert nothing is not None
    assert nothing.reason.startswith("nobody has registered a version of 'their_notebook' yet in MLflow at ")

    serving = save(fitted(rows_of("2013-01")), folder / "serving", "cloudpickle")
    number = register(client, serving, "their_notebook", {"trained_until": "2013-01"})
    assert f"champion of {MODEL}: none → version 1" in adopt(deployment, number)
    through(deployment, "2013-02", "2013-02")
    kept = ledger.decision(uri, "2013-02")
    assert kept is not None
    assert (kept.action, kept.after) == (Action.KEPT, "1")
    assert "version 1 of 'their_notebook' was judged at" in kept.reason
    predictions = tables.read(deployment.uri(MODEL, "predictions"), partition="2013-02")
    assert set(predictions["model_version"].to_pylist()) == {"1"}
    drift = tables.read(deployment.uri(MODEL, "checks"), columns=["partition", "check"]).to_pylist()
    assert {"partition": "2013-02", "check": "drift.wind"} in drift

    better = save(fitted(rows_of("2013-02")), folder / "better", "cloudpickle")
    register(client, better, "their_notebook", {"trained_until": "2013-02"})
    through(deployment, "2013-03", "2013-03")
    gated = ledger.decision(uri, "2013-03")
    assert gated is not None
    assert (gated.action, gated.before, gated.after) == (Action.PROMOTED, "1", "2"), gated.reason
    standing = champions.current(client, uri, MODEL)
    assert (standing.problem, standing.champion and standing.champion.version) == ("", "2")

    refused = save(fitted(rows_of("2013-02")), folder / "unfit", "cloudpickle")
    (refused / "model.pkl").write_bytes(b"cnot_installed_here\nModel\n.")
    third = register(client, refused, "their_notebook", {"trained_until": "2013-02"})
    run = deployment.start(f"{MODEL}.train", conf={"version": third, "reason": "by hand"})
    assert deployment.ended(f"{MODEL}.train", run) == "failed"
    states = deployment.states(f"{MODEL}.train", run)
    assert (states["take_in"], states["promote"]) == ("failed", "upstream_failed")
