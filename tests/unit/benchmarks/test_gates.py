from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from benchmarks import gates

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

BETTER = next(case for case in gates.CASES if case.gain)


def test_a_much_better_candidate_is_promoted_more_often_than_one_that_is_no_better() -> None:
    small = replace(BETTER, rows=1000)
    better, equal = (gates.rate(replace(small, gain=gain), 20) for gain in (1.0, 0.0))
    assert better.promoted == 1
    assert equal.promoted < 0.5
    assert better.gain > 0.05


def test_rows_of_dependent_days_taken_for_independent_let_too_many_through() -> None:
    days = gates.Case("days", rows=2000, swing=0.5)
    honest, naive = (gates.rate(replace(days, block=block), 60).promoted for block in ("auto", "none"))
    assert honest < 0.15 < naive


def test_a_line_tells_the_rate_that_is_allowed_only_where_nothing_is_better() -> None:
    lines = [json.loads(gates.Rate(case, 0.01, 0.5, 0.0).line()) for case in gates.CASES]
    assert {line["nominal"] for line in lines if line["case"].startswith("no better")} == {0.025}
    assert {line["nominal"] for line in lines if line["case"].startswith("better")} == {None}


@pytest.mark.parametrize("facts", [{"positive_days": 3}, {"heavy": 0.9, "metric": "brier"}])
def test_days_that_do_not_count_let_nothing_through(facts: dict[str, Any]) -> None:
    few = gates.Case("few", rows=1000, swing=0.5, **facts)
    assert gates.rate(few, 20).promoted == 0
    assert gates.rate(replace(few, gain=5.0), 3).promoted == 0


def test_classes_that_are_as_good_as_their_floor_seldom_fail() -> None:
    counted = gates.alarms(5, 20)
    assert max(counted.floor, counted.loss) <= 0.2
    assert json.loads(counted.line())["nominal"] == 0.05


def test_candidates_of_many_classes_are_judged_too() -> None:
    many = replace(BETTER, rows=1000, classes=5, metric="log_loss")
    assert gates.rate(replace(many, gain=2.0), 5).promoted == 1
