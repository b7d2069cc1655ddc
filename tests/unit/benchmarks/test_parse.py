"""What a parse measures."""

from __future__ import annotations

from benchmarks.parse import CASES, TUTORIAL


def test_files_of_1_50_and_200_models_are_compared_with_a_tutorial_s() -> None:
    assert [case.models for case in CASES if not case.task and TUTORIAL in case.peers] == [1, 50, 200]


def test_the_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
