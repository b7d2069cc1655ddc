from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.utils import all_estimators

from airflow_mlops.domain.estimators import KEEP_ROWS, may_keep_rows

pytestmark = pytest.mark.slow  # it fits every estimator of scikit-learn


def test_estimators_that_keep_rows_are_those_of_scikit_learn_that_do() -> None:
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(60, 3))
    labels = {"classifier": draws.integers(0, 2, 60), "regressor": draws.normal(size=60)}
    keeping = set()
    for name, kind in all_estimators():
        mixins = {base.__name__ for base in kind.__mro__}
        if not mixins & {"ClassifierMixin", "RegressorMixin", "OutlierMixin"}:
            continue
        task = "classifier" if "ClassifierMixin" in mixins else "regressor"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted = kind().fit(rows, labels[task])
        except Exception:  # noqa: BLE001 - those that need other rows, or another estimator
            continue
        if _holds(fitted, rows):
            keeping.add(name)
    assert keeping == KEEP_ROWS


def _holds(fitted: object, rows: np.ndarray) -> bool:
    """Tell whether a fitted estimator has a row among its arrays."""
    return any(
        (np.abs(array[:, None, :] - rows[None]) < 1e-12).all(-1).any()
        for array in _arrays(fitted, set())
        if array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] == rows.shape[1]
    )


def _arrays(value: Any, seen: set[int]) -> Iterator[np.ndarray]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield value
        return
    if isinstance(value, np.ndarray):
        parts = value.ravel().tolist()
    elif isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, list | tuple):
        parts = list(value)
    else:
        try:
            state = value.__getstate__()
        except Exception:  # noqa: BLE001 - what cannot be copied is no part of a model
            return
        parts = [state] if isinstance(state, dict | list | tuple) else []
    for part in parts:
        yield from _arrays(part, seen)


@pytest.mark.parametrize(
    ("estimator", "keeps"),
    [
        ("sklearn.svm.SVC", True),
        ("sklearn.svm.LinearSVC", False),
        ("sklearn.ensemble.HistGradientBoostingClassifier", False),
        ("lightgbm.LGBMClassifier", False),
        ("models:build", True),
    ],
)
def test_what_a_function_builds_may_keep_rows(estimator: str, keeps: bool) -> None:
    assert may_keep_rows(estimator) is keeps
