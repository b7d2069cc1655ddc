"""Weighted metrics are scikit-learn's own, as numbers and as statistics of blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.metrics import names
from airflow_mlops.domain.spec.costs import Costs
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.exceptions import SpecError
from airflow_mlops.learning.statistics import decisions, measures, paired, resampling
from airflow_mlops.learning.statistics.slices import Judged, spans
from airflow_mlops.learning.statistics.statistic import statistic

ROWS = 400
RANDOM = np.random.default_rng(7)
WEIGHTS = np.where(RANDOM.random(ROWS) < 0.1, 0.0, RANDOM.gamma(2.0, 0.2, ROWS))
BINARY = (RANDOM.random(ROWS) < 0.3).astype(float)
SCORES = np.clip(BINARY * (0.3 - WEIGHTS / 3) + RANDOM.random(ROWS) * 0.7, 0.01, 0.99)
CODES = RANDOM.integers(0, 5, ROWS)
MATRIX = RANDOM.dirichlet(np.ones(5), ROWS) * 0.85 + 0.15 * np.eye(5)[CODES]
VALUES = RANDOM.gamma(3.0, 2.0, ROWS)
PREDICTED = np.abs(VALUES + RANDOM.normal(0, 1, ROWS)) + 0.1
BLOCKS = resampling.Blocks(np.arange(ROWS) % 40, 40, "day")

Reference = Callable[..., float]
CALLED, CHOSEN = SCORES >= 0.5, MATRIX.argmax(axis=1)
OF_TWO: dict[str, Reference] = {
    "roc_auc": lambda **w: sk.roc_auc_score(BINARY, SCORES, **w),
    "average_precision": lambda **w: sk.average_precision_score(BINARY, SCORES, **w),
    "log_loss": lambda **w: sk.log_loss(BINARY, SCORES, **w),
    "brier": lambda **w: sk.brier_score_loss(BINARY, SCORES, **w),
    "accuracy": lambda **w: sk.accuracy_score(BINARY, CALLED, **w),
    "f1": lambda **w: sk.f1_score(BINARY, CALLED, **w),
    "f1_weighted": lambda **w: sk.f1_score(BINARY, CALLED, average="weighted", **w),
    "precision": lambda **w: sk.precision_score(BINARY, CALLED, **w),
    "recall": lambda **w: sk.recall_score(BINARY, CALLED, **w),
    "balanced_accuracy": lambda **w: sk.balanced_accuracy_score(BINARY, CALLED, **w),
    "matthews": lambda **w: sk.matthews_corrcoef(BINARY, CALLED, **w),
    "f2": lambda **w: sk.fbeta_score(BINARY, CALLED, beta=2, **w),
    "quadratic_kappa": lambda **w: sk.cohen_kappa_score(BINARY, CALLED, weights="quadratic", **w),
}
OF_MANY: dict[str, Reference] = {
    "roc_auc": lambda **w: np.mean(
        [sk.roc_auc_score(code == CODES, MATRIX[:, code], **w) for code in range(5)]
    ),
    "average_precision": lambda **w: sk.average_precision_score(np.eye(5)[CODES], MATRIX, **w),
    "log_loss": lambda **w: sk.log_loss(CODES, MATRIX, **w),
    "brier": lambda **w: sk.brier_score_loss(CODES, MATRIX, labels=[*range(5)], scale_by_half=True, **w),
    "accuracy": lambda **w: sk.accuracy_score(CODES, CHOSEN, **w),
    "f1": lambda **w: sk.f1_score(CODES, CHOSEN, average="macro", **w),
    "f1_weighted": lambda **w: sk.f1_score(CODES, CHOSEN, average="weighted", **w),
    "precision": lambda **w: sk.precision_score(CODES, CHOSEN, average="macro", **w),
    "recall": lambda **w: sk.recall_score(CODES, CHOSEN, average="macro", **w),
    "balanced_accuracy": lambda **w: sk.balanced_accuracy_score(CODES, CHOSEN, **w),
    "matthews": lambda **w: sk.matthews_corrcoef(CODES, CHOSEN, **w),
    "quadratic_kappa": lambda **w: sk.cohen_kappa_score(CODES, CHOSEN, weights="quadratic", **w),
    "f2": lambda **w: sk.fbeta_score(CODES, CHOSEN, beta=2, average="macro", **w),
    "top_3_accuracy": lambda **w: sk.top_k_accuracy_score(CODES, MATRIX, k=3, **w),
}
OF_NUMBERS: dict[str, Reference] = {
    "rmse": lambda **w: sk.root_mean_squared_error(VALUES, PREDICTED, **w),
    "mae": lambda **w: sk.mean_absolute_error(VALUES, PREDICTED, **w),
    "r2": lambda **w: sk.r2_score(VALUES, PREDICTED, **w),
    "mape": lambda **w: sk.mean_absolute_percentage_error(VALUES, PREDICTED, **w),
    "median_absolute_error": lambda **w: sk.median_absolute_error(VALUES, PREDICTED, **w),
    "pinball_10": lambda **w: sk.mean_pinball_loss(VALUES, PREDICTED, alpha=0.1, **w),
    "pinball_97.5": lambda **w: sk.mean_pinball_loss(VALUES, PREDICTED, alpha=0.975, **w),
    "pinball_90": lambda **w: sk.mean_pinball_loss(VALUES, PREDICTED, alpha=0.9, **w),
    "poisson_deviance": lambda **w: sk.mean_poisson_deviance(VALUES, PREDICTED, **w),
    "gamma_deviance": lambda **w: sk.mean_gamma_deviance(VALUES, PREDICTED, **w),
}
CASES = [
    *((name, reference, BINARY, SCORES) for name, reference in OF_TWO.items()),
    *((name, reference, CODES, MATRIX) for name, reference in OF_MANY.items()),
    *((name, reference, VALUES, PREDICTED) for name, reference in OF_NUMBERS.items()),
]


@pytest.mark.parametrize(("name", "reference", "truth", "predicted"), CASES)
def test_a_weighted_metric_is_that_of_scikit_learn_to_the_last_digit(
    name: str, reference: Reference, truth: np.ndarray, predicted: np.ndarray
) -> None:
    theirs = reference(sample_weight=WEIGHTS)
    assert measures.measure(name, truth, predicted, weights=WEIGHTS) == pytest.approx(theirs, rel=1e-12)
    assert theirs != pytest.approx(reference(), rel=1e-5), "the weights must matter"


@pytest.mark.parametrize(("name", "reference", "truth", "predicted"), CASES)
def test_a_draw_of_blocks_weighs_rows_as_often_as_they_are_drawn(
    name: str, reference: Reference, truth: np.ndarray, predicted: np.ndarray
) -> None:
    drawn = np.bincount(np.random.default_rng(3).integers(0, 40, 40), minlength=40)
    compute = statistic(name, truth, predicted, BLOCKS, weights=WEIGHTS).compute
    weights = WEIGHTS * drawn[BLOCKS.codes]
    assert compute(np.ones(40, np.int64)) == pytest.approx(reference(sample_weight=WEIGHTS), rel=1e-9)
    assert compute(drawn) == pytest.approx(reference(sample_weight=weights), rel=1e-9)


def test_every_metric_has_its_weighted_form_tested() -> None:
    assert {*OF_TWO, *OF_MANY} >= {*{name for name in names("classification") if name != "expected_cost"}}
    assert {*OF_NUMBERS} >= {*names("regression")}


def test_a_class_whose_rows_weigh_nothing_is_not_there() -> None:
    assert measures.measure("roc_auc", BINARY, SCORES, weights=np.where(BINARY == 1, 0.0, 1.0)) is None
    assert measures.measure("r2", VALUES, PREDICTED, weights=np.r_[1.0, np.zeros(ROWS - 1)]) is None
    assert measures.measure("mae", VALUES, PREDICTED, weights=np.zeros(ROWS)) is None


def test_weights_of_one_change_nothing() -> None:
    ones = np.ones(ROWS)
    for name, _, truth, predicted in CASES:
        weighted = measures.measure(name, truth, predicted, weights=ones)
        assert weighted == pytest.approx(measures.measure(name, truth, predicted), rel=1e-12)


def test_shares_of_classes_are_of_weights_and_rows_are_counted() -> None:
    names = tuple("abcde")
    weighted = measures.by_class(CODES, MATRIX, names, weights=WEIGHTS)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(CODES, CHOSEN, sample_weight=WEIGHTS)
    for code, name in enumerate(names):
        assert weighted[name]["precision"] == pytest.approx(precision[code])
        assert weighted[name]["recall"] == pytest.approx(recall[code])
        assert weighted[name]["f1"] == pytest.approx(f1[code])
        assert weighted[name]["rows"] == np.sum(code == CODES)


def test_an_interval_rests_on_the_rows_that_weigh() -> None:
    rows = resampling.Blocks(np.arange(ROWS), ROWS, "row")
    few = np.where(np.arange(ROWS) < 20, 1000.0, 0.001)
    support = statistic("mae", VALUES, PREDICTED, rows, weights=few).support
    assert support.even == pytest.approx(20, abs=0.1)
    assert not support.enough


def test_a_comparison_is_of_weighted_metrics_and_never_by_a_closed_form() -> None:
    rows = resampling.Blocks(np.arange(ROWS), ROWS, "row")
    worse = np.clip(SCORES + RANDOM.normal(0, 0.3, ROWS), 0.01, 0.99)
    comparison = paired.difference(
        BINARY, SCORES, worse, "roc_auc", blocks=rows, confidence=0.95, weights=WEIGHTS
    )
    assert comparison.observed == pytest.approx(sk.roc_auc_score(BINARY, SCORES, sample_weight=WEIGHTS))
    assert comparison.baseline == pytest.approx(sk.roc_auc_score(BINARY, worse, sample_weight=WEIGHTS))
    assert comparison.how.startswith("bootstrap")
    assert comparison.interval is not None
    with pytest.raises(SpecError, match="delong knows no weights; use bootstrap"):
        paired.difference(
            BINARY,
            SCORES,
            worse,
            "roc_auc",
            blocks=rows,
            confidence=0.95,
            test="delong",
            weights=WEIGHTS,
        )


def test_the_spans_of_stability_are_weighted() -> None:
    rows = resampling.Blocks(np.arange(ROWS) % 2, 2, "day", ("even", "odd"))
    judged = Judged(None, VALUES, PREDICTED, rows, weights=WEIGHTS)
    even = slice(0, None, 2)
    [(value, n), _] = spans(judged, "mae", rows, 10).values()
    assert value == pytest.approx(
        sk.mean_absolute_error(VALUES[even], PREDICTED[even], sample_weight=WEIGHTS[even])
    )
    assert n == ROWS // 2


def test_sums_of_classes_do_not_take_small_weights_for_none() -> None:
    tiny = WEIGHTS / 1_000
    value = statistic("recall", CODES, MATRIX, BLOCKS, weights=tiny).compute(np.ones(40, np.int64))
    assert value == pytest.approx(measures.measure("recall", CODES, MATRIX, weights=WEIGHTS), rel=1e-9)


@pytest.mark.parametrize(
    "decision",
    [
        Decision(costs=Costs(false_positive=1, false_negative=3)),
        Decision(metric="f1"),
        Decision(metric="matthews"),
    ],
)
def test_a_threshold_is_that_of_rows_that_come_as_often_as_they_weigh(decision: Decision) -> None:
    times = RANDOM.integers(0, 4, ROWS)
    weighted = decisions.best(BINARY, SCORES, decision, times.astype(float))
    repeated = decisions.best(np.repeat(BINARY, times), np.repeat(SCORES, times), decision)
    assert weighted.value == pytest.approx(repeated.value, rel=1e-12)
    assert weighted.positive == pytest.approx(repeated.positive, rel=1e-12)


def test_a_cost_is_the_mean_of_what_rows_weigh() -> None:
    rule = DecisionRule(threshold=0.3, costs=Costs(false_positive=1, false_negative=3))
    lost = np.where(BINARY == 1, 3.0 * (SCORES < 0.3), 1.0 * (SCORES >= 0.3))
    expected = np.average(lost, weights=WEIGHTS)
    assert measures.measure("expected_cost", BINARY, SCORES, rule=rule, weights=WEIGHTS) == pytest.approx(
        expected
    )
    drawn = statistic("expected_cost", BINARY, SCORES, BLOCKS, rule, WEIGHTS)
    assert drawn.compute(np.ones(40, np.int64)) == pytest.approx(expected)
