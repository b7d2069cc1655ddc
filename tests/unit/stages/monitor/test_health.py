from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import DatasetVersion, HealthReport, ModelRef
from airflow_mlops.domain.policies import monitoring
from airflow_mlops.stages.monitor import health
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables
from history import MODEL, History


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@pytest.fixture
def champion(history: History) -> ModelRef:
    """A version that was trained on January and promoted in February."""
    history.publish("2013-01")
    return history.crown(history.train(history.publish("2013-02")), "2013-02")


CHAMPION = ModelRef(model=MODEL, version="1", digest="a" * 64, run_id="r", trained_through="2013-01")


def make_check(verdict: Verdict, reason: str = "because") -> Check:
    return Check(name="measure", verdict=verdict, expected="something", reason=reason)


def make_report(key: str = "2013-03", **changes: Any) -> HealthReport:
    dataset = DatasetVersion(
        name=MODEL, uri="file:///nowhere", version=1, grain="month", partition=key, rows=1, digest="d", columns={},
        key=("flight",), event_time="departure",
    )  # fmt: skip
    settings: dict[str, Any] = {
        "model": MODEL,
        "dataset": dataset,
        "champion": CHAMPION,
        "drift": make_check(Verdict.PASS),
        "columns": (),
        "performance": make_check(Verdict.PASS),
        "metrics": {"roc_auc": 0.75},
        "staleness": None,
    }
    return health.health(**settings | changes)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.PASS),
        ({"drift": make_check(Verdict.FAIL)}, Verdict.FAIL),
        ({"performance": make_check(Verdict.INCONCLUSIVE)}, Verdict.INCONCLUSIVE),
        (
            {"drift": make_check(Verdict.FAIL), "performance": make_check(Verdict.INCONCLUSIVE)},
            Verdict.FAIL,
        ),
        ({"staleness": 2}, Verdict.PASS),
        ({"staleness": 1}, Verdict.FAIL),
        ({"champion": None}, Verdict.INCONCLUSIVE),
    ],
)
def test_health_is_as_bad_as_the_worst_of_its_measures(changes: dict[str, Any], verdict: Verdict) -> None:
    assert make_report(**changes).verdict is verdict


def test_the_reason_of_health_names_every_measure() -> None:
    drifted, weak = make_check(Verdict.FAIL, "a storm"), make_check(Verdict.INCONCLUSIVE, "few labels")
    reason = make_report(drift=drifted, performance=weak).reason
    assert reason.startswith("a storm; few labels; 2 partitions since")


@pytest.mark.parametrize(
    ("champion", "key", "grain", "passed"),
    [
        (CHAMPION, "2013-01", "month", 0),
        (CHAMPION, "2014-01", "month", 12),
        (CHAMPION.model_copy(update={"trained_through": "2013-02-27"}), "2013-03-01", "day", 2),
        (CHAMPION.model_copy(update={"trained_through": None}), "2013-03", "month", None),
        (None, "2013-03", "month", None),
    ],
)
def test_age_is_counted_in_partitions(
    champion: ModelRef | None, key: str, grain: str, passed: int | None
) -> None:
    assert health.since_training(champion, key, grain) == passed


def test_without_a_champion_there_is_nothing_to_measure() -> None:
    check = monitoring.no_champion("drift")
    assert (check.name, check.verdict) == ("drift", Verdict.INCONCLUSIVE)


def test_history_is_read_back_newest_first_up_to_a_partition(history: History) -> None:
    uri = history.uri("monitoring")
    assert health.history(uri, "2013-03") == []
    reports = {key: make_report(key) for key in ("2013-02", "2013-04", "2013-01", "2013-03")}
    for report in reports.values():
        health.record(uri, report)
    assert health.history(uri, "2013-03") == [reports[key] for key in ("2013-03", "2013-02", "2013-01")]


def test_a_partition_that_is_measured_again_replaces_its_report(history: History) -> None:
    uri = history.uri("monitoring")
    for key in ("2013-01", "2013-02"):
        health.record(uri, make_report(key))
    anew = make_report("2013-01", drift=make_check(Verdict.FAIL), champion=None)
    health.record(uri, anew)
    assert health.history(uri, "2013-02") == [make_report("2013-02"), anew]
    rows = tables.read(uri, partition="2013-01").to_pylist()
    assert [(row["verdict"], row["drift"], row["model_version"]) for row in rows] == [("FAIL", "FAIL", None)]


def test_a_champion_is_described_by_what_the_registry_says(history: History, champion: ModelRef) -> None:
    assert champion.trained_through == "2013-01"
    assert registry.training(history.client, champion).dataset.partition == "2013-02"
