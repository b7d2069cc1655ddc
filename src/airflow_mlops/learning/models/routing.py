"""Rows that do not count alike, or belong together, in models made of others: every part is handed weights, and splits by groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

SPANS = 5
"""Spans of the training rows; what was predicted for each, by a model of the others, is what a combined model learns from."""
_REQUESTS = "_metadata_request"


class GroupSpans:
    """Split rows so that those of one group stay on one side, also where an estimator is fitted to some of the rows only.

    scikit-learn hands groups to the outermost split alone. Here the index of a data frame says which rows are split: that
    of the rows of a training, from 0.

    :param groups: number of each training row's group.
    :param splitter: of scikit-learn, which is told the groups, and which a fitted model keeps.
    """

    def __init__(self, groups: np.ndarray, splitter: Any) -> None:
        self.groups = groups
        self.splitter = splitter

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of spans."""
        spans: int = self.splitter.n_splits
        return spans

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the positions of rows to fit to and of rows apart; the groups are known already."""
        import numpy as np

        rows = getattr(X, "index", None)
        if rows is None and len(X) != self.groups.size:
            raise ValueError(
                "rows of train.groups cannot be told apart here: no estimator with a cv of its own can be inside"
            )
        yield from self.splitter.split(X, y, self.groups if rows is None else self.groups[np.asarray(rows)])


def learners(model: BaseEstimator) -> Iterator[BaseEstimator]:
    """Yield every part of an unfitted estimator that predicts, itself included."""
    from sklearn.base import is_classifier, is_outlier_detector, is_regressor
    from sklearn.pipeline import Pipeline

    parts = {id(part): part for part in (model, *model.get_params().values())}
    for part in parts.values():
        # A pipeline is what its last step is, which is a part as well.
        if isinstance(part, Pipeline | type) or not hasattr(part, "fit"):
            continue
        if is_classifier(part) or is_regressor(part) or is_outlier_detector(part):
            yield part


def unweighted(model: BaseEstimator) -> str:
    """Return the name of a part of an estimator that scikit-learn cannot hand sample weights; "" if all can be weighted."""
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        without = [part for part in learners(model) if not _takes_weights(part)]
    if not without:
        return ""
    # What holds one that cannot be weighted cannot be either.
    innermost = min(without, key=lambda part: len(part.get_params()))
    return type(getattr(innermost, "detector", innermost)).__name__


def _takes_weights(part: BaseEstimator) -> bool:
    from sklearn.utils.metadata_routing import MetadataRouter
    from sklearn.utils.validation import has_fit_parameter

    try:
        hands_on = isinstance(part.get_metadata_routing(), MetadataRouter)
    except (AttributeError, NotImplementedError):
        return False
    return bool(hands_on or has_fit_parameter(part, "sample_weight"))


def splitting(model: BaseEstimator) -> list[BaseEstimator]:
    """Return the parts that split the rows they are fitted to by scikit-learn's usual spans, to learn from rows apart."""
    numbers = (int, type(None))
    return [part for part in learners(model) if isinstance(getattr(part, "cv", ""), numbers)]


def fit(
    unfitted: Pipeline,
    frame: pd.DataFrame,
    labels: np.ndarray,
    *,
    weights: np.ndarray | None,
    groups: np.ndarray | None,
) -> Pipeline:
    """Fit a model that is made of others, and return it without what was only needed for that.

    :param weights: how much each row counts: in the fit of every part that predicts, and not in preprocessing. None means that
        all rows count alike.
    :param groups: number of each row's group; None if there are none.
    """
    from sklearn import config_context
    from sklearn.utils.validation import has_fit_parameter

    weighted = {} if weights is None else {"sample_weight": weights}
    if groups is not None:
        frame = frame.reset_index(drop=True)
        for part in splitting(unfitted):
            part.set_params(cv=GroupSpans(groups, _splitter(part)))
    with config_context(enable_metadata_routing=weights is not None):
        if weighted:
            predicting = {id(part) for part in learners(unfitted)}
            for part in unfitted.get_params().values():
                if hasattr(part, "set_fit_request") and has_fit_parameter(part, "sample_weight"):
                    part.set_fit_request(sample_weight=id(part) in predicting)
        fitted = unfitted.fit(frame, labels, **weighted)
    _each_part(fitted, _plain)
    return fitted


def _splitter(part: BaseEstimator) -> Any:
    from sklearn.base import is_classifier
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    # Shuffled, as stacking would otherwise give it a random state that differs each time, and the model another digest.
    kind = StratifiedGroupKFold if is_classifier(part) else GroupKFold
    return kind(SPANS, shuffle=True, random_state=0)


def _plain(part: Any) -> None:
    vars(part).pop(_REQUESTS, None)
    if isinstance(splitter := getattr(part, "cv", None), GroupSpans):
        part.cv = splitter.splitter


def _each_part(model: Any, change: Callable[[Any], None]) -> None:
    """Change every object of scikit-learn, or with its protocol, that a model holds."""
    waiting, seen = [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
        elif hasattr(part, "__dict__") and not isinstance(part, type) and _is_part(part):
            change(part)
            waiting += vars(part).values()


def _is_part(value: Any) -> bool:
    return hasattr(value, "get_params") or type(value).__module__.startswith("sklearn.")
