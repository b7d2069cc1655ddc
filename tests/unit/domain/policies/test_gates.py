from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.policies import gates, gates_classes, gates_data, gates_parts
from airflow_mlops.domain.policies.gates import Comparison
from airflow_mlops.domain.policies.gates_parts import Gap

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("observed", "greater_is_better", "expected"),
    [
        (0.6, True, PASS),
        (0.599999, True, FAIL),
        (0.7, True, PASS),
        (0.6, False, PASS),
        (0.600001, False, FAIL),
        (0.5, False, PASS),
        (None, True, INCONCLUSIVE),
    ],
)
def test_a_floor_lets_its_own_bound_pass(
    observed: float | None, greater_is_better: bool, expected: Verdict
) -> None:
    check = gates.floor("m", observed, 0.6, greater_is_better, 10)
    assert check.verdict is expected
    assert (check.name, check.n) == ("floor.m", 10)


def test_a_floor_that_is_missed_by_little_does_not_round_its_reason_to_the_bound() -> None:
    assert gates.floor("m", 0.59999, 0.6, True, 10).reason == "0.59999 is not >= 0.6"


@pytest.mark.parametrize(
    ("observed", "interval", "shown", "n", "expected", "words"),
    [
        (0.6, (0.5, 0.7), False, 40, PASS, "0.6 is >= 0.5"),
        (0.4, (0.2, 0.6), False, 40, PASS, "that may be chance"),
        (0.4, (0.3, 0.45), True, 40, FAIL, "0.4 is not >= 0.5"),
        (1.0, (1.0, 1.0), False, 29, INCONCLUSIVE, "29 rows are of class late; 30 are needed"),
        (0.1, (0.0, 0.2), True, 29, INCONCLUSIVE, "29 rows"),
        (0.9, None, False, 40, INCONCLUSIVE, "too few blocks of time"),
        (None, None, False, 40, INCONCLUSIVE, "could not be measured"),
    ],
)
def test_the_floor_of_a_class(
    observed: float | None, interval: Any, shown: bool, n: int, expected: Verdict, words: str
) -> None:
    check = gates_classes.floor(
        "recall", "late", observed, 0.5, interval=interval, shown=shown, n=n, least=30
    )
    assert (check.verdict, check.name, check.slice) == (expected, "classes.recall", "class=late")
    assert words in check.reason


@pytest.mark.parametrize(
    ("observed", "baseline", "shown", "expected", "words"),
    [
        (0.8, 0.7, False, PASS, "a loss of 0 is <= 0.05"),
        (0.6, 0.7, False, PASS, "is not <= 0.05 (interval -0.1 to +0.3), but that may be chance"),
        (0.6, 0.7, True, FAIL, "0.6 against 0.7 of the champion: a loss of 0.1 is not <= 0.05"),
        (0.6, None, False, PASS, "the champion puts none of the rows in class late: nothing to lose"),
    ],
)
def test_the_loss_of_a_class(
    observed: float, baseline: float | None, shown: bool, expected: Verdict, words: str
) -> None:
    check = gates_classes.loss(
        "f1", "late", observed, baseline, 0.05, interval=(-0.1, 0.3), shown=shown, n=40, least=30
    )
    assert (check.verdict, check.name) == (expected, "classes.versus_champion.f1")
    assert words in check.reason.replace("0.09999999999999998", "0.1")


def test_classes_without_a_champion_have_nothing_to_lose() -> None:
    assert gates_classes.not_compared("f1", "").verdict is PASS
    check = gates_classes.not_compared("f1", "the target of version 3 is another")
    assert (check.verdict, check.reason) == (INCONCLUSIVE, "the target of version 3 is another")


def test_a_floor_on_too_few_rows_is_inconclusive_either_way() -> None:
    for observed in (0.5, 0.9):
        check = gates.floor("m", observed, 0.6, True, 49, least=50)
        assert (check.verdict, check.observed) == (INCONCLUSIVE, observed)
        assert "49 rows; 50 are needed" in check.reason
    assert gates.floor("m", 0.9, 0.6, True, 50, least=50).verdict is PASS


