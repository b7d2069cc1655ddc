"""The line that a comparison prints."""

from __future__ import annotations

import json

from benchmarks.comparison import Comparison


def test_a_comparison_is_one_json_line_of_medians_and_of_how_many_times_ours_is_faster() -> None:
    line = Comparison("loop", "warm", [9.0, 2.0, 2.5], [30.0, 10.0, 12.0], "tutorial", "s").line()
    assert "\n" not in line
    assert json.loads(line) == {
        "work": "loop",
        "case": "warm",
        "ours": 2.5,
        "peer": 12.0,
        "peer_name": "tutorial",
        "ratio": 4.8,
        "unit": "s",
        "runs": 3,
    }


def test_something_that_took_no_time_has_no_ratio() -> None:
    assert (
        json.loads(Comparison("loop", "warm/imports", [0.0], [1.0], "tutorial", "s").line())["ratio"] is None
    )
