from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies.gates import Comparison
from airflow_mlops.domain.policies.gates_rescue import Losses, rescue

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
FAILING = "2013-06: worse than a constant"


def judged(
    comparison: Comparison, losses: tuple[float | None, ...] = (0.4, 1.1, 0.69), **changes: Any
) -> Check:
    settings: dict[str, Any] = {
        "margin": None,
        "confidence": 0.8,
        "because": f"the champion fails ({FAILING})",
        "n": 900,
    }
    metric = changes.pop("metric", "roc_auc")
    return rescue(metric, comparison, Losses("log_loss", *losses), **(settings | changes))


@pytest.mark.parametrize(
    ("comparison", "losses", "verdict", "words"),
    [
        (
            Comparison(0.70, 0.68, (-0.005, 0.045)),
            (0.4, 1.1, 0.69),
            PASS,
            "the better bet: improvement +0.02",
        ),
        (Comparison(0.70, 0.68, (-0.010, 0.050)), (0.4, 1.1, 0.69), INCONCLUSIVE, "at worst -0.01"),
        (Comparison(0.68, 0.68, (-0.005, 0.005)), (0.4, 1.1, 0.69), FAIL, "it is no better"),
        (Comparison(0.67, 0.68, (-0.02, -0.005)), (0.4, 1.1, 0.69), FAIL, "it is no better"),
        (Comparison(0.70, 0.68, (0.005, 0.045)), (1.1, 1.1, 1.2), FAIL, "no better than the champion's 1.1"),
        (Comparison(0.70, 0.68, (0.005, 0.045)), (0.7, 1.1, 0.69), FAIL, "that of a constant, 0.69"),
        (Comparison(0.70, 0.68, problem="4 days"), (0.4, 1.1, 0.69), INCONCLUSIVE, "4 days"),
        (Comparison(None, 0.68), (0.4, 1.1, 0.69), INCONCLUSIVE, "could not be measured"),
        (Comparison(0.70, 0.68, (0.005, 0.045)), (0.4, 1.1, None), INCONCLUSIVE, "could not be measured"),
    ],
)
def test_the_better_bet_takes_the_place_of_a_champion_that_fails(
    comparison: Comparison, losses: tuple[float | None, ...], verdict: Verdict, words: str
) -> None:
    check = judged(comparison, losses)
    assert (check.name, check.verdict) == ("rescue", verdict)
    assert words in check.reason
    assert "the champion fails (2013-06: worse than a constant)" in check.reason


def test_of_a_metric_without_bounds_a_share_of_the_champions_value_may_be_lost() -> None:
    check = judged(Comparison(19.0, 20.0, (-0.39, 2.4)), (19.0, 20.0, 25.0), metric="rmse")
    assert (check.verdict, check.expected) == (
        PASS,
        "better in rmse and log_loss, improvement > -0.4 at 80%, better than a constant",
    )
    assert judged(Comparison(19.0, 20.0, (-0.4, 2.4)), metric="rmse").verdict is INCONCLUSIVE


def test_a_spec_says_how_much_may_be_lost() -> None:
    comparison = Comparison(0.70, 0.68, (-0.05, 0.09))
    assert judged(comparison, margin=0.06).verdict is PASS
    assert judged(comparison, margin=0.0).verdict is INCONCLUSIVE


def test_a_constant_need_not_be_better_than_itself() -> None:
    comparison = Comparison(0.69, 1.1, (0.2, 0.5))
    check = judged(comparison, (0.69, 1.1, math.inf), metric="log_loss", name="rescue.fallback")
    assert (check.name, check.verdict) == ("rescue.fallback", PASS)
    assert check.expected == "better in log_loss, improvement > -0.022 at 80%"
    worse = judged(
        Comparison(1.2, 1.1, (-0.2, 0.0)), (1.2, 1.1, math.inf), metric="log_loss", name="rescue.fallback"
    )
    assert worse.verdict is FAIL
