"""Metrics that are measured where a spec names them: scikit-learn's, and the same as statistics of blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.metrics import FAMILIES, METRICS, measured, metric_of, names
from airflow_mlops.learning.statistics import measures, resampling
from airflow_mlops.learning.statistics.statistic import statistic

BINARY: dict[str, Callable[..., float]] = {
    "f1_weighted": lambda t, c: sk.f1_score(t, c, average="weighted"),
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "matthews": sk.matthews_corrcoef,
    "quadratic_kappa": lambda t, c: sk.cohen_kappa_score(t, c, weights="quadratic"),
    "f2": lambda t, c: sk.fbeta_score(t, c, beta=2),
    "f0.5": lambda t, c: sk.fbeta_score(t, c, beta=0.5),
    "top_1_accuracy": sk.accuracy_score,
}
MANY: dict[str, Callable[..., float]] = {
    **BINARY,
    "precision": lambda t, c: sk.precision_score(t, c, average="macro", zero_division=0),
    "recall": lambda t, c: sk.recall_score(t, c, average="macro", zero_division=0),
    "f2": lambda t, c: sk.fbeta_score(t, c, beta=2, average="macro"),
    "f0.5": lambda t, c: sk.fbeta_score(t, c, beta=0.5, average="macro"),
}
VALUES: dict[str, Callable[..., float]] = {
    "mape": sk.mean_absolute_percentage_error,
    "median_absolute_error": sk.median_absolute_error,
    "pinball_10": lambda t, p: sk.mean_pinball_loss(t, p, alpha=0.1),
    "pinball_97.5": lambda t, p: sk.mean_pinball_loss(t, p, alpha=0.975),
    "poisson_deviance": sk.mean_poisson_deviance,
    "gamma_deviance": sk.mean_gamma_deviance,
}


def blocks(rows: int) -> resampling.Blocks:
    times = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(3600, "s")
    return resampling.blocks(times, "day", "month")


def two_classes(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    predicted = random.beta(1.2, 2, 999)
    return (random.random(999) < predicted).astype(float), predicted


def many_classes(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    predicted = random.dirichlet([1, 1, 1, 0.4, 0.2], 999)
    return np.array([random.choice(5, p=row) for row in predicted]), predicted


def values(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.gamma(2, 3, 999) + 0.1
    return truth, truth * random.lognormal(0, 0.5, 999)


def agree(name: str, truth: np.ndarray, predicted: np.ndarray, expected: float) -> None:
    """Hold a metric, its statistic of all blocks, and its statistic of some of them, to an expected value."""
    value = measures.measure(name, truth, predicted)
    assert value == pytest.approx(expected, rel=1e-12)
    whole = blocks(truth.size)
    computed = statistic(name, truth, predicted, whole)
    assert computed.compute(np.ones(whole.count, np.int64)) == pytest.approx(expected, rel=1e-9)
    drawn = np.random.default_rng(1).integers(0, 3, whole.count)
    rows = np.repeat(np.arange(truth.size), drawn[whole.codes])
    again = measures.measure(name, truth[rows], predicted[rows])
    assert computed.compute(drawn) == pytest.approx(again, rel=1e-9)


def test_every_metric_that_is_not_standard_is_tested_here() -> None:
    named = {name for name, metric in METRICS.items() if not metric.standard}
    # The cost of mistakes is tested with decisions.
    tested = {*BINARY, *VALUES, "top_3_accuracy", "expected_cost"}
    assert named == tested & {*METRICS}
    assert {metric_of(name).family for name in tested} == {None, *FAMILIES}
    assert set(measured("regression", ["mape", "precision"])) == {"rmse", "mae", "r2", "mape"}
    assert names("classification")[0] == "roc_auc"


@pytest.mark.parametrize("name", BINARY)
def test_of_two_classes_it_is_scikit_learns(name: str) -> None:
    truth, predicted = two_classes()
    agree(name, truth, predicted, BINARY[name](truth, predicted >= 0.5))


@pytest.mark.parametrize("name", MANY)
def test_of_many_classes_it_is_scikit_learns(name: str) -> None:
    truth, predicted = many_classes()
    agree(name, truth, predicted, MANY[name](truth, predicted.argmax(axis=1)))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_true_class_is_among_so_many_most_probable(count: int) -> None:
    truth, predicted = many_classes()
    expected = sk.top_k_accuracy_score(truth, predicted, k=count, labels=range(5))
    agree(f"top_{count}_accuracy", truth, predicted, expected)


def test_among_as_many_as_there_are_every_class_would_be() -> None:
    truth, predicted = many_classes()
    assert measures.measure("top_5_accuracy", truth, predicted) is None
    assert measures.measure("top_2_accuracy", *two_classes()) is None
    assert measures.measure("top_3_accuracy", *two_classes()) is None
    assert measures.measure("top_3_accuracy", truth[truth < 3], np.eye(3)[truth[truth < 3]]) is None


@pytest.mark.parametrize("name", VALUES)
def test_of_values_it_is_scikit_learns(name: str) -> None:
    truth, predicted = values()
    agree(name, truth, predicted, VALUES[name](truth, predicted))


@pytest.mark.parametrize(
    ("name", "truth", "predicted"),
    [
        ("precision", [0, 1], [0.1, 0.2]),
        ("recall", [0, 0], [0.1, 0.9]),
        ("f2", [0, 0], [0.1, 0.9]),
        ("balanced_accuracy", [1, 1], [0.1, 0.9]),
        ("matthews", [0, 0], [0.1, 0.9]),
        ("quadratic_kappa", [1, 1], [0.8, 0.9]),
        ("poisson_deviance", [-1, 2], [1, 2]),
        ("poisson_deviance", [0, 2], [0, 2]),
        ("gamma_deviance", [0, 2], [1, 2]),
        ("mape", [], []),
        ("quadratic_kappa", [0, -1], [[0.5, 0.3, 0.2]] * 2),
    ],
)
def test_what_rows_do_not_define_is_none(name: str, truth: Any, predicted: Any) -> None:
    rows = np.array(truth, dtype=float), np.array(predicted, dtype=float)
    assert measures.measure(name, *rows) is None


def test_what_is_measured_lies_within_its_bounds() -> None:
    for name in set(names("classification")) - {"expected_cost"}:
        value = measures.measure(name, *many_classes())
        assert value is not None
        assert METRICS[name].low <= value <= METRICS[name].high
