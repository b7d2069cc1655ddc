from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from airflow_mlops.assets import EXTRA
from airflow_mlops.domain.checks import Check, Outcome, Severity, Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.validation import ExpectationResult, ValidationReport
from airflow_mlops.local import summary
from airflow_mlops.local.airflow import LocalAirflow
from airflow_mlops.stages.monitor import health
from history import MODEL, History, month


def make_airflow(folder: Path, *events: dict[str, Any]) -> LocalAirflow:
    """An Airflow whose API answers with these events of assets."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"asset_events": list(events)})

    airflow = LocalAirflow(folder, folder)
    airflow._client = httpx.Client(base_url=airflow.url, transport=httpx.MockTransport(answer))
    return airflow


def make_event(key: str, asset: str = f"{MODEL}/data", reason: str = "4 checks passed") -> dict[str, Any]:
    rows = ExpectationResult(
        expectation="rows", severity=Severity.BLOCK, outcome=Outcome.PASS, expected="at least 1", observed="7"
    )
    report = ValidationReport(
        dataset=MODEL, partition=key, verdict=Verdict.PASS, results=(rows,), rows=7, reason=reason
    )
    return {"name": asset, "extra": {EXTRA: {"validation": report.to_dict()}}}


def test_reports_are_those_of_the_models_own_data_and_the_last_of_each_partition(tmp_path: Path) -> None:
    airflow = make_airflow(
        tmp_path,
        make_event("2013-01", reason="first"),
        make_event("2013-01", reason="second"),
        make_event("2013-02", asset="parcels/data"),
        {"name": f"{MODEL}/data", "extra": {}},
    )
    found = summary.validations(airflow, MODEL)
    assert {key: report["reason"] for key, report in found.items()} == {"2013-01": "second"}


def test_each_partition_is_told_with_what_was_found_and_decided(tmp_path: Path) -> None:
    history = History(tmp_path)
    rows = history.publish("2013-01").rows
    drift = Check(name="drift", verdict=Verdict.FAIL, expected="calm", reason="a [storm]")
    report = health.health(
        model=MODEL, dataset=history.publish("2013-01"), champion=None, drift=drift, columns=(),
        performance=drift, metrics={"roc_auc": 0.7125}, staleness=None,
    )  # fmt: skip
    health.record(history.uri("monitoring"), report)
    history.decide("2013-01", Action.REFUSED, before="1", after="1", reason="no better")
    console = Console(width=200)
    months = [month("2013-01"), month("2013-02")]
    page = summary.table(make_airflow(tmp_path, make_event("2013-01")), tmp_path / "storage", MODEL, months)
    with console.capture() as captured:
        console.print(page)
    said = captured.get()
    for part in (
        "2013-01",
        str(rows),
        "4 checks passed",
        "a [storm]",
        "0.71",
        "refused",
        "no better",
        "1 → 1",
    ):
        assert part in said, part
    assert "2013-02" in said
