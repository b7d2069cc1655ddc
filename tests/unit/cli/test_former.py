from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from airflow_mlops.cli.former import former
from airflow_mlops.domain.spec.data import Expectation

SPEC = """
name: flights
task: classification
target: late
key: [id]
event_time: at
partition: month
source: {files: "/data/{partition}.parquet"}
transform: prepared_flights:prepare
validate: [{suite: suite.json}]
gates: {floor: {roc_auc: 0.7}}
"""
CODE = "def prepare(rows):\n    return rows\n"


def suite(bound: int) -> str:
    kwargs = {"column": "distance", "min_value": bound}
    return json.dumps({"expectations": [{"type": "expect_column_values_to_be_between", "kwargs": kwargs}]})


def git(folder: Path, *words: str) -> None:
    settings = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A spec in a repository, of which spec, suite and code were changed since."""
    models = tmp_path / "project" / "dags" / "models"
    models.mkdir(parents=True)
    (models / "flights.yaml").write_text(SPEC)
    (models / "suite.json").write_text(suite(0))
    (models.parent / "prepared_flights.py").write_text(CODE)
    (models.parent / "flights.parquet").write_text("large")
    project = models.parent.parent
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "first")
    (models / "flights.yaml").write_text(SPEC.replace("0.7", "0.8"))
    (models / "suite.json").write_text(suite(1))
    (models.parent / "prepared_flights.py").write_text(CODE.replace("return rows", "return rows[:1]"))
    return models / "flights.yaml"


def test_a_revision_has_its_own_suites_and_code(file: Path) -> None:
    with former("HEAD", file) as then, former(str(file), file) as now:
        assert then.label == "dags/models/flights.yaml at HEAD"
        assert then.spec is not None
        assert now.spec is not None
        assert (then.spec.gates.floor, now.spec.gates.floor) == ({"roc_auc": 0.7}, {"roc_auc": 0.8})
        bounds = [
            rule.args["min_value"]
            for spec in (then.spec, now.spec)
            for rule in spec.expectations
            if isinstance(rule, Expectation)
        ]
        assert bounds == [0, 1]
        assert then.code["transform"] != now.code["transform"]
        assert "@" in then.code["transform"]
        assert "@" in now.code["transform"]


def test_what_is_not_there_is_said(file: Path, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="there is neither such a file nor such a revision in"):
        former("nowhere", file).__enter__()
    new = file.with_name("new.yaml")
    new.write_text(SPEC)
    with pytest.raises(LookupError, match=r"new.yaml was not there then; it is new, or was renamed"):
        former("HEAD", new).__enter__()
    outside = tmp_path / "flights.yaml"
    outside.write_text(SPEC)
    with pytest.raises(LookupError, match="is in no repository of Git"):
        former("HEAD", outside).__enter__()
