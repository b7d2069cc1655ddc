"""What the benchmark of a check runs."""

from __future__ import annotations

import pytest
from benchmarks import check


@pytest.mark.slow
def test_a_check_without_data_loads_no_library_and_both_sides_take_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "RUNS", 1)
    (comparison,) = check.compare(lambda _: None)
    assert comparison.ours[0] > 0
    assert comparison.peer[0] > 0


def test_a_process_that_fails_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="no figure"):
        check._seconds("raise SystemExit('no figure')", [])
