from __future__ import annotations

import pytest
from tools import estimator_index as tool

from airflow_mlops.domain.spec import estimator_index
from airflow_mlops.domain.spec.candidates import Candidate


def candidate(estimator: str, **params: object) -> Candidate:
    return Candidate(estimator=estimator, params=params)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_index_is_that_of_the_installed_libraries() -> None:
    fresh = tool.text(tool.build())
    assert fresh == estimator_index.FILE.read_text(encoding="utf-8"), "run python -m tools.estimator_index"


def test_what_is_right_has_no_problem() -> None:
    logistic = candidate("sklearn.linear_model.LogisticRegression", max_iter=500)
    assert estimator_index.is_current(logistic)
    assert estimator_index.problems(logistic, "classification") == []
    # Another name of n_estimators, and a parameter that only a base class of XGBoost names.
    assert estimator_index.problems(candidate("lightgbm.LGBMRegressor", num_iterations=5), "regression") == []
    assert estimator_index.problems(candidate("xgboost.XGBRFRegressor", max_depth=5), "regression") == []


def test_all_names_that_are_wrong_are_told_at_once_with_the_nearest() -> None:
    logistic = candidate("sklearn.linear_model.LogisticRegression", maxiter=5, zzz=1)
    one, two = estimator_index.problems(logistic, "classification")
    assert one == "LogisticRegression has no parameter 'maxiter'; did you mean max_iter?"
    assert two.startswith("LogisticRegression has no parameter 'zzz'; it has C, class_weight")
    (name,) = estimator_index.problems(candidate("sklearn.linear_model.LogisticRegresion"), "classification")
    assert name.startswith(
        "sklearn.linear_model has no 'LogisticRegresion' for classification; did you mean LogisticReg"
    )
    (task,) = estimator_index.problems(candidate("sklearn.linear_model.LogisticRegression"), "regression")
    assert task.startswith("sklearn.linear_model has no 'LogisticRegression' for regression")


def test_parameters_that_are_searched_are_looked_up_too() -> None:
    searched = Candidate(estimator="sklearn.linear_model.Ridge", search={"alhpa": [1, 2]})
    assert estimator_index.problems(searched, "regression") == [
        "Ridge has no parameter 'alhpa'; did you mean alpha?"
    ]


@pytest.mark.parametrize("estimator", ["sklearn.nothing.Ridge", "a.b:c", "a:b"])
def test_what_the_index_does_not_list_is_left_to_an_import(estimator: str) -> None:
    assert not estimator_index.is_current(candidate(estimator))


def test_another_version_than_that_of_the_index_is_left_to_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator_index, "version", lambda _: "1.99.0")
    assert not estimator_index.is_current(candidate("sklearn.linear_model.Ridge"))