def test_calibration_on_too_few_rows_is_inconclusive_whatever_was_measured() -> None:
    found = [gates.calibration(error, None, 0.05, n).verdict for error, n in ((0.0, 999), (0.9, 999))]
    assert found == [INCONCLUSIVE, INCONCLUSIVE]
    assert [gates.calibration(error, None, 0.05, 1000).verdict for error in (0.05, 0.06)] == [PASS, FAIL]
    assert gates.calibration(None, None, 0.05, 10).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("metric", "observed", "interval", "margin", "expected"),
    [
        ("roc_auc", 0.72, (0.01, 0.03), 0.0, PASS),
        ("roc_auc", 0.72, (0.0, 0.04), 0.0, INCONCLUSIVE),
        ("roc_auc", 0.72, (-0.01, 0.05), 0.0, INCONCLUSIVE),
        ("roc_auc", 0.70, (0.0, 0.0), 0.0, INCONCLUSIVE),
        ("roc_auc", 0.69, (-0.03, 0.01), 0.0, FAIL),
        ("roc_auc", 0.72, (0.01, 0.03), 0.05, FAIL),
        ("roc_auc", 0.72, (0.005, 0.03), 0.01, INCONCLUSIVE),
        ("roc_auc", 0.69, (-0.015, -0.005), -0.02, PASS),
        ("roc_auc", 0.72, None, 0.0, INCONCLUSIVE),
        ("roc_auc", None, (0.01, 0.03), 0.0, INCONCLUSIVE),
        ("log_loss", 0.68, (0.01, 0.03), 0.0, PASS),
        ("log_loss", 0.72, (-0.03, 0.01), 0.0, FAIL),
    ],
)
def test_a_candidate_passes_only_if_its_whole_interval_lies_above_the_margin(
    metric: str,
    observed: float | None,
    interval: tuple[float, float] | None,
    margin: float,
    expected: Verdict,
) -> None:
    found = Comparison(observed, 0.7, interval)
    assert gates.versus_champion(metric, found, margin, 500).verdict is expected


@pytest.mark.parametrize(
    ("metric", "observed", "interval", "margin", "reason"),
    [
        ("log_loss", 0.7, (-0.0, 0.0), 0.0, "no improvement: log_loss is the same for both"),
        ("log_loss", 0.7, (-0.0, 0.0), -0.1, "improvement 0 with interval 0 to 0 lies above -0.1"),
        ("log_loss", 0.7, (-0.1, 0.0), 0.0, "improvement 0 with interval -0.1 to 0 does not lie above 0: it may be chance"),
        ("roc_auc", 0.7, (0.0, 0.0), 0.1, "improvement 0 is below 0.1"),
    ],
)  # fmt: skip
def test_an_improvement_of_nothing_has_no_sign(
    metric: str, observed: float, interval: tuple[float, float], margin: float, reason: str
) -> None:
    assert gates.versus_champion(metric, Comparison(observed, 0.7, interval), margin, 500).reason == reason


def test_a_first_model_passes_and_a_champion_that_cannot_be_measured_does_not_make_it_one() -> None:
    nothing = Comparison(0.6, None)
    first = gates.versus_champion("roc_auc", nothing, 0.0, 500, has_champion=False)
    assert first.verdict is PASS
    assert "first model" in first.reason
    assert gates.versus_champion("roc_auc", nothing, 0.0, 500).verdict is INCONCLUSIVE


def test_a_problem_outweighs_whatever_was_measured() -> None:
    for gain in (-0.1, 0.1):
        found = Comparison(
            0.7 + gain, 0.7, (gain - 0.01, gain + 0.01), problem="version 3 has seen these rows"
        )
        check = gates.versus_champion("roc_auc", found, 0.0, 500)
        assert check.verdict is INCONCLUSIVE
        assert "version 3 has seen these rows" in check.reason
    check = gates.versus_champion("roc_auc", Comparison(0.7, None, problem="it cannot predict"), 0.0, 500)
    assert (check.verdict, check.reason) == (INCONCLUSIVE, "it cannot predict")


