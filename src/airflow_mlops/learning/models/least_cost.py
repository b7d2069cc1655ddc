"""A classifier of more than two classes that chooses what costs least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from sklearn.base import BaseEstimator
    from sklearn.utils import Tags


class LeastCost:
    """Put a fitted classifier's rows in the class of least expected cost; its probabilities stay the same.

    Elkan, The Foundations of Cost-Sensitive Learning (2001): the class ``j`` of the least sum over ``i`` of the probability of
    ``i`` times the cost of ``j`` for a row of ``i``. scikit-learn has a threshold for two classes, and nothing for more.

    It follows scikit-learn's protocol without its base class, which would load the library wherever this module is imported.
    It is stored within models under its name and place, so neither may change.

    :param estimator: fitted, with ``predict_proba``.
    :param costs: one row for each true class, one column for each that is chosen, in the order of the probabilities.
    """

    def __init__(self, estimator: BaseEstimator, costs: Sequence[Sequence[float]]) -> None:
        self.estimator = estimator
        self.costs = tuple(tuple(float(cost) for cost in row) for row in costs)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the estimator and the costs, and the parameters of the former behind ``estimator__``."""
        inner = self.estimator.get_params() if deep else {}
        named = {f"estimator__{name}": value for name, value in inner.items()}
        return {"estimator": self.estimator, "costs": self.costs, **named}

    def fit(self, X: Any, y: Any) -> Self:
        """Return itself: it is put around what is fitted."""
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of the probabilities."""
        classes: np.ndarray = self.estimator.classes_
        return classes

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, as the estimator gives it."""
        probabilities: np.ndarray = self.estimator.predict_proba(X)
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of least expected cost."""
        import numpy as np

        chosen: np.ndarray = self.classes_[(self.predict_proba(X) @ np.array(self.costs)).argmin(axis=1)]
        return chosen

    def __repr__(self) -> str:
        return f"LeastCost({self.estimator!r})"

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        from sklearn.utils import get_tags

        return get_tags(self.estimator)
