"""Metrics of predictions, computed in the same way for training, evaluation and monitoring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import F_BETA, PINBALL, TOP, Metric, measured, metric_of
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.learning.statistics import decisions, multiclass, own

if TYPE_CHECKING:
    import numpy as np


DEVIANCES: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "poisson_deviance": lambda truth, predicted: bool(truth.min() >= 0 and predicted.min() > 0),
    "gamma_deviance": lambda truth, predicted: bool(truth.min() > 0 and predicted.min() > 0),
}
"""Whether a deviance is defined for values, of which there is at least one, and their predictions."""
_BOTH_CLASSES = ("roc_auc", "balanced_accuracy", "matthews", "quadratic_kappa")


def metrics(
    truth: np.ndarray,
    predicted: np.ndarray,
    task: str,
    more: Iterable[str] = (),
    *,
    rule: DecisionRule = HALF,
    weights: np.ndarray | None = None,
) -> dict[str, float | None]:
    """Compute the standard metrics of a task, and further ones, with scikit-learn.

    :param truth: codes of classes for classification, values for regression; without missing values.
    :param predicted: probability of class 1 of two, or the predicted value, one for each label; of more classes a
        probability for each, one column a class.
    :param more: metrics that are measured besides.
    :param rule: from which probability on the version calls a row positive, and what mistakes cost.
    :param weights: how much each row counts, scikit-learn's ``sample_weight``; None means that all count alike.
    :returns: value by metric name; None where the metric is undefined on these rows, such as ROC AUC on one class.
    :raises ValueError: if a prediction or label is missing or not finite, or labels are not 0 and 1.
    """
    return {
        name: measure(name, truth, predicted, rule=rule, weights=weights) for name in measured(task, more)
    }


def measure(
    metric: str,
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    rule: DecisionRule = HALF,
    weights: np.ndarray | None = None,
) -> float | None:
    """Compute one metric as :func:`metrics` does; a probability of the rule's threshold or more counts as label 1.

    :raises MetricFailed: if a metric of one's own cannot be computed.

    For more than two classes, see :func:`airflow_mlops.learning.statistics.multiclass.measure`.
    """
    import numpy as np

    truth, predicted = np.asarray(truth, dtype=float), np.asarray(predicted, dtype=float)
    if truth.size != len(predicted) or not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise ValueError(f"{metric} needs one finite prediction for each finite label")
    if weights is not None:
        # A row of weight 0 says nothing: a class that has no other rows is not there.
        counted = np.asarray(weights, dtype=float) > 0
        truth, predicted, weights = truth[counted], predicted[counted], weights[counted]
    predicted, named = decisions.decided(metric, predicted, rule), metric_of(metric)
    if named.function:
        value = own.measure(named, truth, predicted, weights)
    elif named.task == "regression":
        value = _regression(named, truth, predicted, weights)
    elif metric == COST:
        costs = decisions.costs(truth, predicted, rule)
        value = float(np.average(costs, weights=weights)) if truth.size else math.nan
    elif predicted.ndim == 2:
        value = multiclass.measure(named, truth, predicted, weights)
    else:
        value = _classification(named, truth, predicted, weights)
    return value if math.isfinite(value) else None


def finite(predicted: np.ndarray) -> np.ndarray:
    """Tell for each row whether what was predicted is a finite number; of many classes, whether all are."""
    import numpy as np

    numbers: np.ndarray = np.isfinite(predicted)
    return numbers if predicted.ndim == 1 else np.asarray(numbers.all(axis=1))


def by_class(
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str],
    *,
    rule: DecisionRule = HALF,
    weights: np.ndarray | None = None,
) -> dict[str, dict[str, float | None]]:
    """Return precision, recall and F1 of each class, with its number of rows; what is undefined is None.

    :param truth: codes of classes.
    :param classes: in the order of their codes; none gives none, as for a regression.
    :param rule: from which probability on the version calls a row positive.
    :param weights: how much each row counts; the number of rows is that of all of them.
    """
    import numpy as np

    if not classes or not finite(predicted).all():
        return {}
    called = decisions.chosen(predicted, rule)
    measured: dict[str, dict[str, float | None]] = {}
    for code, name in enumerate(classes):
        true, put = truth == code, called == code
        sides = (true & put, true, put)
        hits, truly, predictions = (
            float(np.sum(which if weights is None else weights[which])) for which in sides
        )
        measured[name] = {
            "rows": int(np.sum(true)),
            "precision": hits / predictions if predictions else None,
            "recall": hits / truly if truly else None,
            "f1": 2 * hits / (truly + predictions) if truly else None,
        }
    return measured


def _classification(
    named: Metric, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None
) -> float:
    from sklearn import metrics as sk

    metric, positives = named.name, truth.sum()
    if not ((truth == 0) | (truth == 1)).all():
        raise ValueError("classification labels must be 0 and 1")
    # Undefined, where scikit-learn answers with a number and a warning.
    one_class = positives == truth.size and metric in _BOTH_CLASSES
    of_positives = {*_BOTH_CLASSES, "average_precision", "f1", "f1_weighted", "recall"}
    none = not positives and (metric in of_positives or named.family == F_BETA)
    if not truth.size or one_class or none or (named.family == TOP and named.number > 1):
        return math.nan
    called = predicted >= 0.5
    if metric == "precision" and not called.any():
        return math.nan
    labels, share = truth.astype(int), {"sample_weight": weights}
    if named.family == F_BETA:
        return float(sk.fbeta_score(labels, called, beta=named.number, zero_division=0.0, **share))
    compute: dict[str, Callable[[], float]] = {
        "roc_auc": lambda: sk.roc_auc_score(labels, predicted, **share),
        "average_precision": lambda: sk.average_precision_score(labels, predicted, **share),
        "log_loss": lambda: sk.log_loss(labels, predicted, labels=[0, 1], **share),
        "brier": lambda: sk.brier_score_loss(labels, predicted, labels=[0, 1], pos_label=1, **share),
        "accuracy": lambda: sk.accuracy_score(labels, called, **share),
        "f1": lambda: sk.f1_score(labels, called, zero_division=0.0, **share),
        "f1_weighted": lambda: sk.f1_score(labels, called, average="weighted", zero_division=0.0, **share),
        "precision": lambda: sk.precision_score(labels, called, **share),
        "recall": lambda: sk.recall_score(labels, called, **share),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(labels, called, **share),
        "matthews": lambda: sk.matthews_corrcoef(labels, called, **share),
        "quadratic_kappa": lambda: sk.cohen_kappa_score(labels, called, weights="quadratic", **share),
    }
    return float(compute["accuracy" if named.family == TOP else metric]())


def _regression(named: Metric, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    from sklearn import metrics as sk

    metric = named.name
    # R2 compares with the variance of the truth, and one row or one value has none.
    if not truth.size or (metric == "r2" and not truth.std()):
        return math.nan
    if metric in DEVIANCES and not DEVIANCES[metric](truth, predicted):
        return math.nan
    if named.family == PINBALL:
        quantile = named.number / 100
        return float(sk.mean_pinball_loss(truth, predicted, alpha=quantile, sample_weight=weights))
    compute: dict[str, Callable[..., float]] = {
        "rmse": sk.root_mean_squared_error,
        "mae": sk.mean_absolute_error,
        "r2": sk.r2_score,
        "mape": sk.mean_absolute_percentage_error,
        "median_absolute_error": sk.median_absolute_error,
        "poisson_deviance": sk.mean_poisson_deviance,
        "gamma_deviance": sk.mean_gamma_deviance,
    }
    return float(compute[metric](truth, predicted, sample_weight=weights))
