"""A classifier whose probabilities were refitted, and nothing else of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from sklearn.base import BaseEstimator
    from sklearn.utils import Tags

_TINY = 1e-6
_STEPS = 100
_PRIOR = 1e-3
"""Weight, in rows, of the prior that nothing has to change: rows that a line separates have no best curve without one."""


class Recalibrated:
    """Give a fitted classifier's probabilities another slope and other shares of classes, on the scale of their logarithms.

    The logarithm of each probability is multiplied by a slope, and each class gets a bias; then they sum to 1 again. Of two
    classes it is the logistic curve of the score's logit: Platt, Probabilistic Outputs for Support Vector Machines (1999); of
    more, temperature scaling with biases: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks (2017).
    Unlike a curve of the probability itself it holds, as slope 1 and biases 0, what leaves all as it was.

    It follows scikit-learn's protocol without its base class, which would load the library wherever this module is imported.
    It is stored within models under its name and place, so neither may change.

    :param estimator: fitted, with ``predict_proba``.
    :param slope: below 1 for a classifier that was too sure.
    :param biases: one for each class, in the order of the probabilities.
    """

    def __init__(self, estimator: BaseEstimator, slope: float, biases: Sequence[float]) -> None:
        self.estimator = estimator
        self.slope = float(slope)
        self.biases = tuple(float(bias) for bias in biases)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the estimator and the curve, and the parameters of the former behind ``estimator__``."""
        inner = self.estimator.get_params() if deep else {}
        named = {f"estimator__{name}": value for name, value in inner.items()}
        return {"estimator": self.estimator, "slope": self.slope, "biases": self.biases, **named}

    def fit(self, X: Any, y: Any) -> Self:
        """Return itself: it is put around what is fitted."""
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of the probabilities."""
        classes: np.ndarray = self.estimator.classes_
        return classes

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the recalibrated probability of each class."""
        return curved(self.estimator.predict_proba(X), self.slope, self.biases)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class."""
        chosen: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return chosen

    def __repr__(self) -> str:
        return f"Recalibrated({self.estimator!r}, slope={self.slope:.4g})"

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        from sklearn.utils import get_tags

        return get_tags(self.estimator)


def curved(probabilities: np.ndarray, slope: float, biases: Sequence[float]) -> np.ndarray:
    """Return probabilities, one column a class, with another slope and other biases."""
    import numpy as np
    from scipy.special import softmax

    likely = np.log(np.clip(probabilities, _TINY, 1 - _TINY))
    changed: np.ndarray = softmax(slope * likely + np.array(biases), axis=1)
    return changed


def curve(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, tuple[float, ...]]:
    """Return the slope and the biases of the least log loss on rows with labels, by Newton's method.

    :param probabilities: one row each, one column a class; of a model that was not fitted to these rows.
    :param labels: the column of each row's class.
    :param weights: how much each row counts; None means that all count alike.
    """
    import numpy as np

    rows, classes = probabilities.shape
    likely = np.log(np.clip(probabilities, _TINY, 1 - _TINY))
    counted = np.ones(rows) if weights is None else weights
    truth = np.eye(classes)[labels]
    # What a parameter adds to the score of a class: the slope its logarithm, a bias 1 to its own class; the first has none.
    shared = np.concatenate(
        [likely[:, :, None], np.broadcast_to(np.eye(classes)[:, 1:], (rows, classes, classes - 1))], axis=2
    )
    unchanged = np.zeros(classes)
    unchanged[0] = 1.0

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        fitted = curved(probabilities, parameters[0], [0.0, *parameters[1:]])
        apart = parameters - unchanged
        own = np.maximum(fitted[np.arange(rows), labels], np.finfo(float).tiny)
        return float(-(counted * np.log(own)).sum() + _PRIOR / 2 * apart @ apart), fitted

    parameters = unchanged
    value, fitted = loss(parameters)
    for _ in range(_STEPS):
        gradient = np.einsum("n,nk,nkp->p", counted, fitted - truth, shared) + _PRIOR * (
            parameters - unchanged
        )
        mean = np.einsum("nk,nkp->np", fitted, shared)
        curvature = np.einsum("n,nk,nkp,nkq->pq", counted, fitted, shared, shared, optimize=True)
        curvature -= np.einsum("n,np,nq->pq", counted, mean, mean)
        step = np.linalg.solve(curvature + _PRIOR * np.eye(classes), gradient)
        length = 1.0
        while (tried := loss(parameters - length * step))[0] > value and length > _TINY:
            length /= 2
        if tried[0] >= value - 1e-12 * rows:
            break
        parameters, (value, fitted) = parameters - length * step, tried
    return float(parameters[0]), (0.0, *map(float, parameters[1:]))
