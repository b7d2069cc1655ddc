"""How the loop's time is split."""

from __future__ import annotations

from benchmarks.loop import covered


def test_time_in_which_two_tasks_ran_side_by_side_counts_once() -> None:
    assert covered([(4.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.75)]) == 5.0


def test_nothing_covers_no_time() -> None:
    assert covered([]) == 0.0
