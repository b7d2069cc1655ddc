from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks import drift

from airflow_mlops.domain.checks import Check, Verdict


class Compared:
    """A comparison of one column."""

    def __init__(self, verdict: Verdict, observed: float, n: int, reason: str = "") -> None:
        self.columns = (
            Check(
                name="drift.x", verdict=verdict, expected="< 0.1", observed=observed, n=n,
                reason=f"normed Wasserstein distance{reason}",
            ),
        )  # fmt: skip


CHANCE = ", p 0.49: no more than chance explains"


def test_of_few_rows_each_column_is_judged_as_all_of_them_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "ROWS", 3_000)
    exact = drift.make(tmp_path, 3_000)
    drift.agree(exact, drift._ours(tmp_path, drift._ours_before(tmp_path), page=False))


@pytest.mark.parametrize(
    ("distance", "comparison"),
    [
        (0.105, Compared(Verdict.PASS, 0.105, 1_000_000, CHANCE)),
        (0.105, Compared(Verdict.PASS, 0.105, 600)),
        (0.105, Compared(Verdict.INCONCLUSIVE, 0.105, 600)),
        (0.095, Compared(Verdict.FAIL, 0.095, 600)),
        (0.095, Compared(Verdict.PASS, 0.098, 600)),
    ],
)
def test_another_distance_or_verdict_than_that_of_all_rows_is_an_error(
    distance: float, comparison: Any
) -> None:
    with pytest.raises(RuntimeError, match=f"x is {distance} of all rows"):
        drift.agree({"x": distance}, comparison)


def test_a_distance_of_few_rows_may_be_large_by_chance() -> None:
    drift.agree({"x": 0.105}, Compared(Verdict.PASS, 0.105, 600, CHANCE))
