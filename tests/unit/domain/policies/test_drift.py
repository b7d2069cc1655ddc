from __future__ import annotations

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.policies import drift
from airflow_mlops.domain.policies.drift import Measure
from airflow_mlops.domain.spec.model import DriftPolicy

POLICY = DriftPolicy(columns=0.5)


def measure(column: str, distance: float | None = 0.0, p: float | None = 0.5, **changes: object) -> Measure:
    facts = {"column": column, "distance": distance, "p": p, "n": 1000, "reason": "measured"}
    return Measure.from_dict({**facts, **changes})


def verdicts(*measures: Measure, policy: DriftPolicy = POLICY) -> list[Verdict]:
    return [check.verdict for check in drift.judge(measures, policy, rows=1000)[1]]


@pytest.mark.parametrize(
    ("distance", "p", "verdict"),
    [
        (0.1, 0.05, Verdict.FAIL),
        (0.0999, 0.0, Verdict.PASS),
        (9.0, 0.051, Verdict.PASS),
        (None, None, Verdict.INCONCLUSIVE),
    ],
)
def test_drift_is_large_and_significant(distance: float | None, p: float | None, verdict: Verdict) -> None:
    assert verdicts(measure("x", distance, p)) == [verdict]


def test_a_share_of_missing_values_has_a_threshold_of_its_own() -> None:
    policy = DriftPolicy(threshold=0.5, missing=0.2)
    both = (measure("x", 0.3, 0.0), measure("x", 0.3, 0.0, part="missing"))
    assert verdicts(*both, policy=policy) == [Verdict.PASS, Verdict.FAIL]


def test_p_values_are_adjusted_by_benjamini_and_hochberg() -> None:
    assert drift.adjust([0.01, None, 0.04, 0.03, 0.005]) == [
        pytest.approx(0.02),
        None,
        pytest.approx(0.04),
        pytest.approx(0.04),
        pytest.approx(0.02),
    ]
    assert drift.adjust([0.9, 0.8]) == [0.9, 0.9]
    assert drift.adjust([]) == []


def test_the_more_columns_the_less_one_of_them_proves() -> None:
    lonely = measure("x", 0.2, 0.02)
    assert verdicts(lonely) == [Verdict.FAIL]
    assert Verdict.FAIL not in verdicts(lonely, *(measure(f"y{place}") for place in range(9)))


def test_a_column_has_drifted_if_any_of_its_measures_has() -> None:
    found = [measure("x"), measure("x", 0.4, 0.0, part="missing"), measure("y"), measure("z")]
    overall, _ = drift.judge(found, POLICY, rows=1000)
    assert overall.observed == pytest.approx(1 / 3)
    assert overall.reason == "1 of 3 measured columns drifted (most: x 0.400)"


def test_a_column_without_values_counts_by_what_it_lacks() -> None:
    lost = [measure("x", None, None), measure("x", 1.0, 0.0, part="missing")]
    assert drift.judge(lost, POLICY, rows=1000)[0].verdict is Verdict.FAIL
    never = [measure("x", None, None), measure("x", 0.0, 1.0, part="missing")]
    assert drift.judge(never, POLICY, rows=1000)[0].verdict is Verdict.INCONCLUSIVE


def test_predictions_do_not_count_among_the_columns() -> None:
    found = [measure("x"), measure("prediction", 9.0, 0.0, feature=False)]
    overall, checks = drift.judge(found, POLICY, rows=1000)
    assert (overall.verdict, overall.observed, checks[1].verdict) == (Verdict.PASS, 0.0, Verdict.FAIL)


@pytest.mark.parametrize(
    ("weights", "share", "reason"),
    [
        ({"x": 0.3, "y": 0.1}, 0.75, "1 of 2 measured columns drifted (most: x 0.200), 75% by importance"),
        ({"x": -0.3, "y": 0.1}, 0.0, "1 of 2 measured columns drifted (most: x 0.200), 0% by importance"),
        (None, 0.5, "1 of 2 measured columns drifted (most: x 0.200); no importance is known, so all count the same"),
        ({"x": 0.0}, 0.5, "1 of 2 measured columns drifted (most: x 0.200); no importance is known, so all count the same"),
    ],
)  # fmt: skip
def test_columns_count_by_their_weight(weights: dict[str, float] | None, share: float, reason: str) -> None:
    policy = DriftPolicy(weights="importance")
    overall, _ = drift.judge([measure("x", 0.2, 0.0), measure("y")], policy, importance=weights, rows=1000)
    assert (overall.observed, overall.reason) == (pytest.approx(share), reason)


def test_a_share_at_the_limit_is_drift_whatever_its_fractions_add_up_to() -> None:
    found = [measure(f"x{place}", 0.2 if place < 3 else 0.0, 0.0) for place in range(10)]
    weights = {each.column: 0.1 for each in found}
    assert drift.judge(found, DriftPolicy(columns=0.3), importance=weights, rows=1)[0].verdict is Verdict.FAIL


def test_what_has_drifted_says_what_it_is_worth_to_the_model_and_the_verdict_names_what_costs_most_first() -> (
    None
):
    moved = [measure("little", 0.5, 0.0), measure("much", 0.2, 0.0), measure("same", 0.0, 1.0)]
    importance = {"little": 0.01, "much": 0.08, "same": 0.01}
    overall, checks = drift.judge(moved, POLICY, importance=importance, rows=1000)
    assert [check.reason.partition("; ")[2] for check in checks] == [
        "10% of the importance",
        "80% of the importance",
        "",
    ]
    assert overall.reason == "2 of 3 measured columns drifted (most: much 0.200, little 0.500)"
    # What it matters by is told; the share counts it only where the policy says so.
    assert overall.observed == pytest.approx(2 / 3)
