from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import training

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


@pytest.mark.thorough
def test_both_sides_find_the_same(tmp_path: Path) -> None:
    work = training.make(tmp_path, 3_000)
    assert len(work.recipe.features.numeric) == training.COLUMNS
    _, expected = work.bare()
    evaluation = work.evaluate(work.train("once"))
    training.agree(expected, evaluation.metrics)
    assert evaluation.candidate.score is None


def test_sides_that_differ_are_no_comparison() -> None:
    training.agree({"roc_auc": 0.7}, {"roc_auc": 0.7 + 1e-12, "f1": 0.1})
    with pytest.raises(RuntimeError, match=r"roc_auc is 0\.7 of scikit-learn alone, and 0\.71 of ours"):
        training.agree({"roc_auc": 0.7}, {"roc_auc": 0.71})
