"""Outlier detectors as classifiers: fitted without labels, with a score that calibration makes a probability."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from sklearn.base import BaseEstimator
    from sklearn.utils import Tags


class OutlierScore:
    """Let an outlier detector stand where scikit-learn expects a classifier of two classes.

    It follows scikit-learn's protocol without its base class, which would load the library wherever this module is imported.
    It is stored within models under its name and place, so neither may change.

    :param detector: with ``score_samples``, lower where a row is stranger, as scikit-learn's detectors have it.
    """

    def __init__(self, detector: BaseEstimator) -> None:
        self.detector = detector

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the detector, and its parameters behind ``detector__``."""
        inner = self.detector.get_params() if deep else {}
        return {"detector": self.detector, **{f"detector__{name}": value for name, value in inner.items()}}

    def set_params(self, **params: Any) -> Self:
        """Replace the detector, or set its parameters by the names of :meth:`get_params`."""
        self.detector = params.pop("detector", self.detector)
        self.detector.set_params(**{name.removeprefix("detector__"): value for name, value in params.items()})
        return self

    def fit(self, X: Any, y: np.ndarray) -> Self:
        """Fit the detector to all rows; of the labels, only which classes there are is kept."""
        import numpy as np

        self.classes_ = np.unique(y)
        with _in_order():
            self.detector.fit(X)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return a score for each row, the higher the stranger: the opposite of the detector's ``score_samples``."""
        with _in_order():
            scores: np.ndarray = -self.detector.score_samples(X)
        return scores

    def predict(self, X: Any) -> np.ndarray:
        """Return the second class for rows that the detector itself calls outliers, by its ``contamination`` or ``nu``."""
        import numpy as np

        called: np.ndarray = np.where(self.detector.predict(X) < 0, self.classes_[1], self.classes_[0])
        return called

    def __repr__(self) -> str:
        return f"OutlierScore({self.detector!r})"

    def __sklearn_tags__(self) -> Tags:
        from dataclasses import replace

        from sklearn.utils import ClassifierTags, get_tags

        tags = get_tags(self.detector)
        return replace(
            tags,
            estimator_type="classifier",
            classifier_tags=ClassifierTags(multi_class=False),
            target_tags=replace(tags.target_tags, required=True),
        )


def _in_order() -> AbstractContextManager[Any]:
    """Keep a detector to one thread of joblib.

    An isolation forest adds up the depths of its trees in the order in which threads have them, so that the last digits of
    scores, and the calibration that is learned from them, would differ each time.
    """
    from joblib import parallel_config

    config: AbstractContextManager[Any] = parallel_config("threading", n_jobs=1)
    return config


def scored(model: BaseEstimator) -> BaseEstimator:
    """Return an outlier detector as a classifier that gives scores; any other estimator as it is."""
    from sklearn.base import is_outlier_detector

    return OutlierScore(model) if is_outlier_detector(model) else model
