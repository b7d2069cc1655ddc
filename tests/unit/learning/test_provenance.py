from __future__ import annotations

import json
import platform
import subprocess
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops.domain.spec.model import Budget, Features
from airflow_mlops.learning import provenance
from airflow_mlops.stages.train import curve, fitting
from airflow_mlops.stages.train.split import place_bounds
from airflow_mlops.stores.registry import tracking
from airflow_mlops.stores.tables import tables
from history import History, month
from synthetic import BOOSTING, make_client, make_recipe, make_rows


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


def logged(client: Any, recipe: Any, tags: dict[str, str] | None = None) -> Any:
    """Log a recipe to a new run, and return the run."""
    experiment = tracking.experiment(client, "provenance")
    run = client.create_run(experiment)
    provenance.log(client, run, recipe, tags or {})
    return client.get_run(run.info.run_id)


def repository(folder: Path) -> str:
    """Make a repository with one commit, and return the commit."""
    (folder / "dag.py").write_text("")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    )
    return found.stdout.strip()


def test_a_run_says_what_it_is_made_of(client: Any) -> None:
    recipe = make_recipe(make_rows(), candidate=BOOSTING, seed=7, budget=Budget(trials=3))
    run = logged(client, recipe, {"airflow.dag_id": "flights.train", "mlops.key": "k"})
    facts = provenance.read(client, run.info.run_id)
    assert facts["recipe"] == recipe.to_dict()
    assert facts["packages"]["scikit-learn"] == version("scikit-learn")
    assert facts["code"] == {"commit": None, "airflow_mlops": version("airflow-mlops")}
    assert facts["airflow"] == {"airflow.dag_id": "flights.train"}
    assert facts["environment"]["processors"] >= 1
    tags, params = run.data.tags, run.data.params
    assert tags["mlops.python"] == platform.python_version()
    assert f"scikit-learn=={version('scikit-learn')}" in tags["mlops.packages"].split()
    assert params["estimator"] == "sklearn.ensemble.HistGradientBoostingClassifier"
    assert (params["seed"], params["budget.trials"], params["features"]) == ("7", "3", "4")


def test_each_partition_is_an_input_as_it_was_at_the_version(client: Any, tmp_path: Path) -> None:
    history = History(tmp_path)
    january, february = history.publish("2013-01"), history.publish("2013-02")
    # What comes later is none of this training's.
    history.publish("2013-01", tables.read(january.uri, version=january.version).slice(0, 100))
    split = place_bounds(
        tables.read(february.uri, version=february.version)["departure"],
        holdout=1, partition=month("2013-02"), window="all", delay=timedelta(0),
    )  # fmt: skip
    run = logged(client, make_recipe(make_rows(), dataset=february, split=split))
    inputs = {
        json.loads(each.dataset.source)["partition"]: (
            each.dataset.digest,
            {tag.key: tag.value for tag in each.tags}["mlflow.data.context"],
        )
        for each in run.inputs.dataset_inputs
    }
    assert inputs == {
        "2013-01": (january.digest[:36], "training"),
        "2013-02": (february.digest[:36], "holdout"),
    }
    query = f"dataset.digest = '{january.digest[:36]}'"
    [found] = client.search_runs([run.info.experiment_id], query)
    assert found.info.run_id == run.info.run_id
    told = provenance.read(client, run.info.run_id)["partitions"]
    assert {key: (each["version"], each["rows"]) for key, each in told.items()} == {
        "2013-01": (january.version, january.rows),
        "2013-02": (february.version, february.rows),
    }


def test_a_table_that_is_gone_leaves_the_dataset_itself(client: Any) -> None:
    run = logged(client, make_recipe(make_rows()))
    [only] = run.inputs.dataset_inputs
    assert (only.dataset.name, only.dataset.digest) == ("flights", "d" * 36)


def test_the_commit_is_that_of_the_folder_of_the_dag(client: Any, tmp_path: Path) -> None:
    commit, tags = repository(tmp_path), {provenance.DAG_FILE: str(tmp_path / "dag.py")}
    recipe = make_recipe(make_rows())
    run = logged(client, recipe, tags)
    assert run.data.tags["mlflow.source.git.commit"] == run.data.tags["mlops.commit"] == commit
    assert run.data.tags["mlflow.source.name"] == "dag.py"
    (tmp_path / "dag.py").write_text("changed = True\n")
    run = logged(client, recipe, tags)
    assert run.data.tags["mlops.commit"] == f"{commit}-dirty"
    assert run.data.tags["mlflow.source.git.commit"] == commit


def test_the_version_of_a_bundle_goes_before_the_folder(client: Any, tmp_path: Path) -> None:
    repository(tmp_path)
    tags = {provenance.DAG_FILE: str(tmp_path / "dag.py"), provenance.BUNDLE_VERSION: "5f9d170e"}
    assert logged(client, make_recipe(make_rows()), tags).data.tags["mlops.commit"] == "5f9d170e"


def test_a_folder_outside_of_any_repository_has_no_commit(client: Any, tmp_path: Path) -> None:
    for file in (tmp_path / "dag.py", tmp_path / "gone" / "dag.py"):
        run = logged(client, make_recipe(make_rows()), {provenance.DAG_FILE: str(file)})
        assert "mlops.commit" not in run.data.tags


def test_a_run_of_which_nothing_was_kept_is_empty(client: Any) -> None:
    run = client.create_run(tracking.experiment(client, "provenance"))
    assert provenance.read(client, run.info.run_id) == {}
    assert provenance.read(client, "0" * 32) == {}


def test_training_rows_are_described_without_the_values_of_categories() -> None:
    rows = make_rows()
    recipe = make_recipe(rows, features=Features(numeric=("wind",), categorical=("carrier",)))
    data = fitting.data(rows, recipe)
    found = curve.row_facts(data, recipe)
    wind, carrier = found["features"]["wind"], found["features"]["carrier"]
    assert (wind["low"], wind["high"]) == (data.frame["wind"].min(), data.frame["wind"].max())
    assert 0 < wind["missing"] < 0.1
    assert (carrier["values"], carrier["kind"], "low" in carrier) == (3, "categorical", False)
    assert found["target"] == {"positives": int(data.labels.sum())}
    assert "UA" not in json.dumps(found)


class Beaten(MlflowClient):
    """A client whose first dataset another one makes a moment before: MLflow itself has no lock against that."""

    beaten = 0

    def log_inputs(self, run_id: str, *arguments: Any, **named: Any) -> None:
        self.beaten += 1
        if self.beaten == 1:
            raise MlflowException("UNIQUE constraint failed: datasets.experiment_id, datasets.name")
        super().log_inputs(run_id, *arguments, **named)


def test_a_dataset_that_another_candidate_logs_at_the_same_time_is_logged_all_the_same(client: Any) -> None:
    beaten = Beaten(client.tracking_uri)
    run = logged(beaten, make_recipe(make_rows()))
    assert beaten.beaten == 2
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["flights"]
