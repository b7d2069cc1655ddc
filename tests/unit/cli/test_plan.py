from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from airflow_mlops.cli import plan as command
from airflow_mlops.cli.main import main
from airflow_mlops.domain.facts.preview import (
    ColumnChange,
    Effect,
    Outlook,
    Part,
    Preview,
    SpecChange,
    TaskChange,
)
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.preview import memory
from contexts import deploy
from history import History, rows_of

KEYS = ("2013-01", "2013-02")


def write(project: Path, **changes: object) -> None:
    spec: dict[str, Any] = {
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
    text = yaml.safe_dump(spec | changes, sort_keys=False)
    (project / "models" / "flights.yaml").write_text(f"# a comment\n{text}")


def run(project: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    program = "from airflow_mlops.cli.main import main; main()"
    storage = ["--storage", "store"]
    line = [sys.executable, "-c", program, name, "models/flights.yaml", *storage, *words]
    environment = os.environ | {"AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    return subprocess.run(line, cwd=project, env=environment, capture_output=True, text=True, check=False)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
@pytest.mark.thorough
def test_a_plan_changes_nothing_and_its_exit_code_says_what_would(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for key in KEYS:
        pq.write_table(rows_of(key), tmp_path / "data" / f"{key}.parquet")
    write(tmp_path)
    new = run(tmp_path, "plan")
    assert new.returncode == command.CHANGES, new.stderr
    assert new.stdout.startswith("flights is new.\n")
    assert not (tmp_path / "store").exists()
    assert run(tmp_path, "run").returncode == 0
    before = digest(tmp_path)
    same = run(tmp_path, "plan")
    assert same.returncode == 0, same.stderr
    assert same.stdout.startswith("Nothing changes for flights; 2013-03 does not train.\n")
    assert digest(tmp_path) == before
    write(tmp_path, gates={"floor": {"roc_auc": 0.7}})
    before = digest(tmp_path)
    changed = run(tmp_path, "plan", "--json")
    assert changed.returncode == command.CHANGES, changed.stderr
    document = json.loads(changed.stdout)
    assert document["changes"] == [{"place": "gates.floor.roc_auc", "before": None, "after": 0.7}]
    assert {"dag": "flights.train", "task": "evaluate", "how": "changed", "settings": ["gates"]} in document[
        "tasks"
    ]
    assert document["outlook"] == "changes"
    assert digest(tmp_path) == before


def test_a_spec_is_compared_with_the_one_that_decided_and_with_a_file(
    tmp_path: Path, history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    file = tmp_path / "models" / "flights.yaml"
    spec = ModelSpec.load(file)
    for key in KEYS:
        history.publish(key)
    unknown = code_of("plan", str(file), "--no-data")
    assert unknown == command.CHANGES
    assert capsys.readouterr().out.startswith("What changes for flights is not known; 2013-02 trains.\n")
    memory.remember(history.uri(memory.TABLE), spec, "2013-01")
    before = digest(tmp_path)
    assert code_of("plan", str(file)) == 0
    out = capsys.readouterr().out
    assert out.startswith("Nothing changes for flights; 2013-02 trains.\n")
    assert "? How long a training takes is not known, because" in " ".join(out.split())
    write(tmp_path, monitor={"staleness": 9}, partition="day")
    assert code_of("plan", str(file), "--json") == command.BREAKS
    document = json.loads(capsys.readouterr().out)
    assert document["outlook"] == "breaks"
    assert {change["place"] for change in document["changes"]} == {"partition", "monitor.staleness"}
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text())
    assert code_of("plan", str(file), "--against", str(other), "--json") == command.BREAKS
    document = json.loads(capsys.readouterr().out)
    assert (document["changes"], document["tasks"], document["against"]) == ([], [], str(other))
    write(tmp_path)
    other.unlink()
    assert digest(tmp_path) == before


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch)


def code_of(*words: str) -> object:
    try:
        main(words)
    except SystemExit as ended:
        return ended.code
    return 0


def test_a_plan_has_room_in_eighty_columns_and_cuts_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Preview(
        model="flights",
        against="the spec in force since 2013-01",
        compared=True,
        changes=(
            SpecChange(place="features.numeric", after="rain"),
            SpecChange(place="gates.floor.roc_auc", before=0.7, after=0.8),
            SpecChange(place="alerts.email", before="b@example.com"),
        ),
        tasks=(
            TaskChange(dag="flights.train", task="train", how="changed", settings=("features",)),
            TaskChange(dag="flights.train", task="evaluate", how="changed", settings=("gates",)),
            TaskChange(dag="flights.train", task="approve", how="added"),
            TaskChange(dag="flights.ingest", how="changed", settings=("schedule",)),
        ),
        columns=(ColumnChange(table="data", column="rain", after="double"),),
        trains_at="2013-04",
        trains=True,
        effects=(
            Effect(
                part=Part.DATA,
                outlook=Outlook.BREAKS,
                text="Partitions like 2013-03 would be refused: no rain.",
            ),
            Effect(
                part=Part.CHAMPION, outlook=Outlook.SAME, text="Champion 1 can be loaded, " + "and so on " * 9
            ),
        ),
    )
    command._print(Console(width=80, no_color=True, force_terminal=False), outcome)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:13] == [
        "3 things change for flights; 1 thing would stop working; 2013-04 trains.",
        "Compared with the spec in force since 2013-01.",
        "",
        "Spec",
        "  + features.numeric: rain",
        "  ~ gates.floor.roc_auc: 0.7 → 0.8",
        "  − alerts.email: b@example.com",
        "",
        "DAGs and tasks",
        "  ~ flights.train: train (features), evaluate (gates)",
        "  + flights.train: approve",
        "  ~ flights.ingest: the DAG (schedule)",
        "",
    ]
    assert max(map(len, lines)) <= 80
    assert lines[-2:] == [
        "  ✓ Champion 1 can be loaded, and so on and so on and so on and so on and so on",
        "    and so on and so on and so on and so on",
    ]


def test_a_spec_that_is_wrong_is_no_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(tmp_path / "none.yaml"), "--tracking-uri", "sqlite:////x.db"])
    assert str(ended.value.code).startswith("--tracking-uri needs --storage")
    assert capsys.readouterr().out == ""
