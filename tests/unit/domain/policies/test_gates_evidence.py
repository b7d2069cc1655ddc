from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.approval import ApprovalOutcome
from airflow_mlops.domain.facts.evidence import AGAIN
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.facts.retraining import Situation, trained
from airflow_mlops.domain.policies import gates, gates_evidence
from airflow_mlops.domain.policies.gates import Comparison
from history import make_decision

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
BETTER, PERHAPS, WORSE = (0.01, 0.05), (-0.01, 0.05), (-0.05, -0.01)


def versus(gain: float, interval: tuple[float, float] | None, margin: float = 0.0) -> Check:
    problem = "" if interval else "4 days are too few"
    return gates.versus_champion(
        "roc_auc", Comparison(0.7 + gain, 0.7, interval, problem=problem), margin, 900
    )


def make_check(name: str, verdict: Verdict = PASS) -> Check:
    return Check(name=name, verdict=verdict, expected="e", reason="r")


def evidence(value: float, looks: int = 1, verdict: Verdict = INCONCLUSIVE) -> Check:
    return gates_evidence.evidence_check(value, looks, 80, "the Brier score", decided=verdict is PASS)


def refused(partition: str, *checks: Check, candidate: str = "5", **changes: Any) -> PromotionDecision:
    checks = checks or (versus(0.02, PERHAPS), evidence(3.0), make_check("blessing"))
    facts = {"before": "1", "after": "1", "candidate": candidate, "checks": checks}
    return make_decision(partition, Action.REFUSED, **(facts | changes))


@pytest.mark.parametrize(
    ("gain", "interval", "value", "first", "verdict", "words"),
    [
        (0.02, BETTER, 1.0, True, PASS, "lies above 0"),
        (0.02, BETTER, 20.0, False, INCONCLUSIVE, "which counts at the first look alone"),
        (0.02, PERHAPS, 20.0, False, INCONCLUSIVE, "it may be chance"),
        (0.02, PERHAPS, 80.0, False, PASS, "evidence has added up over 3 partitions"),
        (0.02, None, 80.0, False, PASS, "evidence has added up"),
        (-0.02, WORSE, 800.0, False, FAIL, "is below 0"),
        (0.0, PERHAPS, 800.0, False, INCONCLUSIVE, "it may be chance"),
    ],
)
def test_evidence_promotes_what_measures_better_itself(
    gain: float, interval: Any, value: float, first: bool, verdict: Verdict, words: str
) -> None:
    check = gates_evidence.add_up(versus(gain, interval), value, 3, 80, 0.0, first=first)
    assert check.verdict is verdict
    assert words in check.reason


def test_evidence_is_handed_on_with_its_estimand() -> None:
    check = evidence(12.0, 3)
    assert (check.name, check.verdict, check.observed, check.n) == ("evidence", INCONCLUSIVE, 12.0, 3)
    assert check.reason == (
        "12 of 80 needed, after 3 partitions: better so far in the Brier score, which says nothing of later partitions"
    )
    assert "not better so far" in evidence(0.5).reason
    assert evidence(90.0).verdict is PASS
    # Where another rule has decided it holds nobody back.
    assert (evidence(2.0, verdict=PASS).verdict, evidence(2.0, verdict=PASS).observed) == (PASS, 2.0)


def gathered(*decisions: PromotionDecision, champion: str = "1") -> Any:
    return gates_evidence.so_far(decisions, champion, "month", timedelta(days=7))


def test_evidence_goes_on_from_the_latest_decision_beside_the_same_champion() -> None:
    decisions = [
        refused("2013-02", versus(0.02, PERHAPS), evidence(3.0)),
        refused("2013-03", versus(0.02, PERHAPS), evidence(7.0, 2), candidate="6"),
        make_decision("2013-04", before="1", after="1"),
        refused("2013-05", versus(0.02, PERHAPS), evidence(70.0), before="4", after="4"),
        refused("2013-06", versus(0.02, PERHAPS), evidence(60.0), action=Action.RECORDED),
    ]
    so_far = gathered(*decisions)
    assert (so_far.value, so_far.looks) == (7.0, 2)
    assert so_far.until == datetime(2013, 3, 25, tzinfo=UTC)
    assert gathered(*decisions, champion="4").value == 70.0
    assert gathered(*decisions, champion="9") is None
    assert gathered() is None


def again(
    *decisions: PromotionDecision, partition: str = "2013-06", champion: str | None = "1"
) -> tuple[Any, Check]:
    situation = Situation(
        partition=partition, grain="month", has_champion=champion is not None, decisions=decisions
    )
    return gates_evidence.again(situation, champion, 0.0)


def test_a_candidate_that_only_chance_speaks_against_is_judged_again() -> None:
    version, check = again(make_decision("2013-04"), refused("2013-05"), make_decision("2013-06"))
    assert (version, check.name, check.verdict) == ("5", "retrain.again", FAIL)
    assert "version 5, trained at 2013-05, measured better" in check.reason
    assert "(1 of 6 partitions)" in check.reason


def judged_again(partition: str, *checks: Check) -> PromotionDecision:
    return refused(partition, *(checks or (versus(0.02, PERHAPS), evidence(5.0, 2))), make_check(AGAIN))


def test_being_judged_again_is_no_training_and_ends_in_time() -> None:
    first, second = refused("2013-05"), judged_again("2013-06")
    assert (trained(first), trained(second)) == (True, False)
    assert Situation("2013-07", "month", True, decisions=[first, second]).last_attempt == "2013-05"
    assert again(first, second, partition="2013-07")[0] == "5"
    assert again(first, second, partition="2013-11")[0] == "5"
    version, check = again(first, second, partition="2013-12")
    assert (version, check.verdict) == (None, PASS)
    assert "trained 7 partitions ago" in check.reason


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (
            refused("2013-05", versus(0.02, PERHAPS), make_check("floor.roc_auc", FAIL)),
            "for more than chance",
        ),
        (
            refused("2013-05", versus(0.02, PERHAPS), make_check("calibration", INCONCLUSIVE)),
            "for more than chance",
        ),
        (refused("2013-05", versus(-0.02, WORSE)), "for more than chance"),
        (refused("2013-05", versus(0.0, PERHAPS)), "for more than chance"),
        (refused("2013-05", make_check("versus_champion.roc_auc", INCONCLUSIVE)), "for more than chance"),
        (refused("2013-05", before="4", after="4"), "beside another champion"),
        (refused("2013-05", approval=ApprovalOutcome(answers=())), "was refused at 2013-05"),
        (refused("2013-05", action=Action.PROMOTED), "was promoted at 2013-05"),
        (make_decision("2013-05"), "no candidate was judged before"),
    ],
)
def test_others_are_not(decision: PromotionDecision, words: str) -> None:
    version, check = again(decision)
    assert (version, check.verdict) == (None, PASS)
    assert words in check.reason


def test_a_newer_candidate_ends_it_and_a_training_that_failed_does_not() -> None:
    newer = refused("2013-05", versus(-0.02, WORSE), candidate="6")
    assert again(refused("2013-04"), newer)[0] is None
    assert again(refused("2013-04"), make_decision("2013-05", Action.FAILED))[0] == "5"


def test_a_rescue_that_was_not_enough_speaks_against_nobody_either() -> None:
    checks = (versus(0.02, PERHAPS), make_check("rescue", INCONCLUSIVE), evidence(2.0))
    assert again(refused("2013-05", *checks))[0] == "5"
