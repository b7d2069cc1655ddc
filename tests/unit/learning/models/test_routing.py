from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.learning.models import models, pipeline, routing
from synthetic import FEATURES, make_rows

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

LINEAR: dict[str, Any] = {"sklearn.linear_model.LogisticRegression": {"max_iter": 300}}
TREE: dict[str, Any] = {"sklearn.tree.DecisionTreeClassifier": {"max_depth": 3}}
ROWS = make_rows(300)
FRAME = pipeline.frame(ROWS, FEATURES)
LATE = pipeline.labelled(ROWS, "late", "classification")[1].astype(int)
DELAY = pipeline.labelled(ROWS, "delay", "regression")[1]
WEIGHTS = np.random.default_rng(1).gamma(1.0, size=300)
GROUPS = np.random.default_rng(2).integers(0, 40, 300)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    # So that threads of OpenMP do not wait for each other on a busy machine.
    with threadpool_limits(1, "openmp"):
        yield


def unfitted(written: dict[str, Any], task: str = "classification") -> Pipeline:
    return pipeline.build(Candidate.from_dict(written), FEATURES, task, 0)


def routed(
    written: dict[str, Any], *, weights: np.ndarray | None = None, groups: np.ndarray | None = None
) -> Pipeline:
    task = "regression" if "Ridge" in str(written) else "classification"
    labels = LATE if task == "classification" else DELAY
    return routing.fit(unfitted(written, task), FRAME, labels, weights=weights, groups=groups)


def alone(written: dict[str, Any], rows: np.ndarray, weights: np.ndarray | None) -> Pipeline:
    """Fit a candidate that has no others inside to some rows, as scikit-learn does by itself."""
    task = "regression" if "Ridge" in str(written) else "classification"
    labels = LATE if task == "classification" else DELAY
    share = {} if weights is None else {"model__sample_weight": weights[rows]}
    return unfitted(written, task).fit(FRAME.iloc[rows], labels[rows], **share)


