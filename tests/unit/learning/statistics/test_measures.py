from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.learning.statistics import measures
from scores import make_scores


def test_classification_metrics_have_the_values_computed_by_hand() -> None:
    found = measures.metrics(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]), "classification")
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
    found = measures.metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0]), "regression")
    assert found == pytest.approx({"rmse": 3**0.5, "mae": 1.0, "r2": 1 - 9 / 2})


def test_a_probability_of_one_half_counts_as_the_label() -> None:
    assert measures.measure("accuracy", np.array([1, 0]), np.array([0.5, 0.49])) == 1.0


@pytest.mark.parametrize(
    ("labels", "undefined"),
    [([1, 1], {"roc_auc"}), ([0, 0], {"roc_auc", "average_precision", "f1"})],
)
def test_a_single_class_leaves_undefined_metrics_out_without_a_warning(
    labels: list[int], undefined: set[str], recwarn: pytest.WarningsRecorder
) -> None:
    found = measures.metrics(np.array(labels), np.array([0.2, 0.8]), "classification")
    assert {name for name, value in found.items() if value is None} == undefined
    assert not recwarn.list


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_no_rows_give_no_values(task: str) -> None:
    assert set(measures.metrics(np.array([]), np.array([]), task).values()) == {None}


def test_r2_of_a_constant_truth_is_undefined() -> None:
    assert measures.measure("r2", np.array([2.0, 2.0]), np.array([1.0, 3.0])) is None


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
        measures.metrics(np.array(truth), np.array(predicted), "classification")


def test_boolean_labels_are_zero_and_one() -> None:
    truth, scores = make_scores()
    assert measures.measure("roc_auc", truth.astype(bool), scores) == measures.measure(
        "roc_auc", truth, scores
    )
