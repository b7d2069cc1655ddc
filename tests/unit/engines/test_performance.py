from __future__ import annotations

import time

import numpy as np
import pytest

from airflow_mlops.engines import performance


def make_scores(rows: int = 2000, signal: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = (random.random(rows) < 0.25).astype(int)
    return truth, 1 / (1 + np.exp(-(signal * truth - 1.2 + random.normal(0, 1, rows))))


def test_classification_metrics_have_the_values_computed_by_hand() -> None:
    found = performance.metrics(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]), "classification")
    assert found == pytest.approx(
        {
            "roc_auc": 0.75,  # 3 of 4 pairs in order
            "average_precision": (1 + 2 / 3) / 2,
            "log_loss": -np.mean(np.log([0.9, 0.4, 0.4, 0.9])),
            "brier": (0.01 + 0.36 + 0.36 + 0.01) / 4,
            "accuracy": 0.5,
            "f1": 0.5,
        }
    )


def test_regression_metrics_have_the_values_computed_by_hand() -> None:
    found = performance.metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0]), "regression")
    assert found == pytest.approx({"rmse": 3**0.5, "mae": 1.0, "r2": 1 - 9 / 2})


def test_a_probability_of_one_half_counts_as_the_label() -> None:
    assert performance.measure("accuracy", np.array([1, 0]), np.array([0.5, 0.49])) == 1.0


@pytest.mark.parametrize(
    ("labels", "undefined"),
    [([1, 1], {"roc_auc"}), ([0, 0], {"roc_auc", "average_precision", "f1"})],
)
def test_a_single_class_leaves_undefined_metrics_out_without_a_warning(
    labels: list[int], undefined: set[str], recwarn: pytest.WarningsRecorder
) -> None:
    found = performance.metrics(np.array(labels), np.array([0.2, 0.8]), "classification")
    assert {name for name, value in found.items() if value is None} == undefined
    assert not recwarn.list


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_no_rows_give_no_values(task: str) -> None:
    assert set(performance.metrics(np.array([]), np.array([]), task).values()) == {None}


def test_r2_of_a_constant_truth_is_undefined() -> None:
    assert performance.measure("r2", np.array([2.0, 2.0]), np.array([1.0, 3.0])) is None


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 1], [0.1, float("nan")], "finite"),
        ([0, float("nan")], [0.1, 0.2], "finite"),
        ([0, 1, 1], [0.1, 0.2], "one finite prediction"),
        ([1, 2], [0.1, 0.2], "0 and 1"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(
    truth: list[float], predicted: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        performance.metrics(np.array(truth), np.array(predicted), "classification")


def test_boolean_labels_are_zero_and_one() -> None:
    truth, scores = make_scores()
    assert performance.measure("roc_auc", truth.astype(bool), scores) == performance.measure(
        "roc_auc", truth, scores
    )


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_the_interval_is_positive_where_ours_is_better_in_either_direction_of_the_metric(metric: str) -> None:
    truth, good = make_scores(signal=2.0)
    noise = np.random.default_rng(1).permutation(good)
    low, high = performance.paired_difference(truth, good, noise, metric, confidence=0.95) or (0, 0)
    assert 0 < low < high
    low, high = performance.paired_difference(truth, noise, good, metric, confidence=0.95) or (0, 0)
    assert low < high < 0


def test_the_interval_covers_the_normal_approximation_of_a_paired_mean() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    ours, theirs = truth + random.normal(size=4000), truth + random.normal(0, 1.05, 4000)
    gains = np.abs(theirs - truth) - np.abs(ours - truth)
    half = 1.96 * gains.std() / 4000**0.5
    interval = performance.paired_difference(truth, ours, theirs, "mae", confidence=0.95, resamples=1000)
    assert interval == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.15 * half)


def test_rows_are_resampled_in_pairs() -> None:
    truth, scores = make_scores()
    assert performance.paired_difference(truth, scores, scores, "brier", confidence=0.95) == (0.0, 0.0)


def test_equal_seeds_give_equal_intervals_and_more_confidence_a_wider_one() -> None:
    truth, ours = make_scores(500)
    theirs = make_scores(500, seed=1)[1]
    narrow = performance.paired_difference(truth, ours, theirs, "brier", confidence=0.8)
    assert narrow == performance.paired_difference(truth, ours, theirs, "brier", confidence=0.8)
    assert narrow != performance.paired_difference(truth, ours, theirs, "brier", confidence=0.8, seed=1)
    wide = performance.paired_difference(truth, ours, theirs, "brier", confidence=0.99)
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("labels", [[0, 0, 0], []])
def test_an_undefined_metric_has_no_interval(labels: list[int]) -> None:
    truth = np.array(labels)
    scores = np.full(truth.shape, 0.5)
    assert performance.paired_difference(truth, scores, scores, "roc_auc", confidence=0.95) is None


def test_twenty_thousand_rows_take_seconds_of_one_processor_at_most() -> None:
    truth, ours = make_scores(20_000)
    theirs = make_scores(20_000, seed=1)[1]
    start = time.process_time()
    performance.paired_difference(truth, ours, theirs, "roc_auc", confidence=0.95)
    assert time.process_time() - start < 6
