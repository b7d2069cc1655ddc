from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from sklearn.base import OutlierMixin
from sklearn.utils import all_estimators

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.outliers import DETECTORS
from airflow_mlops.exceptions import SpecError

FOREST = "sklearn.ensemble.IsolationForest"


def spec(candidate: dict[str, Any], **changes: Any) -> ModelSpec:
    written = {
        "name": "machines", "task": "classification", "target": "broke", "key": ["id"], "event_time": "at",
        "partition": "day", "source": {"files": "/x/{partition}.csv"},
    }  # fmt: skip
    return ModelSpec.from_dict({**written, "train": {"candidates": [candidate]}, **changes})


def test_the_detectors_are_those_of_scikit_learn() -> None:
    theirs = {
        kind for _, kind in all_estimators() if issubclass(kind, OutlierMixin) and kind is not OutlierMixin
    }
    ours = {getattr(import_module(path.rpartition(".")[0]), path.rpartition(".")[2]) for path in DETECTORS}
    assert ours == theirs


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_detector_is_a_candidate_if_labels_calibrate_it(method: str) -> None:
    (candidate,) = spec({FOREST: {"calibrate": method}}).train.candidates
    assert candidate.kind == f"{FOREST}, calibrated by {method}"


@pytest.mark.parametrize(
    ("arguments", "changes", "words"),
    [
        (
            {},
            {},
            r"candidates\[0\]: IsolationForest looks for outliers without labels.*write calibrate: sigmoid",
        ),
        ({"calibrate": "temperature"}, {}, "write calibrate: sigmoid or isotonic"),
        (
            {"calibrate": "sigmoid"},
            {"classes": ["a", "b", "c"]},
            "and there are 3 classes: take a classifier",
        ),
        ({}, {"task": "regression"}, "predicts no number: write task: classification"),
    ],
)
def test_what_cannot_be_judged_says_what_to_write(
    arguments: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        spec({FOREST: arguments}, **changes)


def test_a_member_of_an_ensemble_is_calibrated_as_well() -> None:
    forest, linear = {FOREST: {}}, {"sklearn.linear_model.LogisticRegression": {}}
    with pytest.raises(SpecError, match="IsolationForest looks for outliers without labels"):
        spec({"ensemble": {"of": [forest, linear], "method": "voting", "calibrate": "sigmoid"}})


def test_a_detector_of_a_regression_is_told_once() -> None:
    with pytest.raises(SpecError) as raised:
        spec({FOREST: {"calibrate": "sigmoid"}}, task="regression")
    (problem,) = raised.value.problems
    assert problem.endswith("predicts no number: write task: classification with a target of two classes")
