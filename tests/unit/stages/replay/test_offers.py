from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.replay import Step
from airflow_mlops.domain.facts.results import Action, ModelRef
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.model import Gates, ModelSpec, Rescue, VersusChampion
from airflow_mlops.domain.spec.replay import CURRENT, built_in
from airflow_mlops.reporting import sentences
from airflow_mlops.stages.replay import planning, replay, stages
from airflow_mlops.stages.replay.planning import ReplayPlan
from history import MODEL, History, changed, month
from synthetic import FEATURES, LOGISTIC, make_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # fits

MONTHS = tuple(f"2013-0{number}" for number in range(1, 8))
ROWS = make_rows(2800, months=8)
SPEC = ModelSpec(
    name=MODEL, task="classification", target="late", key=("flight",), event_time="departure", partition="month",
    source={"files": "/data/{partition}.csv"}, features=FEATURES,
    train={"candidates": [LOGISTIC], "window": 1},
    gates={"versus_champion": {"rescue": {"fallback": ["constant"]}}},
    monitor={"performance": {"floor": {"roc_auc": 0.7}}},
    retrain={"when": {"performance": "1 of 1", "drift": None}, "again": 1, "cooldown": 0},
)  # fmt: skip


def flights(key: str) -> pa.Table:
    """Return a month: of the third and fourth all labels are a coin's, and after that what made flights late makes them punctual."""
    partition = month(key)
    times = ROWS["departure"]
    rows = ROWS.filter(pc.and_(pc.greater_equal(times, partition.start), pc.less(times, partition.end)))
    if key <= MONTHS[1]:
        return rows
    coins = pa.array(np.random.default_rng(3).random(rows.num_rows) < 0.5)
    return changed(rows, late=coins if key <= MONTHS[3] else pc.invert(rows["late"]))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ReplayPlan:
    made = History(tmp_path_factory.mktemp("replay"))
    for key in MONTHS:
        made.publish(key, flights(key))
    return planning.make(SPEC, made.storage, made.folder / "work")


@pytest.fixture(scope="module")
def steps(plan: ReplayPlan) -> list[Step]:
    policy = built_in(CURRENT, SPEC)
    return [replay.step(plan, policy, place) for place in range(len(MONTHS))]


def test_a_constant_stands_in_where_the_relation_collapses_until_a_model_is_the_better_bet(
    steps: list[Step],
) -> None:
    march, april, *_, july = steps[2:]
    promoted = march.decision
    assert (promoted.action, promoted.before, promoted.after) == (Action.PROMOTED, "1", "2")
    assert "rescue.fallback" in [check.name for check in promoted.checks]
    assert sentences.decided(promoted).startswith(
        "promoted version 2, a constant in place of a failing champion, "
    )
    # Nothing is to be learned from coins. The failure lasts, and so do trainings for it.
    assert april.champion is not None
    assert (april.champion.version, april.decision.action) == ("2", Action.REFUSED)
    assert len(april.trained) == 1
    assert "rescue" in [check.name for check in april.decision.checks]
    assert "the champion predicts the same of every row" in april.health.performance.reason
    assert july.champion is not None
    assert (july.champion.version, july.health.performance.verdict) == ("7", Verdict.PASS)


def test_a_constant_is_offered_where_the_champion_fails_and_the_policy_says_so(
    plan: ReplayPlan, steps: list[Step]
) -> None:
    assert steps[1].champion is not None
    fails = RetrainDecision(
        model=MODEL, partition=MONTHS[2], retrain=True, checks=(), dataset=plan.datasets[2], reason="r", failing="worthless",
    )  # fmt: skip

    def offered(
        retrain: RetrainDecision, spec: ModelSpec = SPEC, champion: ModelRef | None = steps[1].champion
    ) -> list[bool]:
        return [made.constant for made in stages.candidates(plan, 2, retrain, champion, spec)]

    assert offered(fails) == [True, False]
    assert offered(fails.model_copy(update={"failing": ""})) == [False]
    assert offered(fails, champion=None) == [False]
    silent = SPEC.model_copy(update={"gates": Gates(versus_champion=VersusChampion(rescue=Rescue()))})
    assert offered(fails, silent) == [False]
