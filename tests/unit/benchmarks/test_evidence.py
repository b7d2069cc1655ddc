from __future__ import annotations

import json

from benchmarks import evidence
from benchmarks.evidence import Case


def test_a_line_tells_both_ways_to_look_within_some_looks() -> None:
    better = evidence.rates(Case("better", 0.9, 3, 20), 8)
    equal = evidence.rates(Case("no better", 0.0, 3, 20), 8)
    assert better.gain > 0.005 > abs(equal.gain)
    assert better.sequence[3] > equal.sequence[3]
    line = json.loads(better.line())
    assert (line["work"], line["case"], line["adds_up"].keys()) == ("evidence", "better", {"1", "3"})


def test_a_candidate_may_become_better_later() -> None:
    late = evidence.rates(Case("late", 0.9, 4, 20, since=3), 8)
    assert late.sequence[3] <= 0.25
    assert late.gain > 0.005
