from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.local import progress
from airflow_mlops.local.airflow import LocalAirflow, LocalAirflowError
from airflow_mlops.local.api import AirflowApi, ApiError
from airflow_mlops.local.catch_up import STAGES, CatchUp, error_text
from airflow_server import JUDGED, TOKEN, AirflowServer, serving
from history import MODEL, month
from notices import make_check, make_health, make_report

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

EMPTY: dict[str, Any] = {"dag_runs": [], "backfills": [], "dags": []}


def answering(folder: Path, answers: dict[str, Any], **changes: Any) -> CatchUp:
    """Replay January and February on an Airflow whose API answers so, by path."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v2/")
        return httpx.Response(200, json=answers.get(path, EMPTY))

    airflow = LocalAirflow(folder, folder)
    airflow._client = httpx.Client(base_url=airflow.url, transport=httpx.MockTransport(answer))
    return CatchUp(airflow, "flights", month("2013-01"), month("2013-02"), **changes)


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


def test_a_dag_file_that_does_not_import_is_told_with_its_error(tmp_path: Path) -> None:
    broken = {"filename": "flights.py", "stack_trace": "SyntaxError: invalid"}
    replay = answering(tmp_path, {"importErrors": {"import_errors": [broken]}})
    with pytest.raises(LocalAirflowError, match=r"flights\.py:\nSyntaxError: invalid"):
        replay.start()


def test_runs_from_before_a_catch_up_that_runs_all_again_are_not_its_own(tmp_path: Path) -> None:
    dags = {"dags": [{"dag_id": f"flights.{stage}", "is_paused": False} for stage in STAGES]}
    answers = runs("ingest", january="failed") | {"importErrors": {"import_errors": []}, "dags": dags}
    answers["backfills/dry_run"] = {"backfills": [{"partition_key": "2013-01"}]}
    catch_up = answering(tmp_path, answers, again=True)
    catch_up.start()
    assert catch_up.failures() == []
    answers["dags/flights.ingest/dagRuns"]["dag_runs"][0]["dag_run_id"] = "a new one"
    assert [run.run_id for run in catch_up.failures()] == ["a new one"]


def months(server: AirflowServer, first: str = "2013-01", last: str = "2013-03", **changes: Any) -> CatchUp:
    return CatchUp(AirflowApi(server.url, TOKEN), MODEL, month(first), month(last), **changes)


def through(catch_up: CatchUp) -> str:
    """Start, follow to the end, and return what was printed in a pipe."""
    console = Console(file=StringIO(), width=80)
    catch_up.start(patience=0)
    progress.follow(catch_up, console, interval=0)
    progress.summarize(catch_up, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_history_is_decided_in_order_before_what_the_schedule_starts() -> None:
    with serving(AirflowServer(scheduled="2013-04")) as server:
        said = through(months(server))
        server.go_on()
    assert [key for key, _ in server.decided] == ["2013-01", "2013-02", "2013-03", "2013-04"]
    # Whatever an event starts is unpaused before the event comes.
    assert server.unpaused == ["train", "monitor", "score", "ingest"]
    assert "2013-02 score success 1 s" in said
    assert re.search(r"2013-02 +1,234 +· .* – kept", said)
    assert max(map(len, said.splitlines())) <= 80


def test_what_was_decided_before_names_the_metric_by_what_was_judged(tmp_path: Path) -> None:
    """Where ``run`` has trained, the DAGs train nothing again, so no training names the metric."""
    answers = runs("monitor", january="success")
    quality = make_check("performance", observed=0.7111)
    health = make_health(Verdict.PASS, performance=quality, metrics={"log_loss": 0.5, "roc_auc": 0.7111})
    path = "dags/flights.monitor/dagRuns/monitor january/taskInstances/verdict/xcomEntries/return_value"
    console = Console(file=StringIO(), width=80)
    progress.summarize(answering(tmp_path, answers | {path: {"value": health.to_dict()}}), console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"^partition .* roc_auc ", said, re.MULTILINE)
    assert re.search(r"^2013-01 .* 0\.7111 ", said, re.MULTILINE)


def test_data_that_was_stopped_is_shown_with_its_reason(tmp_path: Path) -> None:
    report = make_report()
    path = "dags/flights.ingest/dagRuns/ingest january/taskInstances/validate/xcomEntries/validation"
    answers = runs("ingest", january="failed") | {path: {"value": report.to_dict()}}
    nothing = {"value": None}
    answers["dags/flights.ingest/dagRuns/ingest january/taskInstances/publish/xcomEntries/return_value"] = (
        nothing
    )
    answers["dags/flights.ingest/dagRuns/ingest january/taskInstances"] = {"task_instances": []}
    console = Console(file=StringIO(), width=80)
    assert not progress.summarize(answering(tmp_path, answers), console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"^2013-01 +· +✗ ", said, re.MULTILINE)
    assert "Data: " in said


def test_a_run_waits_behind_those_of_earlier_partitions_in_every_time_zone() -> None:
    with serving(AirflowServer()) as server:
        months(server).start(patience=0)
        posted = [run for run in server.runs if run["dag_run_id"].startswith("catch-up__")]
    assert [run["partition_key"] for run in posted] == ["2013-01", "2013-02", "2013-03"]
    assert posted[0]["run_after"] == "2013-01-31T10:00:00+00:00"


def test_what_would_be_decided_after_newer_partitions_is_refused_before_anything_is_started() -> None:
    with serving(AirflowServer()) as server:
        server.decide("2013-02")
        server.decide("2013-04")
        with pytest.raises(
            ApiError,
            match=r"2013-04 of flights has been decided already, and so a candidate of 2013-01, 2013-03 can no",
        ):
            months(server).start(patience=0)
        assert [request for request in server.requests if not request.startswith("GET")] == [
            "POST backfills/dry_run"
        ]


def test_what_is_newer_and_under_way_is_refused_too() -> None:
    with serving(AirflowServer()) as server:
        server.add("score", "2013-04", "running")
        with pytest.raises(ApiError, match=r"flights\.score of 2013-04 is under way"):
            months(server).start(patience=0)
        assert not server.unpaused


def test_for_the_record_each_past_partition_is_judged_once_and_without_moving_anything() -> None:
    with serving(AirflowServer()) as server:
        server.decide("2013-02", Action.PROMOTED, checks=(JUDGED,))
        server.decide("2013-04")
        through(months(server, record=True))
        assert server.decided[2:] == [
            ("2013-01", Action.KEPT), ("2013-03", Action.KEPT),
            ("2013-01", Action.RECORDED), ("2013-03", Action.RECORDED),
        ]  # fmt: skip
        said = through(months(server, record=True))
    assert len(server.decided) == 6
    assert "recorded" in said


def test_a_second_call_goes_on_where_the_first_has_stopped() -> None:
    with serving(AirflowServer(failing=("2013-02",))) as server:
        through(months(server, "2013-01", "2013-02"))
        assert [key for key, _ in server.decided] == ["2013-01"]
        # Its score was paused when the event came.
        server.add("ingest", "2013-03", "success")
        through(months(server))
    assert [key for key, _ in server.decided] == ["2013-01", "2013-02", "2013-03"]
    assert sum(run["dag_id"] == "flights.ingest" for run in server.runs) == 3
    # As a whole, since whoever repeats the command may have corrected the data.
    assert server.cleared == [("ingest", False)]


def test_dags_that_are_not_there_are_named() -> None:
    with serving(AirflowServer()) as server:
        catch_up = CatchUp(AirflowApi(server.url, TOKEN), "parcels", month("2013-01"), month("2013-01"))
        with pytest.raises(
            ApiError, match=r"parcels\.ingest, \.score, \.monitor and \.train: is the name right"
        ):
            catch_up.start(patience=0)


def test_a_span_that_the_schedule_does_not_have_is_refused() -> None:
    with serving(AirflowServer()) as server:
        server.answer = lambda *request: (  # type: ignore[method-assign]
            (200, {"backfills": []})
            if request[1] == "backfills/dry_run"
            else AirflowServer.answer(server, *request)
        )
        with pytest.raises(ApiError, match=r"flights\.ingest has no partition from 2013-01 to 2013-03"):
            months(server).start(patience=0)


def test_more_runs_than_fit_on_a_page_are_all_seen() -> None:
    with serving(AirflowServer()) as server:
        for number in range(210):
            server.add("train", "2014-01", "success", dag_run_id=f"manual {number}")
        server.decide("2013-01")
        catch_up = months(server, last="2013-01")
        assert {stage: run.state for stage, run in catch_up.states()["2013-01"].items()} == dict.fromkeys(
            STAGES, "success"
        )
