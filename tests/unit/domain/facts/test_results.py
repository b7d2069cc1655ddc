from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, Evaluation, HealthReport
from airflow_mlops.domain.facts.scoring import ShadowWindow
from airflow_mlops.domain.facts.validation import ValidationReport
from notices import make_decision, make_evaluation, make_guarded, make_result, make_warning


def make_check(**changes: object) -> Check:
    values = {
        "name": "floor.roc_auc",
        "verdict": "PASS",
        "expected": ">= 0.6",
        "observed": 0.7,
        "reason": "good",
    }
    return Check.from_dict(values | changes)


def test_a_fact_survives_json() -> None:
    check = make_check(interval=(0.6, 0.8), slice="origin=JFK", n=500)
    assert Check.from_dict(json.loads(json.dumps(check.to_dict()))) == check


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_no_evidence(value: float) -> None:
    assert make_check(observed=value).observed is None


def test_a_fact_cannot_be_changed_or_extended() -> None:
    with pytest.raises(ValidationError):
        make_check().verdict = Verdict.FAIL  # type: ignore[misc]
    with pytest.raises(ValidationError, match="surprise"):
        make_check(surprise=1)


def make_health(verdict: str, drift: str = "PASS", staleness: str = "PASS") -> dict[str, Any]:
    """Return the dict of a report as a task has it from XCom."""
    return {
        "model": "flights", "partition": "2013-01", "champion": None, "verdict": verdict, "reason": "r",
        "drift": make_check(verdict=drift).to_dict(), "performance": make_check().to_dict(),
        "staleness": make_check(verdict=staleness).to_dict(),
        # Further checks decide nothing.
        "others": [make_check(verdict="FAIL").to_dict()],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("drift", "staleness", "follows"),
    [
        ("PASS", "PASS", "PASS"),
        ("FAIL", "PASS", "FAIL"),
        ("INCONCLUSIVE", "FAIL", "FAIL"),
        ("PASS", "INCONCLUSIVE", "INCONCLUSIVE"),
    ],
)
def test_a_verdict_that_its_checks_contradict_can_be_neither_built_nor_read(
    drift: str, staleness: str, follows: str
) -> None:
    for verdict in Verdict:
        facts = make_health(verdict, drift, staleness)
        if verdict == follows:
            assert HealthReport.from_dict(facts).verdict is verdict
        else:
            with pytest.raises(
                ValidationError, match=f"says {verdict}, but {follows} follows from its checks"
            ):
                HealthReport.from_dict(facts)


@pytest.mark.parametrize(
    ("verdict", "checks"), [("PASS", ()), ("PASS", ("PASS", "FAIL")), ("PASS", ("INCONCLUSIVE",)), ("FAIL", ("PASS",))]
)  # fmt: skip
def test_an_evaluation_or_a_window_says_what_its_checks_say(verdict: str, checks: tuple[str, ...]) -> None:
    made = [make_check(verdict=check).to_dict() for check in checks]
    evaluation = make_evaluation().to_dict()
    assert Evaluation.from_dict(evaluation).to_dict() == evaluation
    with pytest.raises(ValidationError, match=f"The evaluation says {verdict}, but"):
        Evaluation.from_dict(evaluation | {"verdict": verdict, "checks": made})
    with pytest.raises(ValidationError, match=f"The window says {verdict}, but"):
        ShadowWindow.from_dict({"partition": "2013-01", "verdict": verdict, "checks": made})


def test_a_guard_that_moved_the_champion_has_a_check_that_failed() -> None:
    restored = make_decision(Action.ROLLED_BACK)
    with pytest.raises(ValidationError, match="the champion was rolled back, but no check of it failed"):
        make_guarded(restored=restored)
    assert make_guarded(restored=restored, probation=make_check(verdict="FAIL")).restored == restored


@pytest.mark.parametrize(
    ("verdict", "severity", "outcome", "problem"),
    [
        ("PASS", "block", "FAIL", "says PASS, but an expectation that blocks did not pass"),
        ("PASS", "block", "ERROR", "says PASS, but an expectation that blocks did not pass"),
        ("INCONCLUSIVE", "block", "FAIL", "says INCONCLUSIVE, but an expectation that blocks has failed"),
        ("FAIL", "block", "PASS", "says FAIL, but no expectation has failed"),
        ("PASS", None, None, "says PASS, but nothing was checked"),
        ("PASS", "warn", "FAIL", None),
        ("FAIL", "quarantine", "FAIL", None),
        ("INCONCLUSIVE", "block", "ERROR", None),
    ],
)
def test_a_validation_says_what_its_expectations_say(
    verdict: str, severity: str | None, outcome: str | None, problem: str | None
) -> None:
    results = [make_result(severity=severity, outcome=outcome).to_dict()] if severity else []
    facts = make_warning().to_dict() | {"verdict": verdict, "results": results}
    if problem is None:
        assert ValidationReport.from_dict(facts).verdict == verdict
    else:
        with pytest.raises(ValidationError, match=problem):
            ValidationReport.from_dict(facts)
