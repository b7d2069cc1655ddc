"""Models around models: calibrated classifiers and ensembles, each part with its own preprocessing inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.learning.models import routing
from airflow_mlops.learning.models.routing import SPANS

if TYPE_CHECKING:
    import numpy as np
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline


def calibrated(model: Pipeline, method: str) -> BaseEstimator:
    """Return a classifier whose probabilities are learned from the scores of rows that it was not fitted to.

    One model predicts: it is fitted to all rows, and what makes its scores probabilities is fitted to what the models of four
    spans say of the fifth, as scikit-learn does with ``ensemble=False``.

    :param method: ``sigmoid``: Platt, Probabilistic Outputs for Support Vector Machines (1999); ``isotonic``: Zadrozny and
        Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates (2002); ``temperature``: Guo and
        others, On Calibration of Modern Neural Networks (2017).
    """
    from sklearn.calibration import CalibratedClassifierCV

    return CalibratedClassifierCV(model, method=method, cv=SPANS, ensemble=False, n_jobs=1)


def ensemble(members: list[tuple[str, Pipeline]], method: str, task: str) -> BaseEstimator:
    """Return a model of several: the mean of their probabilities or values, or what a linear model makes of these.

    :param members: by name.
    :param method: ``voting``, or ``stacking``: Wolpert, Stacked Generalization (1992). The linear model, a logistic or a ridge
        regression, is fitted to what members of four spans say of the fifth; the members, to all rows.
    """
    from sklearn import ensemble as sk
    from sklearn.linear_model import LogisticRegression, RidgeCV

    # One after the other, as each member may use all threads.
    if method == "voting":
        if task == "classification":
            return sk.VotingClassifier(members, voting="soft", n_jobs=1)
        return sk.VotingRegressor(members, n_jobs=1)
    if task == "classification":
        # Named, as calibration asks before it is fitted whether it gives probabilities.
        return sk.StackingClassifier(members, LogisticRegression(), cv=SPANS, n_jobs=1)
    return sk.StackingRegressor(members, RidgeCV(), cv=SPANS, n_jobs=1)


def too_few(
    unfitted: Pipeline, labels: np.ndarray, classes: tuple[str, ...], groups: np.ndarray | None = None
) -> str:
    """Return why rows cannot be split into the spans of a model; "" if they can, or need not be.

    The spans are in the order of time, of a classifier fifths of each class, so that a rare one is in all of them; with groups
    they are of whole groups instead.

    :param labels: codes of the classes, or the numbers of a regression.
    :param groups: number of each row's group; None if there are none.
    """
    import numpy as np
    from sklearn.base import is_classifier

    if groups is not None and routing.splitting(unfitted):
        return _too_few_groups(labels if is_classifier(unfitted) else np.zeros(labels.size), classes, groups)
    return _too_few_rows(unfitted, labels, classes) if is_classifier(unfitted) else ""


def _too_few_groups(labels: np.ndarray, classes: tuple[str, ...], groups: np.ndarray) -> str:
    import numpy as np

    codes = np.unique(labels)
    counts = [np.unique(groups[labels == code]).size for code in codes]
    if min(counts) >= SPANS:
        return ""
    least = int(np.argmin(counts))
    of_class = f" with rows of class {classes[int(codes[least])]!r}" if len(codes) > 1 else ""
    return (
        f"there are {counts[least]} groups of train.groups{of_class}, and what it learns from needs {SPANS}, one for each span: "
        "take a longer window, or a candidate without calibrate, stacking and estimators with a cv"
    )


def _too_few_rows(unfitted: Pipeline, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import StackingClassifier

    parts = [*unfitted.get_params().values()]
    learning = [part for part in parts if isinstance(part, CalibratedClassifierCV | StackingClassifier)]
    spans = max((part.cv for part in learning if isinstance(part.cv, int)), default=0)
    codes, rows = np.unique(labels, return_counts=True)
    if rows.min() >= spans:
        return ""
    return (
        f"{rows.min()} of {labels.size:,} rows to fit on are of class {classes[codes[rows.argmin()]]!r}, and calibrate and stacking "
        f"need {spans}, one for each span that they learn from: take a longer window, or leave them out"
    )
