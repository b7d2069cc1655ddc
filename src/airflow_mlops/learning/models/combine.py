"""Models around models: calibrated classifiers and ensembles, each part with its own preprocessing inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

SPANS = 5
"""Spans of the training rows in the order of time; what was predicted for each, by a model of the others, is what a combined
model learns from. Of a classifier they are fifths of each class, so that a rare one is in all of them."""


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


def too_few(unfitted: Pipeline, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    """Return why the rows of a classifier cannot be split into its spans; "" if they can, or need not be.

    :param labels: codes of the classes.
    """
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