def apart(written: dict[str, Any], spans: Any, method: str, weights: np.ndarray | None) -> np.ndarray:
    said = np.zeros(300)
    for before, after in spans:
        answers = getattr(alone(written, before, weights), method)(FRAME.iloc[after])
        said[after] = answers[:, 1] if answers.ndim == 2 else answers
    return said


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["rows", "groups"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_calibration_weighs_models_and_calibrators_and_keeps_groups_apart(
    weights: np.ndarray | None, groups: np.ndarray | None
) -> None:
    spans = (
        StratifiedKFold(5).split(FRAME, LATE)
        if groups is None
        else StratifiedGroupKFold(5, shuffle=True, random_state=0).split(FRAME, LATE, groups)
    )
    scores = apart(LINEAR, spans, "decision_function", weights)
    rising = IsotonicRegression(out_of_bounds="clip").fit(scores, LATE, sample_weight=weights)
    expected = rising.predict(alone(LINEAR, np.arange(300), weights).decision_function(FRAME))
    written = {"sklearn.linear_model.LogisticRegression": {"max_iter": 300, "calibrate": "isotonic"}}
    ours = routed(written, weights=weights, groups=groups)
    np.testing.assert_allclose(models.predicted(ours, FRAME, "classification"), expected, rtol=1e-9)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_stacking_weighs_members_and_what_learns_from_them_and_keeps_groups_apart(
    weights: np.ndarray | None,
) -> None:
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    said = [
        apart(part, splitter.split(FRAME, LATE, GROUPS), "predict_proba", weights) for part in (LINEAR, TREE)
    ]
    final = LogisticRegression().fit(np.column_stack(said), LATE, sample_weight=weights)
    whole = [alone(part, np.arange(300), weights).predict_proba(FRAME)[:, 1] for part in (LINEAR, TREE)]
    ours = routed({"ensemble": {"of": [LINEAR, TREE], "method": "stacking"}}, weights=weights, groups=GROUPS)
    expected = final.predict_proba(np.column_stack(whole))[:, 1]
    np.testing.assert_allclose(models.predicted(ours, FRAME, "classification"), expected, rtol=1e-9)


def test_stacking_of_numbers_chooses_its_ridge_by_groups_too() -> None:
    members: list[dict[str, Any]] = [
        {"sklearn.linear_model.Ridge": {}},
        {"sklearn.linear_model.Ridge": {"alpha": 100.0, "name": "Stiff"}},
    ]
    splitter = GroupKFold(5, shuffle=True, random_state=0)
    said = [apart(part, splitter.split(FRAME, DELAY, GROUPS), "predict", WEIGHTS) for part in members]
    spans = [*splitter.split(FRAME, DELAY, GROUPS)]
    final = RidgeCV(cv=spans).fit(np.column_stack(said), DELAY, sample_weight=WEIGHTS)
    whole = [alone(part, np.arange(300), WEIGHTS).predict(FRAME) for part in members]
    ours = routed({"ensemble": {"of": members, "method": "stacking"}}, weights=WEIGHTS, groups=GROUPS)
    np.testing.assert_allclose(ours.predict(FRAME), final.predict(np.column_stack(whole)), rtol=1e-9)


def test_a_vote_is_of_members_that_are_weighted_alone() -> None:
    ours = routed({"ensemble": {"of": [LINEAR, TREE], "method": "voting"}}, weights=WEIGHTS)
    whole = [alone(part, np.arange(300), WEIGHTS).predict_proba(FRAME)[:, 1] for part in (LINEAR, TREE)]
    np.testing.assert_allclose(
        models.predicted(ours, FRAME, "classification"), np.mean(whole, axis=0), rtol=1e-12
    )


def test_groups_are_kept_apart_also_where_a_part_is_fitted_to_some_rows() -> None:
    spans = routing.GroupSpans(GROUPS, StratifiedGroupKFold(5, shuffle=True, random_state=0))
    some = np.flatnonzero(np.random.default_rng(3).random(300) < 0.7)
    tested = []
    for before, after in spans.split(FRAME.iloc[some], LATE[some]):
        assert not set(GROUPS[some[before]]) & set(GROUPS[some[after]])
        tested += some[after].tolist()
    assert sorted(tested) == some.tolist()
    with pytest.raises(ValueError, match=r"rows of train\.groups cannot be told apart here"):
        next(spans.split(FRAME.iloc[some].to_numpy(), LATE[some]))


def test_nothing_of_weights_and_groups_is_left_in_a_model() -> None:
    calibrated = {"sklearn.tree.DecisionTreeClassifier": {"max_depth": 3, "calibrate": "sigmoid"}}
    both = {"ensemble": {"of": [LINEAR, calibrated], "method": "stacking", "calibrate": "temperature"}}
    model = routed(both, weights=WEIGHTS, groups=GROUPS)
    inside: list[Any] = []
    routing._each_part(model, inside.append)
    assert len(inside) > 30
    for part in inside:
        assert "_metadata_request" not in vars(part)
        assert not isinstance(getattr(part, "cv", None), routing.GroupSpans)
    assert isinstance(model["model"].cv, StratifiedGroupKFold)
    assert isinstance(model["model"].calibrated_classifiers_[0].estimator.cv, StratifiedGroupKFold)


def test_an_estimator_without_weights_is_named_however_deep_it_lies() -> None:
    neighbours: dict[str, Any] = {"sklearn.neighbors.KNeighborsClassifier": {"calibrate": "sigmoid"}}
    assert routing.unweighted(unfitted(neighbours)) == "KNeighborsClassifier"
    stacked = {"ensemble": {"of": [LINEAR, neighbours], "method": "stacking"}}
    assert routing.unweighted(unfitted(stacked)) == "KNeighborsClassifier"
    detector = {"sklearn.ensemble.IsolationForest": {"calibrate": "sigmoid"}}
    assert routing.unweighted(unfitted(detector)) == "IsolationForest"
    # Takes weights, but scikit-learn hands it none.
    assert routing.unweighted(
        unfitted({"sklearn.ensemble.AdaBoostClassifier": {"calibrate": "sigmoid"}})
    ) == ("AdaBoostClassifier")
    assert routing.unweighted(unfitted({"ensemble": {"of": [LINEAR, TREE], "method": "voting"}})) == ""


def test_an_index_of_other_rows_is_not_taken_for_positions() -> None:
    shifted = FRAME.set_axis(pd.RangeIndex(1000, 1300))
    written = {"sklearn.tree.DecisionTreeClassifier": {"max_depth": 3, "calibrate": "sigmoid"}}
    model = routing.fit(unfitted(written), shifted, LATE, weights=None, groups=GROUPS)
    expected = models.predicted(routed(written, groups=GROUPS), FRAME, "classification")
    assert np.array_equal(models.predicted(model, FRAME, "classification"), expected)