def test_a_candidate_that_is_the_champion_over_again_fails() -> None:
    check = gates.nothing_new("roc_auc", -1.0, "7")
    assert check.verdict is FAIL
    assert "version 7" in check.reason


@pytest.mark.parametrize(
    ("chances", "rejected"),
    [
        ([], []),
        ([0.04], [True]),
        ([0.04, 0.03], [False, False]),
        ([0.04, 0.02], [True, True]),
        ([0.01, 0.04, 0.03], [True, False, False]),
        ([0.011, 0.02, 0.015, 0.3], [True, True, True, False]),
        ([1.0, float("nan")], [False, False]),
    ],
)
def test_holm_rejects_the_smallest_chances_at_levels_that_grow(
    chances: list[float], rejected: list[bool]
) -> None:
    assert gates.holm(chances, 0.05) == rejected


@pytest.mark.parametrize(
    ("observed", "interval", "shown", "confidence", "expected"),
    [
        (0.6, (0.5, 0.7), False, 0.95, PASS),
        (0.5, (0.4, 0.6), False, 0.95, PASS),
        (0.5, (0.45, 0.54), True, 0.95, FAIL),
        (0.5, None, False, 0.95, INCONCLUSIVE),
        (0.5, (0.4, 0.6), False, None, FAIL),
        (None, None, False, 0.95, INCONCLUSIVE),
    ],
)
def test_a_slice_fails_only_if_it_is_shown_to_be_below_its_floor(
    observed: float | None,
    interval: tuple[float, float] | None,
    shown: bool,
    confidence: float | None,
    expected: Verdict,
) -> None:
    check = gates_parts.slice_floor(
        "roc_auc", observed, 0.55, interval=interval, shown=shown, confidence=confidence, n=600, part="a=b"
    )
    assert (check.verdict, check.slice) == (expected, "a=b")


@pytest.mark.parametrize(
    ("size", "interval", "shown", "expected"),
    [
        (0.05, (0.0, 0.1), False, PASS),
        (0.15, (0.05, 0.25), False, PASS),
        (0.3, (0.2, 0.4), True, FAIL),
        (0.3, None, False, INCONCLUSIVE),
    ],
)
def test_a_gap_fails_only_if_it_is_shown_to_be_too_wide(
    size: float, interval: tuple[float, float] | None, shown: bool, expected: Verdict
) -> None:
    gap = Gap(size, interval, shown, {"b": 0.5 + size, "a": 0.5}, 1000)
    check = gates_parts.fairness("selection_rate", "sex", gap, 0.1)
    assert check.verdict is expected
    assert "for b and 0.5 for a" in check.reason


@pytest.mark.parametrize(
    ("metric", "spans", "expected", "worst"),
    [
        ("roc_auc", {"1": (0.66, 500), "2": (0.72, 500)}, PASS, "1"),
        ("roc_auc", {"1": (0.60, 500), "2": (0.72, 500)}, FAIL, "1"),
        ("log_loss", {"1": (0.60, 500), "2": (0.80, 500)}, FAIL, "2"),
        ("roc_auc", {"1": (0.60, 500)}, INCONCLUSIVE, None),
    ],
)
def test_a_model_is_even_if_its_worst_span_lies_close_to_the_whole(
    metric: str, spans: dict[str, tuple[float, int]], expected: Verdict, worst: str | None
) -> None:
    check = gates_parts.stability(metric, 0.7, spans, 0.05, 500)
    assert (check.verdict, check.slice) == (expected, worst)


def test_a_feature_that_predicts_too_well_is_named() -> None:
    check = gates_data.leakage({"wind": 0.7, "copy": 1.0, "other": 0.995}, 0.99, "ROC AUC", 500)
    assert check.verdict is FAIL
    assert "'copy' (1), 'other' (0.995)" in check.reason
    assert "wind" not in check.reason
    assert gates_data.leakage({"wind": 0.7}, 0.99, "ROC AUC", 500).verdict is PASS
    assert gates_data.leakage(None, 0.99, "ROC AUC", 500).verdict is INCONCLUSIVE
