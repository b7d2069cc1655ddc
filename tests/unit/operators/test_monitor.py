from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import assets
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.drift import DriftReport
from airflow_mlops.domain.facts.results import HealthReport
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.spec.model import DriftPolicy, PerformancePolicy
from airflow_mlops.operators.drift import DriftOperator
from airflow_mlops.operators.monitor import HealthOperator
from airflow_mlops.operators.performance import PerformanceOperator
from airflow_mlops.operators.score import ScoreOperator
from airflow_mlops.stages.monitor import checks
from airflow_mlops.stages.monitor import health as monitor
from airflow_mlops.stores.tables import tables
from contexts import Run, deploy
from history import MODEL, History, rows_of, shifted

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

HEALTH = assets.health(MODEL)


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def crown(history: History) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")


def drift(run: Run, **changes: Any) -> Any:
    policy = DriftPolicy(**{"min_rows": 100, "threshold": 0.25, **changes})
    report = run.execute(DriftOperator, model=MODEL, policy=policy)
    assert run.stated == [Statement.of(DriftReport.from_dict(report), **run.pushed)]
    return report


def performance(run: Run, **changes: Any) -> Any:
    return run.execute(
        PerformanceOperator, model=MODEL, target="late", task="classification", metric="roc_auc", **changes
    )


def health(run: Run, drift: Any, performance: Any, **changes: Any) -> HealthReport:
    report = run.execute(
        HealthOperator, model=MODEL, drift=drift, performance=performance, outlets=[HEALTH], **changes
    )
    assert run.facts(HEALTH)["health"] == report
    assert run.stated == [Statement.of(HealthReport.from_dict(report))]
    return HealthReport.from_dict(report)


def test_without_a_champion_everything_is_inconclusive_and_is_recorded_all_the_same(history: History) -> None:
    history.publish("2013-01")
    run = Run(partition="2013-01")
    drifted, performed = drift(run), performance(run)
    assert run.pushed == {}
    report = health(run, drifted, performed)
    assert (report.verdict, report.champion) == (Verdict.INCONCLUSIVE, None)
    assert run.pushed == {}
    assert monitor.history(history.uri("monitoring"), "2013-01") == [report]


def test_a_storm_is_found_and_its_page_is_linked_from_the_task(history: History) -> None:
    crown(history)
    history.publish("2013-03", shifted("2013-03"))
    run = Run(partition="2013-03")
    found = drift(run)
    columns = {check["name"]: Check.from_dict(check).verdict for check in found["columns"]}
    assert columns["drift.wind"] is Verdict.FAIL
    assert columns["drift.distance"] is Verdict.PASS
    assert run.pushed == {"report": "flights/2013-03/drift.html", "picture": "flights/2013-03/drift.png"}
    assert all((history.folder / "storage/reports" / name).exists() for name in run.pushed.values())


def test_a_storm_that_has_done_no_harm_is_told_once(history: History) -> None:
    crown(history)
    history.publish("2013-03", shifted("2013-03"))
    march = Run(partition="2013-03")
    march.execute(ScoreOperator, model=MODEL, task="classification")
    assert (
        health(march, drift(march, reference="seen", columns=0.2), performance(march)).drift.verdict
        is Verdict.FAIL
    )
    history.publish("2013-04", shifted("2013-04"))
    april = Run(partition="2013-04")
    verdicts = {
        reference: Check.from_dict(drift(april, reference=reference, columns=0.2)["overall"]).verdict
        for reference in ("training", "seen")
    }
    assert verdicts == {"training": Verdict.FAIL, "seen": Verdict.PASS}


def test_performance_is_that_of_the_predictions_that_were_served(history: History) -> None:
    crown(history)
    history.publish("2013-03")
    run = Run(partition="2013-03")
    assert Check.from_dict(performance(run)["check"]).n == 0
    run.execute(ScoreOperator, model=MODEL, task="classification")
    floor = PerformancePolicy(floor={"roc_auc": 0.999})
    found = performance(run, policy=floor)
    check = Check.from_dict(found["check"])
    assert (check.n, check.verdict) == (rows_of("2013-03").num_rows, Verdict.FAIL)
    assert check.observed == pytest.approx(found["metrics"]["roc_auc"])
    week = Check.from_dict(performance(run, delay=timedelta(days=7))["check"])
    assert week.n is not None
    assert 100 < week.n < check.n


def test_health_joins_the_measures_and_replaces_what_was_recorded_of_the_partition(history: History) -> None:
    crown(history)
    history.publish("2013-03")
    run = Run(partition="2013-03")
    run.execute(ScoreOperator, model=MODEL, task="classification")
    drifted, performed = drift(run), performance(run)
    stale = health(run, drifted, performed, staleness=1)
    assert (stale.verdict, stale.staleness.observed) == (Verdict.FAIL, 2)
    fresh = health(run, drifted, performed)
    assert stale.metrics == fresh.metrics == performed["metrics"]
    assert monitor.history(history.uri("monitoring"), "2013-03") == [fresh]


def test_every_check_becomes_a_row_and_a_metric(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.publish("2013-01")
    sent: dict[str, float] = {}
    monkeypatch.setattr("airflow.sdk.observability.stats.gauge", sent.__setitem__)
    run = Run(partition="2013-01")
    drifted, performed = drift(run), performance(run)
    concept = Check(name="concept", verdict=Verdict.FAIL, expected="e", observed=0.5, reason="r")
    for _ in range(2):
        health(
            run,
            drifted,
            performed | {"others": [concept.to_dict()]},
            shadow={"checks": [concept.model_copy(update={"name": "shadow.quality"}).to_dict()]},
        )
    rows = tables.read(history.uri("checks")).to_pylist()
    assert [row["check"] for row in rows] == [
        "health",
        "drift",
        "performance",
        "staleness",
        "concept",
        "shadow.quality",
    ]
    assert checks.verdict(history.uri("checks"), "2013-01", "concept") is Verdict.FAIL
    assert sent["mlops.flights.concept"] == sent["mlops.flights.shadow.quality"] == 0.5
    assert sent["mlops.flights.drift.verdict"] == -1
