from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.operators.performance import IngestLabelsOperator, PerformanceOperator
from airflow_mlops.operators.score import ScoreOperator
from airflow_mlops.stages.performance import judge
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.tables import tables
from contexts import Run, deploy
from history import MODEL, History, rows_of

SOURCE = PythonSource(lambda partition: rows_of(partition.key).select(["flight", "departure", "late"]))


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def ingest(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run.execute(
        IngestLabelsOperator, model=MODEL, source=SOURCE, key=["flight"], event_time="departure", target="late",
        task="classification", grain="month",
    )  # fmt: skip
    return found


def test_labels_of_a_source_are_brought_in_once_and_judge_what_was_served(history: History) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    history.publish("2013-03")
    run = Run(partition="2013-03")
    run.execute(ScoreOperator, model=MODEL, task="classification")
    settings: dict[str, Any] = {
        "model": MODEL,
        "target": "late",
        "task": "classification",
        "metric": "roc_auc",
    }
    before = run.execute(PerformanceOperator, labels=True, **settings)
    assert Check.from_dict(before["check"]).n == 0
    count = rows_of("2013-03").num_rows
    assert ingest(run)["new"] == count
    assert ingest(run)["new"] == 0
    after = run.execute(PerformanceOperator, labels=True, **settings)
    assert Check.from_dict(after["check"]).n == count
    others = {each["name"]: Check.from_dict(each) for each in after["others"]}
    assert {"labels", "baseline", "estimate", "estimate.error", "volume", "feedback"} <= others.keys()
    assert others["labels"].verdict is Verdict.PASS
    assert [each.labelled for each in judge.history(history.uri("performance"))] == [count]


def test_without_a_champion_nothing_is_judged(history: History) -> None:
    history.publish("2013-01")
    found = Run(partition="2013-01").execute(
        PerformanceOperator, model=MODEL, target="late", task="classification", metric="roc_auc"
    )
    assert (found["check"]["verdict"], found["metrics"], found["others"]) == ("INCONCLUSIVE", {}, [])
    assert not tables.exists(history.uri("performance"))
