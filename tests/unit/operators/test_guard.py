from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.task_runner import _build_asset_profiles

from airflow_mlops import assets
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.domain.spec.monitor import AutoRollback, Monitor
from airflow_mlops.operators.guard import GuardOperator
from airflow_mlops.stages.promote import promote
from airflow_mlops.stores.registry import registry
from contexts import Run, deploy
from history import MODEL, History

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

CHAMPION = assets.champion(MODEL)
OTHER = Asset("other")
REVERT = Monitor(alias_guard="revert")


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    # That the target is loaded in a fresh process is tested with promotions.
    blessed = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="in another test")
    monkeypatch.setattr(promote, "_blessed", lambda *_: blessed)
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.publish("2013-01")
        history.crown(history.train(history.publish("2013-02")), "2013-02")
        yield history


def guard(run: Run, policy: Monitor | None = None, **changes: Any) -> tuple[GuardReport, list[str]]:
    """Execute the operator, and return its report and the assets that Airflow would send events of."""
    arguments: dict[str, Any] = {"target": "late", "task": "classification", "metric": "roc_auc"}
    task = GuardOperator(
        task_id="guard", model=MODEL, policy=policy, outlets=[CHAMPION, OTHER], **arguments | changes
    )
    report = GuardReport.from_dict(run.execute_task(task))
    assert run.stated == [Statement.of(report)]
    sent = _build_asset_profiles(task.outlets)
    return report, [str(profile.name) for profile in sent]


def blind(history: History) -> str:
    """Register a version that does not know what makes flights late."""
    trained = history.train(history.publish("2013-02"), features=Features(numeric=("distance",)))
    return trained.version


def test_a_champion_in_its_place_passes_and_sends_no_event(history: History) -> None:
    run = Run(f"{MODEL}.monitor", "2013-02")
    report, sent = guard(run)
    assert (report.alias.verdict, report.restored, report.partition) == (Verdict.PASS, None, "2013-02")
    assert sent == ["other"]
    assert len(run.outlet_events) == 0
    assert run.pushed == {}


def test_an_alias_that_was_moved_by_hand_is_reported_without_an_event(history: History) -> None:
    registry.set_champion(history.client, MODEL, blind(history))
    report, sent = guard(Run(f"{MODEL}.monitor", "2013-02"))
    assert (report.alias.verdict, sent) == (Verdict.FAIL, ["other"])


def test_an_alias_that_is_moved_back_sends_an_event_and_a_second_try_the_same(history: History) -> None:
    registry.set_champion(history.client, MODEL, blind(history))
    for _ in range(2):
        run = Run(f"{MODEL}.monitor", "2013-02")
        report, sent = guard(run, REVERT)
        assert report.restored is not None
        assert (report.restored.action, report.restored.key) == (
            Action.RESTORED,
            "flights.monitor/run-1/guard",
        )
        assert sent == ["flights/model", "other"]
        decision = report.restored.to_dict()
        assert (run.facts(CHAMPION), run.pushed) == ({"decision": decision}, {"decision": decision})
    assert registry.champion_version(history.client, MODEL) == "1"


def test_a_new_champion_that_does_worse_is_taken_back(history: History) -> None:
    trained = history.train(history.publish("2013-02"), features=Features(numeric=("distance",)))
    history.crown(trained, "2013-02")
    history.publish("2013-03")
    report, sent = guard(Run(f"{MODEL}.monitor", "2013-03"), Monitor(rollback=AutoRollback()))
    assert (report.alias.verdict, report.probation.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert report.restored is not None
    assert (report.restored.action, report.restored.after) == (Action.ROLLED_BACK, "1")
    assert "flights/model" in sent
