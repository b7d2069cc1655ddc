"""Metrics of predictions, computed in the same way for training, evaluation and monitoring."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_mlops.domain.metrics import METRICS

if TYPE_CHECKING:
    import numpy as np


def metrics(truth: np.ndarray, predicted: np.ndarray, task: str) -> dict[str, float | None]:
    """Compute every metric of a task with scikit-learn.

    :param truth: labels 0 and 1 for classification, values for regression; without missing values.
    :param predicted: probability of label 1, or the predicted value; one for each label.
    :returns: value by metric name; None where the metric is undefined on these rows, such as ROC AUC on one class.
    :raises ValueError: if a prediction or label is missing or not finite, or labels are not 0 and 1.
    """
    return {name: measure(name, truth, predicted) for name, metric in METRICS.items() if metric.task == task}


def measure(metric: str, truth: np.ndarray, predicted: np.ndarray) -> float | None:
    """Compute one metric as :func:`metrics` does; a probability of 0.5 or more counts as label 1."""
    import numpy as np

    truth, predicted = np.asarray(truth, dtype=float), np.asarray(predicted, dtype=float)
    if truth.size != predicted.size or not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise ValueError(f"{metric} needs one finite prediction for each finite label")
    if METRICS[metric].task == "regression":
        value = _regression(metric, truth, predicted)
    else:
        value = _classification(metric, truth, predicted)
    return value if math.isfinite(value) else None


def _classification(metric: str, truth: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn import metrics as sk

    positives = truth.sum()
    if not ((truth == 0) | (truth == 1)).all():
        raise ValueError("classification labels must be 0 and 1")
    # Undefined, where scikit-learn answers with a number and a warning.
    one_class = positives == truth.size and metric == "roc_auc"
    if not truth.size or one_class or (not positives and metric in {"roc_auc", "average_precision", "f1"}):
        return math.nan
    compute = {
        "roc_auc": sk.roc_auc_score,
        "average_precision": sk.average_precision_score,
        "log_loss": lambda labels, p: sk.log_loss(labels, p, labels=[0, 1]),
        "brier": lambda labels, p: sk.brier_score_loss(labels, p, labels=[0, 1], pos_label=1),
        "accuracy": lambda labels, p: sk.accuracy_score(labels, p >= 0.5),
        "f1": lambda labels, p: sk.f1_score(labels, p >= 0.5, zero_division=0.0),
    }[metric]
    return float(compute(truth.astype(int), predicted))


def _regression(metric: str, truth: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn import metrics as sk

    # R2 compares with the variance of the truth, and one row or one value has none.
    if not truth.size or (metric == "r2" and not truth.std()):
        return math.nan
    compute = {
        "rmse": sk.root_mean_squared_error,
        "mae": sk.mean_absolute_error,
        "r2": sk.r2_score,
    }[metric]
    return float(compute(truth, predicted))
