from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops.domain.spec import Candidate, Features
from airflow_mlops.engines import models, pipeline
from airflow_mlops.exceptions import SchemaMismatch, TrainingFailed
from synthetic import FEATURES, LOGISTIC, make_rows


def candidate(path: str, **params: object) -> Candidate:
    return Candidate(estimator=f"sklearn.{path}", params=params)


def fitted(chosen: Candidate, rows: pa.Table, target: str = "late", task: str = "classification") -> object:
    known, labels = pipeline.labelled(rows, target, task)
    return pipeline.build(chosen, FEATURES, task, 0).fit(pipeline.frame(known, FEATURES), labels)


@pytest.mark.parametrize(
    ("path", "scaled"),
    [
        ("linear_model.LogisticRegression", True),
        ("neural_network.MLPClassifier", True),
        ("neighbors.KNeighborsClassifier", True),
        ("ensemble.RandomForestClassifier", False),
        ("tree.DecisionTreeClassifier", False),
    ],
)
def test_numbers_are_scaled_only_for_estimators_that_measure_distances(path: str, scaled: bool) -> None:
    built = pipeline.build(candidate(path), FEATURES, "classification", 0)
    assert ("StandardScaler" in repr(built["prepare"])) is scaled
    assert "SimpleImputer" in repr(built["prepare"])


def test_the_seed_becomes_the_random_state_unless_the_candidate_sets_one() -> None:
    seeded = pipeline.build(LOGISTIC, FEATURES, "classification", 7)
    own = pipeline.build(
        candidate("linear_model.LogisticRegression", random_state=3), FEATURES, "classification", 7
    )
    assert (seeded["model"].random_state, own["model"].random_state) == (7, 3)


def test_histogram_boosting_gets_categories_as_categories_and_missing_numbers_as_they_are() -> None:
    model = fitted(candidate("ensemble.HistGradientBoostingClassifier", max_iter=3), make_rows(300))
    assert model["model"].is_categorical_.tolist() == [False, False, True, True]
    assert np.isnan(model["prepare"].transform(pipeline.frame(make_rows(300), FEATURES))).any()


def test_more_categories_than_bins_are_grouped() -> None:
    rows = make_rows(600)
    rows = rows.set_column(4, "carrier", pa.array([f"C{number % 300}" for number in range(600)]))
    model = fitted(candidate("ensemble.HistGradientBoostingClassifier", max_bins=15, max_iter=3), rows)
    assert models.predict(model, rows, "classification").shape == (600,)


@pytest.mark.parametrize(
    "path",
    ["linear_model.LogisticRegression", "ensemble.HistGradientBoostingClassifier", "naive_bayes.GaussianNB"],
)
def test_unseen_categories_missing_values_and_infinity_are_predicted_for(path: str) -> None:
    model = fitted(candidate(path), make_rows(300))
    strange = pa.table(
        {
            "origin": ["XXX", None],
            "carrier": pa.array([None, None], pa.null()),
            "wind": [float("inf"), None],
            "distance": pa.array([1, 2], pa.int8()),
        }
    )
    predicted = models.predict(model, strange, "classification")
    assert np.isfinite(predicted).all()
    assert ((predicted >= 0) & (predicted <= 1)).all()


def test_a_data_frame_and_an_arrow_table_give_the_same_predictions() -> None:
    rows = make_rows(300)
    model = fitted(LOGISTIC, rows)
    from_frame = models.predict(model, rows.to_pandas(), "classification")
    assert np.array_equal(from_frame, models.predict(model, rows, "classification"))


def test_features_are_read_back_from_the_pipeline() -> None:
    assert pipeline.features_of(pipeline.build(LOGISTIC, FEATURES, "classification", 0)) == FEATURES
    numbers = Features(numeric=("wind",))
    assert pipeline.features_of(pipeline.build(LOGISTIC, numbers, "classification", 0)) == numbers


def test_a_wrong_parameter_is_named_with_those_that_are_close() -> None:
    with pytest.raises(TrainingFailed, match=r"'LogisticRegression'.*'max_iters'; did you mean max_iter\?"):
        pipeline.build(
            candidate("linear_model.LogisticRegression", max_iters=5), FEATURES, "classification", 0
        )


def test_a_wrong_parameter_in_the_search_is_refused_before_anything_is_fitted() -> None:
    searching = Candidate(estimator="sklearn.tree.DecisionTreeClassifier", search={"max_dept": [2, 3]})
    with pytest.raises(TrainingFailed, match="max_depth"):
        pipeline.build(searching, FEATURES, "classification", 0)


@pytest.mark.parametrize(
    ("path", "task", "words"),
    [
        ("linear_model.LogisticRegresion", "classification", "did you mean LogisticRegression"),
        ("linear_model.LogisticRegression", "regression", "no 'LogisticRegression' for regression"),
        ("linear_models.Ridge", "regression", "linear_models"),
        ("linear_model.RidgeClassifier", "classification", "gives no probabilities"),
        ("ensemble.VotingClassifier", "classification", "estimators"),
    ],
)
def test_an_estimator_that_cannot_serve_is_refused_by_name(path: str, task: str, words: str) -> None:
    with pytest.raises(TrainingFailed, match=words):
        pipeline.build(candidate(path), FEATURES, task, 0)


def test_nothing_outside_scikit_learn_is_imported() -> None:
    outside = Candidate.model_construct(estimator="os.path.join", params={}, search={}, name="outside")
    with pytest.raises(TrainingFailed, match=r"os\.path\.join is not part of scikit-learn"):
        pipeline.build(outside, FEATURES, "classification", 0)


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(SchemaMismatch, match="no column wind, carrier"):
        pipeline.frame(make_rows(60).drop_columns(["wind", "carrier"]), FEATURES)


def test_text_where_a_number_is_expected_is_named() -> None:
    rows = make_rows(60).set_column(3, "wind", pa.array(["calm"] * 60))
    with pytest.raises(SchemaMismatch, match="'wind' is string"):
        pipeline.frame(rows, FEATURES)


def test_numbers_and_categories_have_one_type_whatever_they_came_as() -> None:
    rows = pa.table(
        {"a": pa.array([True, None]), "b": pa.array([1, 2], pa.uint8()), "c": pa.array([7, None], pa.int64())}
    )
    frame = pipeline.frame(rows, Features(numeric=("a", "b"), categorical=("c",)))
    wanted = {"a": [1.0, np.nan], "b": [1.0, 2.0], "c": np.array(["7", np.nan], dtype=object)}
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame({k: pd.Series(v, dtype=getattr(v, "dtype", float)) for k, v in wanted.items()})
    )


def test_rows_without_a_label_are_left_out() -> None:
    rows = pa.table({"x": [1, 2, 3, 4], "y": [1.0, None, float("nan"), 0.0]})
    known, labels = pipeline.labelled(rows, "y", "classification")
    assert (known["x"].to_pylist(), labels.tolist()) == ([1, 4], [1, 0])


def test_labels_other_than_two_classes_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="'y' must be 0 or 1, or false or true; it is also 2"):
        pipeline.labelled(pa.table({"y": [0, 1, 2]}), "y", "classification")
    with pytest.raises(SchemaMismatch, match="'y' is string"):
        pipeline.labelled(pa.table({"y": ["yes", "no"]}), "y", "classification")
    with pytest.raises(SchemaMismatch, match="no target column 'z'"):
        pipeline.labelled(pa.table({"y": [0, 1]}), "z", "classification")
