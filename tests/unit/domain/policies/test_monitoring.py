from __future__ import annotations

import pytest

from airflow_mlops.domain.checks import Check, Verdict, overall
from airflow_mlops.domain.policies import monitoring
from airflow_mlops.domain.spec.model import PerformancePolicy

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def make_check(verdict: Verdict) -> Check:
    return Check(name="c", verdict=verdict, expected="x", reason="r")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], INCONCLUSIVE),
        ([PASS, PASS], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, FAIL, PASS], FAIL),
    ],
)
def test_one_failure_outweighs_doubt_and_doubt_outweighs_passes(
    verdicts: list[Verdict], expected: Verdict
) -> None:
    assert overall(make_check(verdict) for verdict in verdicts) is expected


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), INCONCLUSIVE),
        ((FAIL,), PASS),
        ((FAIL, FAIL), FAIL),
        ((FAIL, PASS, FAIL), FAIL),
        ((FAIL, PASS, PASS, FAIL), PASS),
        ((PASS, FAIL, FAIL), PASS),
        ((INCONCLUSIVE, FAIL, FAIL), INCONCLUSIVE),
        ((FAIL, INCONCLUSIVE, PASS), PASS),
        ((FAIL, INCONCLUSIVE, FAIL), FAIL),
    ],
)
def test_two_of_the_last_three_must_fail_and_the_newest_be_one_of_them(
    verdicts: tuple[Verdict, ...], expected: Verdict
) -> None:
    check = monitoring.k_of_n("drift", verdicts, 2, 3)
    assert check.verdict is expected
    assert all(verdict in check.reason for verdict in verdicts[:3])


@pytest.mark.parametrize(
    ("since", "bound", "expected"),
    [(3, 3, PASS), (4, 3, FAIL), (99, None, PASS), (None, 3, INCONCLUSIVE), (None, None, INCONCLUSIVE)],
)
def test_a_champion_is_stale_beyond_its_bound(
    since: int | None, bound: int | None, expected: Verdict
) -> None:
    assert monitoring.staleness(since, bound).verdict is expected


@pytest.mark.parametrize(
    ("auc", "holdout", "rows", "expected"),
    [
        (0.66, 0.70, 100, PASS),
        (0.58, 0.60, 100, PASS),
        (0.57, 0.58, 100, FAIL),
        (0.64, 0.70, 100, FAIL),
        (0.5, 0.70, 99, INCONCLUSIVE),
        (0.66, None, 100, INCONCLUSIVE),
        (0.57, None, 100, FAIL),
        (None, 0.70, 100, INCONCLUSIVE),
    ],
)
def test_performance_fails_below_the_floor_and_after_a_drop(
    auc: float | None, holdout: float | None, rows: int, expected: Verdict
) -> None:
    policy = PerformancePolicy(floor={"roc_auc": 0.58}, drop=0.05)
    check = monitoring.performance({"roc_auc": auc}, {"roc_auc": holdout}, policy, "roc_auc", rows)
    assert check.verdict is expected
    assert (check.observed, check.baseline, check.n) == (auc, holdout, rows)


def test_an_error_that_grows_is_a_drop_in_performance() -> None:
    policy = PerformancePolicy(drop=1.0)
    assert monitoring.performance({"rmse": 5.5}, {"rmse": 4.0}, policy, "rmse", 500).verdict is FAIL
    assert monitoring.performance({"rmse": 3.0}, {"rmse": 4.0}, policy, "rmse", 500).verdict is PASS


def test_performance_names_only_what_failed() -> None:
    policy = PerformancePolicy(floor={"accuracy": 0.5, "roc_auc": 0.9}, drop=None)
    check = monitoring.performance({"accuracy": 0.8, "roc_auc": 0.6}, {}, policy, "roc_auc", 500)
    assert check.reason == "floor.roc_auc: 0.6 is not >= 0.9"


def test_performance_without_a_policy_passes_and_says_so() -> None:
    check = monitoring.performance({"roc_auc": 0.6}, {}, PerformancePolicy(), "roc_auc", 500)
    assert check.verdict is PASS
    assert "no floor or drop" in check.reason
