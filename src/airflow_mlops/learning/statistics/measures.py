"""Metrics of predictions, computed in the same way for training, evaluation and monitoring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.metrics import METRICS
from airflow_mlops.learning.statistics import multiclass

if TYPE_CHECKING:
    import numpy as np


def metrics(truth: np.ndarray, predicted: np.ndarray, task: str) -> dict[str, float | None]:
    """Compute every metric of a task with scikit-learn.

    :param truth: codes of classes for classification, values for regression; without missing values.
    :param predicted: probability of class 1 of two, or the predicted value, one for each label; of more classes a
        probability for each, one column a class.
    :returns: value by metric name; None where the metric is undefined on these rows, such as ROC AUC on one class.
    :raises ValueError: if a prediction or label is missing or not finite, or labels are not 0 and 1.
    """
    return {name: measure(name, truth, predicted) for name, metric in METRICS.items() if metric.task == task}


def measure(metric: str, truth: np.ndarray, predicted: np.ndarray) -> float | None:
    """Compute one metric as :func:`metrics` does; a probability of 0.5 or more counts as label 1.

    For more than two classes, see :func:`airflow_mlops.learning.statistics.multiclass.measure`.
    """
    import numpy as np

    truth, predicted = np.asarray(truth, dtype=float), np.asarray(predicted, dtype=float)
    if truth.size != len(predicted) or not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise ValueError(f"{metric} needs one finite prediction for each finite label")
    if METRICS[metric].task == "regression":
        value = _regression(metric, truth, predicted)
    elif predicted.ndim == 2:
        value = multiclass.measure(metric, truth, predicted)
    else:
        value = _classification(metric, truth, predicted)
    return value if math.isfinite(value) else None


def finite(predicted: np.ndarray) -> np.ndarray:
    """Tell for each row whether what was predicted is a finite number; of many classes, whether all are."""
    import numpy as np

    numbers: np.ndarray = np.isfinite(predicted)
    return numbers if predicted.ndim == 1 else np.asarray(numbers.all(axis=1))


def by_class(
    truth: np.ndarray, predicted: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Return precision, recall and F1 of each class, with its number of rows; what is undefined is None.

    :param truth: codes of classes.
    :param classes: in the order of their codes; none gives none, as for a regression.
    """
    import numpy as np

    if not classes or not finite(predicted).all():
        return {}
    called = chosen(predicted)
    measured: dict[str, dict[str, float | None]] = {}
    for code, name in enumerate(classes):
        true, put = truth == code, called == code
        hits, rows, predictions = (int(np.sum(which)) for which in (true & put, true, put))
        measured[name] = {
            "rows": rows,
            "precision": hits / predictions if predictions else None,
            "recall": hits / rows if rows else None,
            "f1": 2 * hits / (rows + predictions) if rows else None,
        }
    return measured


def chosen(predicted: np.ndarray) -> np.ndarray:
    """Return the code of the class that each row is put in: the most probable one, and 1 of two from 0.5 on."""
    import numpy as np

    codes: np.ndarray = predicted.argmax(axis=1) if predicted.ndim == 2 else predicted >= 0.5
    return codes.astype(np.int64)


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
