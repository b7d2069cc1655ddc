from __future__ import annotations

from typing import Any

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.facts.scoring import WINDOWS
from airflow_mlops.domain.facts.tally import TrainingTally, asks, tally


def check(name: str, verdict: str = "FAIL") -> Check:
    return Check(name=name, verdict=Verdict(verdict), expected="e", reason="r")


def decision(action: Action, *checks: Check, **facts: Any) -> PromotionDecision:
    return PromotionDecision(
        model="flights", partition="2013-01", action=action, before=None, after=None, reason="r", checks=checks, **facts
    )  # fmt: skip


def test_what_was_asked_for_was_held_back_or_trained_and_then_refused_or_promoted() -> None:
    decisions = [
        decision(Action.KEPT, check("retrain.drift", "PASS"), check("retrain.incident", "PASS")),
        decision(Action.KEPT, check("retrain.drift"), check("retrain.incident")),
        decision(Action.KEPT, check("retrain.every"), check("retrain.mode", "INCONCLUSIVE")),
        decision(Action.REFUSED, check("floor.roc_auc")),
        decision(Action.FAILED),
        decision(Action.CHALLENGING, check("floor.roc_auc", "PASS")),
        decision(Action.PROMOTED),
        # Of a trial that began with a training before.
        decision(Action.PROMOTED, check(WINDOWS, "PASS")),
    ]
    counted = tally(decisions)
    assert counted == TrainingTally(asked=6, held=2, trained=4, refused=2, promoted=1)
    assert str(counted) == "asked 6, held back 2, trained 4, refused 2, promoted 1"


def test_what_holds_back_does_not_ask() -> None:
    assert not asks([check("retrain.cooldown"), check("retrain.answer"), check("drift")])
    assert asks([check("retrain.growth")])


def test_a_candidate_that_is_judged_again_asks_for_no_training_and_may_be_promoted_later() -> None:
    assert not asks([check("retrain.again"), check("retrain.drift", "PASS")])
    again = check("again", "PASS")
    decisions = [
        decision(Action.REFUSED, check("versus_champion.roc_auc", "INCONCLUSIVE")),
        decision(Action.REFUSED, check("versus_champion.roc_auc", "INCONCLUSIVE"), again),
        decision(Action.PROMOTED, again),
    ]
    assert tally(decisions) == TrainingTally(asked=1, held=0, trained=1, refused=1, promoted=1)
