from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.airflow import LocalAirflow, LocalAirflowError
from airflow_mlops.local.replay import STAGES, LocalReplay, error_text
from history import month


def answering(folder: Path, answers: dict[str, Any]) -> LocalReplay:
    """Replay January and February on an Airflow whose API answers so, by path."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v2/")
        return httpx.Response(200, json=answers.get(path, {"dag_runs": [], "backfills": []}))

    airflow = LocalAirflow(folder, folder)
    airflow._client = httpx.Client(base_url=airflow.url, transport=httpx.MockTransport(answer))
    return LocalReplay(airflow, "flights", month("2013-01"), month("2013-02"))


def runs(stage: str, **states: str) -> dict[str, Any]:
    """Answer with a run a month: ``runs("train", january="success")``."""
    keys = {"january": "2013-01", "february": "2013-02", "march": "2013-03"}
    found = [
        {
            "dag_id": f"flights.{stage}",
            "dag_run_id": f"{stage} {name}",
            "partition_key": keys[name],
            "state": state,
            "duration": 7.5,
        }
        for name, state in states.items()
    ]
    return {f"dags/flights.{stage}/dagRuns": {"dag_runs": found}}


def test_an_error_in_a_log_is_read_as_its_type_and_text() -> None:
    event = {
        "event": "Task failed with exception",
        "error_detail": [{"exc_type": "SourceMissing", "exc_value": "no file"}],
    }
    assert error_text(event) == "SourceMissing: no file"


@pytest.mark.parametrize("event", [{}, {"event": "fine"}, {"error_detail": None}, {"error_detail": []}])
def test_a_line_of_a_log_without_an_error_says_nothing(event: dict[str, Any]) -> None:
    assert error_text(event) == ""


def test_a_replay_has_ended_when_each_partition_was_decided_or_failed_on_its_way(tmp_path: Path) -> None:
    decided = runs("train", january="success")
    assert not answering(tmp_path, decided).ended()
    assert not answering(tmp_path, decided | runs("score", february="running")).ended()
    assert not answering(tmp_path, runs("train", january="success", february="running")).ended()
    failed = answering(tmp_path, decided | runs("score", february="failed"))
    assert failed.ended()
    assert [run.run_id for run in failed.failures()] == ["score february"]
    assert answering(tmp_path, runs("train", january="success", february="failed")).ended()


def test_runs_of_other_partitions_are_not_followed(tmp_path: Path) -> None:
    states = answering(tmp_path, runs("ingest", january="success", march="failed")).states()
    assert {key: {stage: run.state for stage, run in stages.items()} for key, stages in states.items()} == {
        "2013-01": {"ingest": "success"},
        "2013-02": {},
    }


def test_a_failed_run_tells_what_its_failed_tasks_said_last(tmp_path: Path) -> None:
    path = "dags/flights.ingest/dagRuns/ingest january/taskInstances"
    task = {"task_id": "validate", "try_number": 2, "map_index": -1}
    said = [
        {"error_detail": [{"exc_type": "ValidationFailed", "exc_value": name}]} for name in ("old", "new")
    ]
    replay = answering(
        tmp_path,
        runs("ingest", january="failed")
        | {
            path: {"task_instances": [task]},
            f"{path}/validate/logs/2": {"content": [*said, {"event": "end"}, "text"]},
        },
    )
    assert replay.errors(replay.failures()[0]) == ["flights.ingest › validate: ValidationFailed: new"]


def test_a_backfill_is_bounded_by_what_the_clocks_of_the_schedule_show(tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            sent.append(json.loads(request.content))
        dags = [{"dag_id": f"rides.{stage}"} for stage in STAGES]
        empty = {"importErrors": {"import_errors": []}, "dags": {"dags": dags}}
        path = request.url.path.removeprefix("/api/v2/")
        return httpx.Response(200, json=empty.get(path, {"dag_runs": [], "backfills": []}))

    airflow = LocalAirflow(tmp_path, tmp_path)
    airflow._client = httpx.Client(base_url=airflow.url, transport=httpx.MockTransport(answer))
    days = (Partition.parse(key, "day Europe/Berlin") for key in ("2024-10-26", "2024-10-27"))
    LocalReplay(airflow, "rides", *days).start()
    [backfill] = sent
    assert backfill["from_date"] == "2024-10-26T00:00:00+00:00"
    assert backfill["to_date"] == "2024-10-27T23:59:59+00:00"


def test_a_dag_file_that_does_not_import_is_told_with_its_error(tmp_path: Path) -> None:
    broken = {"filename": "flights.py", "stack_trace": "SyntaxError: invalid"}
    replay = answering(tmp_path, {"importErrors": {"import_errors": [broken]}})
    with pytest.raises(LocalAirflowError, match=r"flights\.py:\nSyntaxError: invalid"):
        replay.start()


def test_runs_from_before_the_replay_are_not_its_own(tmp_path: Path) -> None:
    dags = {"dags": [{"dag_id": f"flights.{stage}"} for stage in STAGES]}
    answers = runs("ingest", january="failed") | {"importErrors": {"import_errors": []}, "dags": dags}
    replay = answering(tmp_path, answers)
    replay.start()
    assert replay.failures() == []
    answers["dags/flights.ingest/dagRuns"]["dag_runs"][0]["dag_run_id"] = "a new one"
    assert [run.run_id for run in replay.failures()] == ["a new one"]
