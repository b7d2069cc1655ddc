from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from airflow_mlops.domain.facts.loop import LoopStep
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.stores.registry import ledger
from history import rows_of

pytestmark = pytest.mark.slow  # fits, in processes of their own

KEYS = ("2013-01", "2013-02", "2013-03")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with three months of flights, and a spec of a model of them."""
    folder = tmp_path / "data"
    folder.mkdir()
    for key in KEYS:
        pq.write_table(rows_of(key), folder / f"{key}.parquet")
    write(tmp_path)
    return tmp_path


def write(project: Path, **changes: object) -> None:
    spec = {
        "name": "flights",
        "task": "classification",
        "target": "late",
        "key": ["flight"],
        "event_time": "departure",
        "partition": "month",
        "features": {"numeric": ["distance", "wind"], "categorical": ["carrier", "origin"]},
        "source": {"files": f"{project}/data/{{partition}}.parquet"},
        "train": {"candidates": ["sklearn.linear_model.LogisticRegression"]},
    }
    (project / "models").mkdir(exist_ok=True)
    (project / "models" / "flights.yaml").write_text(yaml.safe_dump(spec | changes))


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return mlops(project, "run", "models/flights.yaml", "--storage", "store", *words)


def mlops(project: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    program = "from airflow_mlops.cli.main import main; main()"
    command = [sys.executable, "-c", program, *words]
    # Unit test mode writes to the output.
    environment = os.environ | {"AIRFLOW__CORE__UNIT_TEST_MODE": "False"} | settings
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_the_partitions_of_a_folder_go_through_the_loop(project: Path) -> None:
    first = run(project, "--to", "2013-02")
    assert first.returncode == 0, first.stderr
    # A machine that is busy has lines for long stages between them.
    told = [line for line in first.stderr.splitlines() if not line.endswith(" takes more than 5 s …")]
    assert told == ["2013-01 (1 of 2)", "2013-02 (2 of 2)"]
    lines = first.stdout.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert lines[0] == "flights: what was decided"
    assert lines[3].split()[:3] == ["2013-02", f"{rows_of('2013-02').num_rows}", "✓"]
    assert lines[3].split()[-4:] == ["promoted", "–", "→", "1"]
    rest = run(project, "--json")
    assert rest.returncode == 0, rest.stderr
    document = json.loads(rest.stdout)
    assert (document["model"], document["storage"]) == ("flights", f"file://{project}/store")
    (step,) = map(LoopStep.from_dict, document["partitions"])
    assert step.partition == "2013-03"
    assert step.scoring is not None
    assert step.scoring.rows == rows_of("2013-03").num_rows
    assert (project / "store" / "reports" / "flights" / "2013-03" / "validation.html").exists()
    again = run(project)
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == "Nothing to do: 2013-01 to 2013-03 are decided.\n"
    assert (project / "store" / "mlflow.db").exists()
    assert sorted(path.name for path in project.iterdir()) == ["data", "models", "store"]


@pytest.mark.thorough
def test_without_a_configuration_it_is_kept_beside_the_dag_files_where_other_commands_find_it(
    project: Path,
) -> None:
    (project / "dags").mkdir()
    (project / "models").rename(project / "dags" / "models")
    first = mlops(project, "run", "dags/models/flights.yaml", "--to", "2013-02")
    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith("go on from there:\n  airflow-mlops start\n")
    assert (project / ".airflow-mlops" / ".gitignore").read_text() == "*\n"
    assert (project / ".airflow-mlops" / "mlflow.db").exists()
    history = mlops(project, "history", "flights", "-o", "json")
    assert history.stderr == f"In {project}/.airflow-mlops, as no [mlops] storage is configured.\n"
    assert json.loads(history.stdout)[-1]["partition"] == "2013-02"
    doctor = mlops(project, "doctor", "--json")
    assert (
        f"and not at what `airflow-mlops run` and `start` keep in {project}/.airflow-mlops." in doctor.stderr
    )
    # Where an Airflow has these DAG files, or a storage is configured, that is the place.
    for setting in (
        {"AIRFLOW__CORE__DAGS_FOLDER": f"{project}/dags"},
        {"AIRFLOW__MLOPS__STORAGE": f"file://{project}/configured"},
    ):
        elsewhere = mlops(project, "history", "flights", **setting)
        assert elsewhere.returncode == 1
        assert "There is no ledger of 'flights'" in elsewhere.stderr
        assert ".airflow-mlops" not in elsewhere.stderr


@pytest.mark.thorough
def test_what_fails_or_waits_is_in_the_exit_code(project: Path) -> None:
    write(project, gates={"approval": "one"})
    waiting = run(project)
    assert waiting.returncode == 3
    words = " ".join(waiting.stdout.split())
    assert "Waiting for a person: Promote version 1 of flights? Partition 2013-02" in words
    assert "the DAG flights.train asks at 2013-02" in words
    write(project, train={"candidates": [{"sklearn.linear_model.LogisticRegression": {"C": -1}}]})
    failed = run(project, "--to", "2013-02")
    assert failed.returncode == 1
    assert "Failed: Candidate 'LogisticRegression'" in " ".join(failed.stdout.split())
    decisions = ledger.decisions(f"file://{project}/store/flights/ledger")
    assert [decision.action for decision in decisions] == [Action.KEPT, Action.FAILED]
    write(project)
    assert run(project, "--from", "2013-03").returncode == 0
    late = run(project, "--to", "2013-02")
    assert late.returncode == 1
    assert late.stderr.startswith("2013-02: a later partition has been decided already")


@pytest.mark.thorough
def test_what_cannot_be_run_is_said_before_anything_is_read(project: Path) -> None:
    for words, problem in (
        (["--from", "2014-01"], "There is no partition between 2014-01 and the last in "),
        (["--from", "january"], "'january' is no month partition; write it as %Y-%m"),
        (
            ["--storage", "s3://bucket/mlops"],
            "--tracking-uri is missing: MLflow has no database in s3://bucket/mlops",
        ),
    ):
        answer = run(project, *words)
        assert answer.returncode == 1
        assert answer.stderr.startswith(problem)
    write(
        project,
        source={
            "sql": {
                "conn_id": "warehouse",
                "query": "select * from flights where departure >= :start and departure < :end",
            }
        },
    )
    assert "give --from, or start in the spec" in run(project).stderr
    assert not (project / "store" / "flights").exists()


def test_a_storage_has_the_name_that_was_given_and_one_that_is_none_is_refused_at_once(project: Path) -> None:
    code = (
        "from argparse import Namespace; from airflow_mlops import config; from airflow_mlops.cli.run import place; "
        "place(Namespace(storage='zwei größen', tracking_uri=None)); print(ascii(config.storage()))"
    )
    named = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert named.stdout.splitlines()[-1] == ascii(f"file://{project}/zwei größen")
    (project / "file").write_text("")
    answer = mlops(project, "run", "models/flights.yaml", "--storage", "file")
    assert answer.returncode == 1
    assert answer.stderr.startswith(
        f"Nothing can be written to the storage {project}/file (File exists): name a"
    )


def test_a_spec_of_data_alone_is_read_and_published_without_an_mlflow(project: Path) -> None:
    bad = rows_of("2013-02")
    distance = bad["distance"].to_pylist()
    bad = bad.set_column(
        bad.column_names.index("distance"), "distance", pa.array([-1, -1, *distance[2:]], pa.int64())
    )
    pq.write_table(bad, project / "data" / "2013-02.parquet")
    spec = yaml.safe_load((project / "models" / "flights.yaml").read_text())
    for key in ("task", "target", "features", "train"):
        del spec[key]
    between = {"column": "distance", "min_value": 0, "severity": "quarantine"}
    spec["validate"] = [{"expect_column_values_to_be_between": between}]
    (project / "models" / "flights.yaml").write_text(yaml.safe_dump(spec))
    first = run(project, "--to", "2013-02")
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert lines[:2] == [
        "flights: what became of the data",
        "partition  read  set aside  published  data",
    ]
    count = bad.num_rows
    assert lines[3].split() == ["2013-02", f"{count}", "2", f"{count - 2}", "!"]
    assert not (project / "store" / "mlflow.db").exists()
    rest = run(project, "--json")
    assert [step["partition"] for step in json.loads(rest.stdout)["partitions"]] == ["2013-03"]
    assert run(project).stderr == "Nothing to do: 2013-01 to 2013-03 are published.\n"
