from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import config
from airflow_mlops.cli import replay
from history import MODEL, History

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

SPEC = """
name: flights
task: classification
target: late
key: [flight]
event_time: departure
partition: month
source: {files: "/data/{partition}.csv"}
features: {numeric: [distance, wind], categorical: [carrier, origin]}
train: {candidates: [sklearn.linear_model.LogisticRegression]}
monitor: {drift: {min_rows: 100}, performance: {floor: {roc_auc: 0.6}}}
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    found = History(tmp_path)
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", found.storage)
    config.storage.cache_clear()
    (tmp_path / "dags" / "models").mkdir(parents=True)
    (tmp_path / "dags" / "models" / f"{MODEL}.yaml").write_text(SPEC)
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(tmp_path / "dags"))
    yield found
    config.storage.cache_clear()


def mlops(model: str = MODEL, **options: Any) -> None:
    given = {
        "policy": [],
        "without": [],
        "first": None,
        "last": None,
        "jobs": 1,
        "output": None,
        "quiet": None,
    }
    replay.replay(Namespace(model=model, **given | options))


def test_policies_are_replayed_in_processes_and_printed_and_written(
    store: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("2013-01", "2013-02", "2013-03"):
        store.publish(key)
    (tmp_path / "patient.yaml").write_text("retrain: {when: {drift: 2 of 3}, cooldown: 2}")
    output = tmp_path / "out"
    mlops(
        policy=[str(tmp_path / "patient.yaml")], without=["every_partition", "oracle", "current"], jobs=2,
        output=str(output), quiet="all",
    )  # fmt: skip
    out = capsys.readouterr().out
    did, cried, came, *_ = out.split("policy ")[1:]
    rows = {line.split("|")[0].strip(): line for line in did.splitlines() if "|" in line}
    assert [cell.strip() for cell in rows["patient"].split("|")[1:]] == ["2", "1", "1 in 3", "0", "1"]
    assert "never" in cried
    rows = {line.split("|")[0].strip(): line for line in came.splitlines() if "|" in line}
    assert "0 of 1" in rows["never"]
    assert max(len(line) for line in out.splitlines() if "|" in line) <= 80
    assert "cried in quiet partitions" in out
    written = json.loads((output / "replay.json").read_text())
    assert list(written["points"]) == ["patient", "never"]
    assert (output / "replay.png").exists()


def test_of_a_policy_that_promoted_nothing_each_refusal_is_told(
    store: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("2013-01", "2013-02", "2013-03"):
        store.publish(key)
    (tmp_path / "strict.yaml").write_text("gates: {floor: {roc_auc: 0.999}}")
    mlops(
        policy=[str(tmp_path / "strict.yaml")], without=["every_partition", "oracle", "current", "never"],
        output=str(tmp_path / "out"),
    )  # fmt: skip
    out = capsys.readouterr().out
    assert "floor.roc_auc" in out.partition("strict: nothing was promoted.")[0]
    refusals = [line for line in out.splitlines() if line.startswith("  2013-0")]
    assert refusals
    assert all("floor.roc_auc: 0." in line and "is not >= 0.999" in line for line in refusals)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": "trains"}, "There is no spec trains"),
        ({"without": ["nevr"]}, "did you mean 'never'"),
        ({"without": ["current", "never", "every_partition"]}, "nothing is left to replay"),
        ({"policy": ["missing.yaml"]}, "missing.yaml"),
        ({"jobs": 0}, "at least 1"),
        ({"quiet": "2013-01"}, "first..last"),
        ({"last": "2012-01"}, "No partition of 'flights'"),
    ],
)
def test_what_cannot_be_replayed_is_told_in_a_line(
    store: History, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    store.publish("2013-01")
    with pytest.raises(SystemExit, match=told):
        mlops(output=str(tmp_path / "out"), **options)
    assert not (tmp_path / "out" / "replay.json").exists()


def test_a_database_of_the_replay_that_is_damaged_is_told_in_a_line(store: History, tmp_path: Path) -> None:
    from airflow_mlops import __version__

    store.publish("2013-01")
    database = tmp_path / "out" / f"work-{__version__}" / "mlflow.db"
    database.parent.mkdir(parents=True)
    database.write_text("no database")
    with pytest.raises(SystemExit, match="own MLflow failed: .*not a database.* begin anew"):
        mlops(output=str(tmp_path / "out"))
