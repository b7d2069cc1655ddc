from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.task_runner import _build_asset_profiles

from airflow_mlops import assets
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.scoring import ChallengeReport
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.spec.gates import Shadow
from airflow_mlops.domain.spec.score import Score
from airflow_mlops.operators.promote import PromoteOperator
from airflow_mlops.operators.score import ScoreOperator
from airflow_mlops.operators.shadow import ShadowOperator
from airflow_mlops.stages.promote import promote
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.registry.registry import CHALLENGER
from contexts import Run, deploy
from history import MODEL, STIFF, History
from registry_builders import make_evaluation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # real processes, or fits: seconds each

CHAMPION = assets.champion(MODEL)
ONCE = Shadow(windows=1)


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    # That the candidate is loaded in a fresh process is tested with promotions.
    blessed = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="in another test")
    monkeypatch.setattr(promote, "_blessed", lambda *_: blessed)
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.publish("2013-01")
        yield history


def challenge(history: History) -> None:
    """Let a candidate pass its gates beside a champion."""
    february = history.publish("2013-02")
    good = history.train(february)
    history.crown(good, "2013-01")
    other = history.train(february, candidate=STIFF)
    run = Run(f"{MODEL}.train", "2013-02")
    evaluation = make_evaluation(other, good, partition="2013-02").to_dict()
    # The champion has not moved, so that its asset must have no event.
    with pytest.raises(Exception, match="version 2 predicts beside the champion until 1 clean window"):
        run.execute(PromoteOperator, "promote", evaluation=evaluation, shadow=ONCE, outlets=[CHAMPION])
    assert run.pushed["decision"]["action"] == Action.CHALLENGING


def score(partition: str) -> None:
    Run(f"{MODEL}.score", partition).execute(
        ScoreOperator, model=MODEL, task="classification", score=Score(shadow=True)
    )


def shadow(run: Run, policy: Shadow | None) -> tuple[ChallengeReport, list[str]]:
    """Execute the operator, and return its report and the assets that Airflow would send events of."""
    task = ShadowOperator(
        task_id="shadow", model=MODEL, target="late", task="classification", metric="roc_auc", policy=policy,
        outlets=[CHAMPION, Asset("other")],
    )  # fmt: skip
    report = ChallengeReport.from_dict(run.execute_task(task))
    assert run.stated == [Statement.of(report)]
    return report, [str(profile.name) for profile in _build_asset_profiles(task.outlets)]


def test_a_challenger_is_recorded_without_an_event_and_promoted_with_one(history: History) -> None:
    challenge(history)
    history.publish("2013-03")
    score("2013-03")
    run = Run(f"{MODEL}.monitor", "2013-03")
    report, sent = shadow(run, None)
    assert (report.challenger, report.moved, sent) == ("2", None, ["other"])
    assert run.pushed == {}
    report, sent = shadow(run, ONCE)
    assert report.moved is not None
    assert (report.moved.action, report.moved.key) == (Action.PROMOTED, "flights.monitor/run-1/shadow")
    assert sent == ["flights/model", "other"]
    decision = report.moved.to_dict()
    assert (run.facts(CHAMPION), run.pushed) == ({"decision": decision}, {"decision": decision})
    assert registry.champion_version(history.client, MODEL) == "2"
    told = history.client.get_model_version(MODEL, "2").description
    assert told.startswith("✓ promoted at 2013-03: 1 clean window in a row of 1")
    assert "Model card" in told


def test_a_challenger_that_is_dropped_is_pushed_without_an_event(history: History) -> None:
    challenge(history)
    history.publish("2013-03")
    history.client.delete_registered_model_alias(MODEL, CHALLENGER)
    run = Run(f"{MODEL}.monitor", "2013-03")
    report, sent = shadow(run, ONCE)
    assert report.moved is not None
    assert (report.moved.action, sent) == (Action.DROPPED, ["other"])
    assert run.pushed["decision"]["action"] == Action.DROPPED
