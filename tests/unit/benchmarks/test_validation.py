from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import validation
from benchmarks.validation import ALONE, BARE, CASES, GRAPH

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


def test_the_suite_is_of_the_size_that_is_told() -> None:
    suite = validation._suite(21)
    assert len(suite) == 41
    assert len({args["column"] for _, args in suite}) == 21
    assert len({args["column"] for _, args in validation._suite(5)}) == 5


@pytest.mark.parametrize(("case", "peer"), [(0, BARE), (0, ALONE), (0, GRAPH), (1, BARE), (2, BARE)])
def test_both_sides_find_the_same(
    case: int, peer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "ROWS", 50_000)
    validation._write(str(tmp_path))
    ours, theirs = (validation._measure(str(tmp_path), CASES[case], each) for each in ("", peer))
    assert ours.failed == theirs.failed
    assert ours.failed > 0 or CASES[case].columns == 5
    assert ours.megabytes > 0
