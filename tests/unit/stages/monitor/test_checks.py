from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import HealthReport, ModelRef
from airflow_mlops.stages.monitor import checks
from airflow_mlops.stores.tables import tables
from history import MODEL

CHAMPION = ModelRef(model=MODEL, version="3", digest="a" * 64, run_id="r", trained_through="2013-01")


def make_check(name: str, verdict: Verdict = Verdict.PASS, **facts: Any) -> Check:
    return Check(name=name, verdict=verdict, expected="e", reason="r", **facts)


def make_report(key: str = "2013-03", **changes: Any) -> HealthReport:
    facts: dict[str, Any] = {
        "model": MODEL,
        "partition": key,
        "champion": CHAMPION,
        "verdict": Verdict.FAIL,
        "drift": make_check("drift", Verdict.FAIL, observed=0.5),
        "columns": (make_check("drift.wind speed", Verdict.FAIL, observed=0.4, n=300),),
        "performance": make_check("performance", observed=0.7, baseline=0.75, interval=(0.65, 0.75)),
        "staleness": make_check("staleness", Verdict.INCONCLUSIVE),
        "others": (make_check("concept"), make_check("performance", observed=0.6, slice="origin=JFK")),
        "metrics": {"roc_auc": 0.7, "log_loss": None},
        "reason": "a storm",
    }
    return HealthReport(**facts | changes)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/checks"


def test_every_check_is_a_row_with_all_that_it_says(uri: str) -> None:
    checks.record(uri, make_report())
    rows = tables.read(uri).to_pylist()
    assert [(row["check"], row["slice"]) for row in rows] == [
        ("health", None), ("drift", None), ("drift.wind speed", None), ("performance", None), ("staleness", None),
        ("concept", None), ("performance", "origin=JFK"),
    ]  # fmt: skip
    assert rows[3] == {
        "model": MODEL, "partition": "2013-03", "model_version": "3", "check": "performance", "slice": None,
        "verdict": "PASS", "expected": "e", "observed": 0.7, "baseline": 0.75, "low": 0.65, "high": 0.75, "n": None,
        "reason": "r",
    }  # fmt: skip


def test_the_same_partition_again_replaces_its_rows_and_no_others(uri: str) -> None:
    for key in ("2013-02", "2013-03"):
        checks.record(uri, make_report(key))
    checks.record(uri, make_report("2013-02", champion=None, columns=(), others=()))
    rows = tables.read(uri).to_pylist()
    assert sum(row["partition"] == "2013-03" for row in rows) == 7
    assert [row["check"] for row in rows if row["partition"] == "2013-02"] == [
        "health",
        "drift",
        "performance",
        "staleness",
    ]


@pytest.mark.parametrize(
    ("partition", "name", "expected"),
    [
        ("2013-03", "drift", Verdict.FAIL),
        ("2013-03", "drift.wind speed", Verdict.FAIL),
        ("2013-03", "performance", Verdict.PASS),
        ("2013-03", "nothing", None),
        ("2013-04", "drift", None),
    ],
)
def test_a_verdict_is_found_by_partition_and_name(
    uri: str, partition: str, name: str, expected: Verdict | None
) -> None:
    assert checks.verdict(uri, partition, name) is None
    checks.record(uri, make_report())
    assert checks.verdict(uri, partition, name) is expected


def test_metrics_have_stable_names_that_every_backend_takes() -> None:
    assert checks.gauges(make_report()) == {
        "mlops.flights.health.verdict": 1,
        "mlops.flights.drift": 0.5,
        "mlops.flights.drift.verdict": 1,
        "mlops.flights.drift.wind_speed": 0.4,
        "mlops.flights.drift.wind_speed.verdict": 1,
        "mlops.flights.performance": 0.7,
        "mlops.flights.performance.verdict": 0,
        "mlops.flights.staleness.verdict": -1,
        "mlops.flights.concept.verdict": 0,
        "mlops.flights.metrics.roc_auc": 0.7,
    }
