from __future__ import annotations

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.policies.intervals import coverage


@pytest.mark.parametrize(
    ("observed", "interval", "tolerance", "n", "verdict"),
    [
        (0.9, (0.87, 0.93), 0.05, 500, Verdict.PASS),
        (0.85, (0.8, 0.9), 0.05, 500, Verdict.PASS),
        (0.95, None, 0.05, 500, Verdict.PASS),
        (0.8, (0.75, 0.84), 0.05, 500, Verdict.FAIL),
        (0.8, (0.74, 0.86), 0.05, 500, Verdict.INCONCLUSIVE),
        (0.8, None, 0.05, 500, Verdict.INCONCLUSIVE),
        (0.99, (0.97, 1.0), 0.05, 500, Verdict.FAIL),
        (0.99, (0.94, 1.0), 0.05, 500, Verdict.INCONCLUSIVE),
        (0.9, (0.7, 0.97), 0.05, 49, Verdict.INCONCLUSIVE),
        (0.2, (0.1, 0.3), None, 500, Verdict.PASS),
        (None, None, 0.05, 500, Verdict.INCONCLUSIVE),
    ],
)
def test_a_share_beyond_the_tolerance_fails_only_if_it_is_no_chance(
    observed: float | None,
    interval: tuple[float, float] | None,
    tolerance: float | None,
    n: int,
    verdict: Verdict,
) -> None:
    check = coverage(observed, interval, 0.9, tolerance, n, 50)
    assert check.verdict is verdict
    assert (check.baseline, check.n) == (0.9, n)


def test_the_reason_tells_both_shares_and_why() -> None:
    check = coverage(0.8, (0.75, 0.84), 0.9, 0.05, 500, 50)
    assert check.expected == "0.85 to 0.95"
    assert check.reason == (
        "0.8 of the values lie between their bounds, 0.9 are to (interval +0.75 to +0.84 lies below 0.85 to 0.95)"
    )
    assert coverage(0.9, None, 0.99, 0.05, 500, 50).expected == "0.94 to 1"
