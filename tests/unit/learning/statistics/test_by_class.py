from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.spec.class_gates import ClassGates
from airflow_mlops.learning.statistics import by_class, resampling
from airflow_mlops.learning.statistics.slices import Judged

CLASSES = ("cheap", "fair", "dear")
FAIL, INCONCLUSIVE, PASS = Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS


def judged(truth: np.ndarray, predicted: np.ndarray, days: int = 28) -> Judged:
    blocks = resampling.Blocks(np.arange(truth.size) % days, days, "day")
    return Judged(pa.table({}), truth, predicted, blocks)


def made(right: dict[int, float], rows: int = 3_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return classes, and probabilities that are right for some share of the rows of each class."""
    random = np.random.default_rng(seed)
    truth = random.choice(3, rows, p=[0.6, 0.37, 0.03])
    hit = random.random(rows) < np.array([right[code] for code in range(3)])[truth]
    put = np.where(hit, truth, (truth + 1) % 3)
    return truth, np.eye(3)[put] * 0.8 + 0.1


def of(checks: list[Check], name: str) -> Check:
    [check] = [check for check in checks if check.slice == f"class={name}"]
    return check


@pytest.mark.parametrize("measure", ["recall", "precision", "f1"])
def test_a_measure_of_a_class_is_that_of_scikit_learn(measure: str) -> None:
    truth, predicted = made({0: 0.9, 1: 0.7, 2: 0.5})
    checks = by_class.floors(ClassGates(floor={measure: 0.1}), judged(truth, predicted), CLASSES)
    score = {"recall": sk.recall_score, "precision": sk.precision_score, "f1": sk.f1_score}[measure]
    expected = score(truth, predicted.argmax(axis=1), average=None)
    for code, name in enumerate(CLASSES):
        check = of(checks, name)
        assert check.name == f"classes.{measure}"
        assert check.observed == pytest.approx(expected[code], rel=1e-12)
        assert check.n == (truth == code).sum()
        assert check.interval is not None
        assert check.interval[0] < expected[code] < check.interval[1]


def test_a_class_that_is_shown_below_its_floor_fails_and_the_others_do_not() -> None:
    truth, predicted = made({0: 0.9, 1: 0.3, 2: 0.9})
    checks = by_class.floors(ClassGates(floor={"recall": 0.5}), judged(truth, predicted), CLASSES)
    assert [check.verdict for check in checks] == [PASS, FAIL, PASS]
    assert "is not >= 0.5 (interval" in checks[1].reason


def test_a_class_has_a_floor_of_its_own() -> None:
    truth, predicted = made({0: 0.9, 1: 0.6, 2: 0.9})
    gate = ClassGates(floor={"recall": 0.7}, named={"fair": {"recall": 0.5}, "gone": {"recall": 0.1}})
    checks = by_class.floors(gate, judged(truth, predicted), CLASSES)
    assert {check.slice: check.expected for check in checks} == {
        "class=cheap": ">= 0.7", "class=fair": ">= 0.5", "class=dear": ">= 0.7", "class=gone": ">= 0.1",
    }  # fmt: skip
    assert of(checks, "fair").verdict is PASS
    assert (of(checks, "gone").verdict, of(checks, "gone").n) == (INCONCLUSIVE, 0)


@pytest.mark.parametrize(
    ("rows", "days", "words"),
    [(600, 28, r"\d+ rows are of class dear; 30 are needed"), (6_000, 5, "too few blocks of time")],
)
def test_a_rare_class_is_inconclusive_however_good_it_looks(rows: int, days: int, words: str) -> None:
    truth, predicted = made({0: 1.0, 1: 1.0, 2: 1.0}, rows)
    checks = by_class.floors(ClassGates(floor={"recall": 0.5}), judged(truth, predicted, days), CLASSES)
    check = of(checks, "dear")
    assert (check.verdict, check.observed) == (INCONCLUSIVE, 1.0)
    assert re.search(words, check.reason)


def test_a_class_that_nothing_is_put_in_has_no_precision() -> None:
    truth, predicted = made({0: 1.0, 1: 1.0, 2: 1.0})
    predicted[:, 2] = 0
    checks = by_class.floors(ClassGates(floor={"precision": 0.5}), judged(truth, predicted), CLASSES)
    assert of(checks, "dear").verdict is INCONCLUSIVE
    assert "none of the rows is put in it" in of(checks, "dear").reason


def test_a_class_that_got_worse_than_under_the_champion_fails() -> None:
    truth, champion = made({0: 0.8, 1: 0.8, 2: 0.8}, rows=6_000)
    ours = champion.copy()
    lost = (truth == 1) & (np.random.default_rng(1).random(truth.size) < 0.2)
    ours[lost] = np.array([0.8, 0.1, 0.1])
    gate = ClassGates(loss={"recall": 0.05})
    checks = by_class.losses(gate, judged(truth, ours), champion, CLASSES)
    assert [check.verdict for check in checks] == [PASS, FAIL, PASS]
    fair = of(checks, "fair")
    assert fair.name == "classes.versus_champion.recall"
    assert fair.observed is not None
    assert fair.baseline == pytest.approx(sk.recall_score(truth == 1, champion.argmax(axis=1) == 1))
    assert fair.interval is not None
    assert fair.interval[0] > 0.05
    better = by_class.losses(gate, judged(truth, champion), ours, CLASSES)
    assert [check.verdict for check in better] == [PASS] * 3


def test_a_class_that_only_the_champion_knows_is_lost() -> None:
    truth, champion = made({0: 0.8, 1: 0.8, 2: 0.8}, rows=6_000)
    ours = champion.copy()
    ours[:, 2] = 0
    checks = by_class.losses(ClassGates(loss={"recall": 0.1}), judged(truth, ours), champion, CLASSES)
    assert (of(checks, "dear").verdict, of(checks, "dear").observed) == (FAIL, 0.0)


def test_a_class_that_only_the_candidate_knows_has_nothing_to_lose() -> None:
    truth, ours = made({0: 0.8, 1: 0.8, 2: 0.8}, rows=6_000)
    champion = ours.copy()
    champion[:, 2] = 0
    gate = ClassGates(loss={"recall": 0.1, "precision": 0.1, "f1": 0.1})
    checks = by_class.losses(gate, judged(truth, ours), champion, CLASSES)
    assert [check.verdict for check in checks if check.slice == "class=dear"] == [PASS] * 3
    lost = by_class.losses(gate, judged(truth, champion), ours, CLASSES)
    assert [check.verdict for check in lost if check.slice == "class=dear"] == [FAIL, INCONCLUSIVE, FAIL]


@pytest.mark.slow
def test_of_thirty_classes_that_are_as_good_as_their_floor_few_tables_have_one_that_fails() -> None:
    random, failed = np.random.default_rng(5), 0
    gate = ClassGates(floor={"recall": 0.8}, confidence=0.95)
    for _ in range(12):
        truth = random.integers(0, 30, 3_000)
        put = np.where(random.random(truth.size) < 0.8, truth, (truth + 1) % 30)
        checks = by_class.floors(gate, judged(truth, np.eye(30)[put]), [str(code) for code in range(30)])
        failed += any(check.verdict is FAIL for check in checks)
    # Without a correction three of four tables would have one.
    assert failed <= 3
