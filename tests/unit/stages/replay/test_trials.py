from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.facts.replay import Step, point, summarise
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.replay import EVERY, Policy, around, built_in
from airflow_mlops.stages.replay import planning, replay, report, trials
from airflow_mlops.stages.replay.planning import ReplayPlan
from history import MODEL, History
from synthetic import FEATURES, LOGISTIC

pytestmark = pytest.mark.slow  # fits: seconds each

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
SPEC = ModelSpec(
    name=MODEL, task="classification", target="late", key=("flight",), event_time="departure", partition="month",
    source={"files": "/data/{partition}.csv"}, features=FEATURES, train={"candidates": [LOGISTIC]},
)  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ReplayPlan:
    history = History(tmp_path_factory.mktemp("trials"))
    for key in MONTHS:
        history.publish(key)
    return planning.make(SPEC, history.storage, history.folder / "work")


def policy(**shadow: Any) -> Policy:
    """A training in each partition, whose candidates all pass the gates and go on trial."""
    gates = {"versus_champion": None, "shadow": {"windows": 1, "min_rows": 50, **shadow}}
    spec = ModelSpec.from_dict({**around(SPEC), "gates": gates})
    return Policy("trial", built_in(EVERY, spec).spec)


def steps(plan: ReplayPlan, tried: Policy) -> list[Step]:
    return [replay.step(plan, tried, place) for place in range(len(MONTHS))]


def versions(step: Step) -> tuple[str | None, str | None]:
    """Return the versions that serve and that are on trial after a step."""
    return (
        step.champion.version if step.champion else None,
        step.challenger.version if step.challenger else None,
    )


def test_a_candidate_serves_once_its_trial_has_passed_and_not_before(
    plan: ReplayPlan, tmp_path: Path
) -> None:
    _, first, second, third = steps(plan, policy())
    # A first champion has no trial.
    assert first.decision.action is Action.PROMOTED
    champion, nobody = versions(first)
    assert nobody is None
    assert second.decision.action is Action.CHALLENGING
    challenger = second.decision.candidate
    assert versions(second) == (champion, challenger)
    assert (third.served.version if third.served else None) == champion
    assert third.trial is not None
    assert (third.trial.action, third.trial.before, third.trial.after) == (
        Action.PROMOTED,
        champion,
        challenger,
    )
    assert f"beside version {champion} since 2013-03" in third.trial.reason
    assert {"shadow.quality", "shadow.agreement"} <= {check.name for check in third.trial.checks}
    # And the next candidate goes on trial beside it.
    assert versions(third) == (challenger, third.decision.candidate)
    assert third.decision.before == challenger
    summary = summarise("trial", steps(plan, policy()), metric="roc_auc", floor={}, grain="month")
    assert (summary.retrainings, summary.promotions, summary.refused, summary.dropped) == (3, 2, 0, 0)
    points = [point(step, {}) for step in (second, third)]
    assert [each.promoted for each in points] == [False, True]
    assert not any(map(report._refused, points))


def test_a_trial_goes_on_until_it_has_its_windows(plan: ReplayPlan) -> None:
    *_, second, third = steps(plan, policy(windows=2))
    assert third.trial is None
    assert versions(third)[0] == versions(second)[0]


def test_a_challenger_that_fails_is_dropped_and_the_champion_stays(plan: ReplayPlan) -> None:
    _, first, second, third = steps(plan, policy(divergence=1e-9))
    assert third.trial is not None
    assert (third.trial.action, third.trial.candidate) == (Action.DROPPED, second.decision.candidate)
    assert "is dropped: 2013-04" in third.trial.reason
    assert versions(third)[0] == versions(first)[0]
    dropped = summarise(
        "trial", steps(plan, policy(divergence=1e-9)), metric="roc_auc", floor={}, grain="month"
    )
    assert (dropped.promotions, dropped.dropped) == (1, 1)


def test_a_challenger_is_dropped_if_the_champion_that_it_was_judged_against_is_gone(plan: ReplayPlan) -> None:
    tried = policy()
    before = steps(plan, tried)[:3]
    another = before[-1].challenger
    trial = trials.ended(plan, tried.spec, 3, another, before, replay.slug(tried))
    assert trial is not None
    assert trial.action is Action.DROPPED
    assert "the champion is version" in trial.reason
    assert trials.ended(plan, tried.spec, 3, None, before, replay.slug(tried)) is None
    assert trials.ended(plan, tried.spec, 0, another, [], replay.slug(tried)) is None
