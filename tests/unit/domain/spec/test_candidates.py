from __future__ import annotations

from typing import Any

import pytest
from sklearn import ensemble

from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec.candidates import TAKEN, Candidate
from airflow_mlops.domain.spec.train import Train
from airflow_mlops.exceptions import SpecError

LINEAR = {"sklearn.linear_model.LogisticRegression": {"max_iter": 500, "search": {"C": [0.1, 1.0]}}}
BOOSTING = {
    "sklearn.ensemble.HistGradientBoostingClassifier": {"name": "Boosting", "search": {"max_iter": [9, 99]}}
}
BOTH = ["LogisticRegression", "Boosting"]


def train(*candidates: Any) -> Train:
    return Train.from_dict({"candidates": [LINEAR, BOOSTING, *candidates]})


def test_an_ensemble_holds_the_candidates_that_it_names_and_searches_them_together() -> None:
    ensemble = train({"ensemble": {"of": BOTH, "method": "stacking"}}).candidates[2]
    assert ensemble.name == "stacking"
    assert ensemble.kind == "stacking of LogisticRegression and Boosting"
    assert [member.to_dict() for member in ensemble.members] == [LINEAR, BOOSTING]
    assert ensemble.space == {"LogisticRegression__C": [0.1, 1.0], "Boosting__max_iter": [9, 99]}


def test_what_is_written_is_read_back() -> None:
    section = train(
        {"ensemble": {"name": "Both", "of": BOTH, "method": "voting", "calibrate": "isotonic"}},
        {"sklearn.svm.LinearSVC": {"C": 0.5, "calibrate": "sigmoid"}},
    )
    assert Train.from_dict(section.to_dict()) == section
    assert [candidate.name for candidate in section.candidates[2:]] == ["Both", "LinearSVC"]
    assert section.candidates[3].kind == "sklearn.svm.LinearSVC, calibrated by sigmoid"
    assert section.candidates[3].params == {"C": 0.5}


def test_a_candidate_without_them_is_written_as_ever() -> None:
    for written in (LINEAR, BOOSTING):
        assert Candidate.from_dict(written).to_dict() == written


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"of": BOTH}, "says no method: voting takes the mean"),
        ({"of": ["Boosting"], "method": "voting"}, "two different candidates or more"),
        ({"of": ["Boosting", "Boosting"], "method": "voting"}, "two different candidates or more"),
        (
            {"of": [*BOTH, "Bosting"], "method": "voting"},
            r"of\[2\]: 'Bosting' is the name of no candidate; did you",
        ),
        ({"of": [*BOTH, "voting"], "method": "voting"}, r"of\[2\]: voting is an ensemble itself"),
        ({"of": [*BOTH, "built"], "method": "voting"}, r"of\[2\]: built is built by a function, whose code"),
        ({"of": [*BOTH, {"m:f": {}}], "method": "voting"}, r"of\[2\]: f is built by a function, whose code"),
        (
            {"of": [*BOTH, {"sklearn.svm.SVC": {"name": "weights"}}], "method": "voting"},
            r"of\[2\]: 'weights' is a parameter of ensembles too, or could be: give the candidate another name",
        ),
        (
            {"of": [*BOTH, {"sklearn.svm.SVC": {"name": "a__b"}}], "method": "stacking"},
            r"of\[2\]: 'a__b' is a",
        ),
        ({"of": BOTH, "method": "mean"}, "method: cannot be 'mean'; allowed: voting, stacking"),
        ({"of": BOTH, "method": "voting", "weights": [1, 2]}, "weights: is no key of an ensemble; its keys"),
        (
            {"of": BOTH, "method": "voting", "calibrate": "platt"},
            "calibrate: cannot be 'platt'; allowed: sigmoid",
        ),
    ],
)
def test_an_ensemble_that_cannot_be_says_why(body: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        train({"my_models:built": {}}, {"ensemble": body})


def test_what_splits_rows_of_its_own_is_refused_within_what_splits_by_groups() -> None:
    searching: dict[str, Any] = {"sklearn.linear_model.LogisticRegressionCV": {}}
    within: list[dict[str, Any]] = [
        {"sklearn.linear_model.LogisticRegressionCV": {"calibrate": "sigmoid"}},
        {"ensemble": {"of": [searching, LINEAR], "method": "stacking"}},
    ]
    for candidate in within:
        section = train(candidate).model_copy(update={"groups": "customer"})
        with pytest.raises(
            SpecError,
            match=r"candidates\[2\]: sklearn.linear_model.LogisticRegressionCV splits rows of its own",
        ):
            raise_of(section, Task.CLASSIFICATION)
        raise_of(train(candidate), Task.CLASSIFICATION)
    kept_apart: list[dict[str, Any]] = [
        {"sklearn.svm.LinearSVC": {"calibrate": "sigmoid"}},
        {"ensemble": {"of": BOTH, "method": "stacking"}},
    ]
    for candidate in kept_apart:
        raise_of(train(candidate).model_copy(update={"groups": "customer"}), Task.CLASSIFICATION)


def test_a_detector_of_outliers_takes_no_weights() -> None:
    detector = train({"sklearn.ensemble.IsolationForest": {"calibrate": "sigmoid"}})
    for name, value in (("weights", "amount"), ("class_weight", "balanced")):
        why = rf"candidates\[2\]: IsolationForest looks for outliers among rows that all count alike: .* leave {name} out"
        with pytest.raises(SpecError, match=why):
            raise_of(detector.model_copy(update={name: value}), Task.CLASSIFICATION)


def test_members_belong_to_ensembles_only() -> None:
    with pytest.raises(SpecError, match=r"of and method belong to an ensemble, and not to sklearn\.svm\.SVC"):
        Candidate(estimator="sklearn.svm.SVC", of=("A", "B"))
    # A function of one's own may have parameters of these names.
    assert Candidate.from_dict({"m:f": {"method": "mean"}}).params == {"method": "mean"}


def test_values_of_a_regression_are_not_calibrated_and_its_members_are_regressors() -> None:
    calibrated = Train.from_dict({"candidates": [{"sklearn.linear_model.Ridge": {"calibrate": "sigmoid"}}]})
    with pytest.raises(SpecError, match="calibrate: is for classification"):
        raise_of(calibrated, Task.REGRESSION)
    with pytest.raises(SpecError, match="HistGradientBoostingClassifier is not for regression"):
        raise_of(train({"ensemble": {"of": BOTH, "method": "voting"}}), Task.REGRESSION)


def raise_of(section: Train, task: Task) -> None:
    """Complain as a spec of a task does that has the section."""
    from airflow_mlops.domain.spec.model import ModelSpec

    ModelSpec.from_dict(
        {
            "name": "m", "task": task.value, "target": "y", "key": ["id"], "event_time": "t", "partition": "day",
            "source": {"files": "/x/{partition}.csv"}, "train": section.to_dict(),
        }
    )  # fmt: skip


def test_no_member_is_named_like_a_parameter_of_an_ensemble() -> None:
    kinds = (
        ensemble.VotingClassifier,
        ensemble.VotingRegressor,
        ensemble.StackingClassifier,
        ensemble.StackingRegressor,
    )
    assert {name for kind in kinds for name in kind([]).get_params(deep=False)} == set(TAKEN)
