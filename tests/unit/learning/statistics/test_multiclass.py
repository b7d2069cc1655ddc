from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from airflow_mlops.learning.statistics import decisions, measures, resampling
from airflow_mlops.learning.statistics.statistic import statistic

METRICS = ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1")


def predictions(rows: int = 2_000, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([1.0] * (classes - 1) + [0.3], rows)
    return np.array([random.choice(classes, p=row) for row in probabilities]), probabilities


def days(rows: int) -> resampling.Blocks:
    times = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(3600, "s")
    return resampling.blocks(times, "day", "month")


def test_metrics_are_those_of_scikit_learn() -> None:
    truth, predicted = predictions()
    one_hot = np.eye(4)[truth]
    expected = {
        "roc_auc": sk.roc_auc_score(truth, predicted, multi_class="ovr", average="macro"),
        "average_precision": sk.average_precision_score(one_hot, predicted, average="macro"),
        "log_loss": sk.log_loss(truth, predicted),
        "brier": sk.brier_score_loss(truth, predicted, scale_by_half=True),
        "accuracy": sk.accuracy_score(truth, predicted.argmax(axis=1)),
        "f1": sk.f1_score(truth, predicted.argmax(axis=1), average="macro"),
    }
    assert measures.metrics(truth, predicted, "classification") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_a_statistic_of_all_blocks_is_the_metric(metric: str) -> None:
    truth, predicted = predictions()
    truth[:40] = -1
    blocks = days(truth.size)
    drawn_once = np.ones(blocks.count, np.int64)
    value = statistic(metric, truth, predicted, blocks).compute(drawn_once)
    assert value == pytest.approx(measures.measure(metric, truth, predicted), rel=1e-12)


@pytest.mark.parametrize("unit", ["day", "none"])
@pytest.mark.parametrize(
    "metric",
    [
        "roc_auc",
        "average_precision",
        "f1",
        "precision",
        "recall",
        "balanced_accuracy",
        "f2",
        "f1_weighted",
        "matthews",
        "quadratic_kappa",
    ],
)
def test_a_draw_of_blocks_has_the_metric_of_the_rows_drawn(metric: str, unit: str) -> None:
    truth, predicted = predictions(rows=600, classes=30)
    predicted = np.round(predicted, 1)
    truth[:9] = -1 if metric != "quadratic_kappa" else 0
    times = np.datetime64("2020-01-01", "us") + np.arange(600) * np.timedelta64(3600, "s")
    blocks = resampling.blocks(times, unit, "month")
    drawn = np.random.default_rng(1).integers(0, 3, blocks.count)
    rows = np.repeat(np.arange(600), drawn[blocks.codes])
    computed = statistic(metric, truth, predicted, blocks).compute(drawn)
    assert computed == pytest.approx(measures.measure(metric, truth[rows], predicted[rows]), rel=1e-12)


def test_a_class_that_the_rows_lack_is_left_out_of_means() -> None:
    truth, predicted = predictions()
    kept = truth != 3
    truth, predicted = truth[kept], predicted[kept]
    each = [sk.roc_auc_score(truth == code, predicted[:, code]) for code in range(3)]
    assert measures.measure("roc_auc", truth, predicted) == pytest.approx(np.mean(each))


def test_a_label_of_no_class_is_wrong_whatever_is_predicted() -> None:
    predicted = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    truth = np.array([0, -1])
    assert measures.measure("accuracy", truth, predicted) == 0.5
    assert measures.measure("brier", truth, predicted) == pytest.approx(
        ((0.04 + 0.01 + 0.01) + (0.04 + 0.49 + 0.01 + 1)) / 4
    )
    assert measures.measure("log_loss", truth, predicted) > 15


def test_rows_of_one_class_have_no_curve() -> None:
    truth, predicted = np.zeros(20), predictions(20)[1]
    assert measures.measure("roc_auc", truth, predicted) is None
    assert measures.measure("accuracy", truth, predicted) is not None


def test_a_tie_is_the_first_class() -> None:
    assert decisions.chosen(np.array([[0.4, 0.4, 0.2]])).tolist() == [0]
    assert decisions.chosen(np.array([0.5])).tolist() == [1]


def test_each_class_has_its_precision_and_recall() -> None:
    truth, predicted = predictions()
    measured = measures.by_class(truth, predicted, ("a", "b", "c", "d"))
    precision, recall, f1, rows = sk.precision_recall_fscore_support(truth, predicted.argmax(axis=1))
    for code, name in enumerate("abcd"):
        expected = {"rows": rows[code], "precision": precision[code], "recall": recall[code], "f1": f1[code]}
        assert measured[name] == pytest.approx(expected)


def test_calibration_is_that_of_the_chosen_class() -> None:
    truth, predicted = predictions(20_000)
    blocks = days(truth.size)
    once = np.ones(blocks.count, np.int64)
    assert statistic("calibration", truth, predicted, blocks).compute(once) < 0.02
    sure = np.eye(4)[predicted.argmax(axis=1)]
    wrong = 1 - measures.measure("accuracy", truth, sure)
    assert statistic("calibration", truth, sure, blocks).compute(once) == pytest.approx(wrong)
