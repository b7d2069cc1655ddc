from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.exceptions import TrainingFailed
from airflow_mlops.learning.models import combine, models, pipeline, skops_file
from synthetic import FEATURES, make_rows

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

LINEAR: dict[str, Any] = {"sklearn.linear_model.LogisticRegression": {"max_iter": 300}}
BOOSTING: dict[str, Any] = {
    "sklearn.ensemble.HistGradientBoostingClassifier": {
        "max_iter": 5,
        "name": "Boosting",
        "search": {"learning_rate": [0.1, 0.3]},
    }
}
RIDGE: dict[str, Any] = {"sklearn.linear_model.Ridge": {}}
TREES: dict[str, Any] = {"sklearn.ensemble.HistGradientBoostingRegressor": {"max_iter": 5}}
ROWS = make_rows(400)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    # So that threads of OpenMP do not wait for each other on a busy machine.
    with threadpool_limits(1, "openmp"):
        yield


def fitted(written: dict[str, Any], task: str = "classification", **params: Any) -> Pipeline:
    rows, labels = pipeline.labelled(ROWS, "late" if task == "classification" else "delay", task)
    unfitted = pipeline.build(Candidate.from_dict(written), FEATURES, task, 0, params=params)
    return unfitted.fit(pipeline.frame(rows, FEATURES), labels)


@pytest.mark.parametrize(
    ("task", "written"),
    [
        ("classification", {"sklearn.svm.LinearSVC": {"calibrate": "sigmoid"}}),
        ("classification", {"sklearn.linear_model.RidgeClassifier": {"calibrate": "temperature"}}),
        (
            "classification",
            {"sklearn.ensemble.ExtraTreesClassifier": {"n_estimators": 5, "calibrate": "isotonic"}},
        ),
        ("classification", {"ensemble": {"of": [LINEAR, BOOSTING], "method": "voting"}}),
        (
            "classification",
            {"ensemble": {"of": [LINEAR, BOOSTING], "method": "stacking", "calibrate": "sigmoid"}},
        ),
        ("regression", {"ensemble": {"of": [RIDGE, TREES], "method": "voting"}}),
        ("regression", {"ensemble": {"of": [RIDGE, TREES], "method": "stacking"}}),
    ],
)
def test_a_combined_model_is_stored_loaded_and_the_same_again(
    task: str, written: dict[str, Any], tmp_path: Path
) -> None:
    digests = []
    for name in ("first", "second"):
        model = fitted(written, task)
        skops_file.save(model, tmp_path / name)
        digests.append(skops_file.digest(tmp_path / name))
    assert digests[0] == digests[1]
    loaded = skops_file.load(tmp_path / "second", digests[1])
    assert np.array_equal(models.predict(loaded, ROWS, task), models.predict(model, ROWS, task))
    assert pipeline.features_of(loaded) == FEATURES


def test_a_vote_is_the_mean_of_what_its_members_say_alone() -> None:
    both = fitted({"ensemble": {"of": [LINEAR, BOOSTING], "method": "voting"}}, Boosting__learning_rate=0.3)
    alone = [
        models.predict(fitted(written, **params), ROWS, "classification")
        for written, params in ((LINEAR, {}), (BOOSTING, {"learning_rate": 0.3}))
    ]
    np.testing.assert_allclose(
        models.predict(both, ROWS, "classification"), np.mean(alone, axis=0), rtol=1e-12
    )


def test_calibration_is_that_of_scikit_learn_with_the_preprocessing_inside() -> None:
    rows, labels = pipeline.labelled(ROWS, "late", "classification")
    inside = pipeline.build(Candidate.from_dict(LINEAR), FEATURES, "classification", 0)
    theirs = CalibratedClassifierCV(inside, method="isotonic", ensemble=False)
    theirs.fit(pipeline.frame(rows, FEATURES), labels)
    ours = fitted({"sklearn.linear_model.LogisticRegression": {"max_iter": 300, "calibrate": "isotonic"}})
    expected = theirs.predict_proba(pipeline.frame(ROWS, FEATURES))[:, 1]
    assert np.array_equal(models.predict(ours, ROWS, "classification"), expected)


def test_a_class_with_fewer_rows_than_spans_is_named() -> None:
    labels = np.repeat([0, 1, 2], [50, 50, 4])
    for written in (
        {"sklearn.svm.LinearSVC": {"calibrate": "sigmoid"}},
        {"ensemble": {"of": [LINEAR, BOOSTING], "method": "stacking"}},
    ):
        unfitted = pipeline.build(Candidate.from_dict(written), FEATURES, "classification", 0)
        problem = combine.too_few(unfitted, labels, ("a", "b", "c"))
        assert problem.startswith(
            "4 of 104 rows to fit on are of class 'c', and calibrate and stacking need 5"
        )
        assert not combine.too_few(unfitted, np.repeat([0, 1, 2], 5), ("a", "b", "c"))
    voting = Candidate.from_dict({"ensemble": {"of": [LINEAR, BOOSTING], "method": "voting"}})
    unfitted = pipeline.build(voting, FEATURES, "classification", 0)
    assert not combine.too_few(unfitted, labels, ("a", "b", "c"))


def test_members_that_are_only_named_are_not_found_outside_of_a_spec() -> None:
    named = Candidate.from_dict({"ensemble": {"of": ["A", "B"], "method": "voting"}})
    with pytest.raises(TrainingFailed, match="there is no candidate 'A' here; write it in its place"):
        pipeline.build(named, FEATURES, "classification", 0)


def test_a_classifier_without_probabilities_says_what_makes_them() -> None:
    ridge = Candidate(estimator="sklearn.linear_model.RidgeClassifier")
    with pytest.raises(TrainingFailed, match="gives no probabilities; calibrate: sigmoid learns them"):
        pipeline.build(ridge, FEATURES, "classification", 0)
