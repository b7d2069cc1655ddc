"""Outlier detectors as candidates: what lets the labels there are judge them."""

from __future__ import annotations

from airflow_mlops.domain.metrics import Task

DETECTORS = frozenset(
    {
        "sklearn.covariance.EllipticEnvelope",
        "sklearn.ensemble.IsolationForest",
        "sklearn.linear_model.SGDOneClassSVM",
        "sklearn.neighbors.LocalOutlierFactor",
        "sklearn.svm.OneClassSVM",
    }
)
"""The outlier detectors of scikit-learn, as candidates are written."""
_METHODS = ("sigmoid", "isotonic")


def unfit(name: str, task: str, classes: int, calibrate: str | None) -> str:
    """Return why an outlier detector cannot be a candidate; "" if it can.

    :param name: of the detector, for the message.
    :param classes: number of classes of a classification.
    """
    if task != Task.CLASSIFICATION:
        return f"{name} looks for outliers, and predicts no number: write task: classification with a target of two classes"
    if classes > 2:
        return f"{name} tells outliers from all other rows, and there are {classes} classes: take a classifier, or a target of two"
    if calibrate in _METHODS:
        return ""
    if calibrate is None:
        return (
            f"{name} looks for outliers without labels, and its score is no probability of the target; write calibrate: sigmoid "
            "(or isotonic), which learns one from the score and the labels there are"
        )
    return (
        f"{name} gives a score without a zero between the classes, which calibrate: {calibrate} needs; "
        f"write calibrate: {' or '.join(_METHODS)}"
    )
