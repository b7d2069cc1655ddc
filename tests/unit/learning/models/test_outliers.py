from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from airflow_mlops.domain.spec.model import Candidate, Features
from airflow_mlops.exceptions import TrainingFailed
from airflow_mlops.learning.models import estimators, models, pipeline, skops_file
from airflow_mlops.learning.models.outliers import OutlierScore
from synthetic import FEATURES, make_rows

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

NUMBERS = Features(numeric=("distance", "wind"))
ROWS = make_rows(300)
SMALL = {"n_estimators": 10, "max_samples": 64}
FOREST: dict[str, Any] = {"sklearn.ensemble.IsolationForest": {**SMALL, "calibrate": "sigmoid"}}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    # So that threads of OpenMP do not wait for each other on a busy machine.
    with threadpool_limits(1, "openmp"):
        yield


def fitted(written: dict[str, Any], features: Features = NUMBERS, **counts: int) -> Pipeline:
    rows, labels = pipeline.labelled(ROWS, "late", "classification")
    unfitted = pipeline.build(Candidate.from_dict(written), features, "classification", 0, categories=counts)
    return unfitted.fit(pipeline.frame(rows, features), labels)


def detector_of(model: Pipeline) -> Any:
    return model["model"].calibrated_classifiers_[0].estimator


def test_the_score_is_the_opposite_of_the_detectors_and_no_label_changes_it() -> None:
    numbers = np.random.default_rng(0).normal(size=(200, 2))
    scores = [
        OutlierScore(IsolationForest(random_state=0, **SMALL)).fit(numbers, labels).decision_function(numbers)
        for labels in (np.arange(200) % 2, np.arange(200) < 7)
    ]
    alone = IsolationForest(random_state=0, **SMALL).fit(numbers)
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], -alone.score_samples(numbers))
    # The strangest row is far out.
    assert np.abs(numbers[scores[0].argmax()]).max() > 2


def test_it_follows_the_protocol_of_scikit_learn() -> None:
    scorer = OutlierScore(IsolationForest(contamination=0.1, **SMALL))
    assert is_classifier(scorer)
    copy = clone(scorer).set_params(detector__n_estimators=3)
    assert copy.get_params()["detector__n_estimators"] == 3
    assert scorer.detector.n_estimators == 10
    numbers = np.random.default_rng(0).normal(size=(100, 2))
    calls = scorer.fit(numbers, np.arange(100) % 2).predict(numbers)
    assert np.array_equal(calls, (scorer.detector.predict(numbers) == -1).astype(int))
    assert "n_estimators=10" in repr(scorer)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_probabilities_are_learned_from_scores_of_spans_that_the_detector_was_not_fitted_to(
    method: str,
) -> None:
    rows, labels = pipeline.labelled(ROWS, "late", "classification")
    frame = pipeline.frame(rows, NUMBERS).fillna(0)
    spans = StratifiedKFold(5).split(frame, labels)
    # By hand: a detector of four spans, without labels, scores the fifth.
    apart = np.empty(len(frame))
    for others, span in spans:
        forest = IsolationForest(random_state=0, **SMALL).fit(frame.iloc[others])
        apart[span] = -forest.score_samples(frame.iloc[span])
    passed = CalibratedClassifierCV(Told(), method=method, ensemble=False, cv=2).fit(apart[:, None], labels)
    whole = IsolationForest(random_state=0, **SMALL).fit(frame)
    expected = passed.predict_proba(-whole.score_samples(frame)[:, None])[:, 1]
    ours = CalibratedClassifierCV(
        OutlierScore(IsolationForest(random_state=0, **SMALL)), method=method, ensemble=False, cv=5
    )
    np.testing.assert_allclose(ours.fit(frame, labels).predict_proba(frame)[:, 1], expected, rtol=1e-9)


class Told(BaseEstimator):
    """Takes the only column for its score."""

    def __sklearn_tags__(self) -> Any:
        return OutlierScore(IsolationForest()).__sklearn_tags__()

    def fit(self, numbers: Any, labels: Any) -> Any:
        self.classes_ = np.unique(labels)
        return self

    def predict(self, numbers: Any) -> Any:
        return (numbers[:, 0] > 0).astype(int)

    def decision_function(self, numbers: Any) -> Any:
        return numbers[:, 0]


@pytest.mark.parametrize(
    ("path", "arguments", "features"),
    [
        ("sklearn.ensemble.IsolationForest", {**SMALL, "calibrate": "sigmoid"}, FEATURES),
        ("sklearn.neighbors.LocalOutlierFactor", {"calibrate": "isotonic"}, FEATURES),
        ("sklearn.svm.OneClassSVM", {"nu": 0.2, "calibrate": "sigmoid"}, FEATURES),
        # Columns of categories depend on each other, which it warns of.
        ("sklearn.covariance.EllipticEnvelope", {"calibrate": "sigmoid"}, NUMBERS),
        ("sklearn.linear_model.SGDOneClassSVM", {"calibrate": "isotonic"}, FEATURES),
    ],
)
def test_each_detector_is_stored_loaded_and_the_same_again(
    path: str, arguments: dict[str, Any], features: Features, tmp_path: Path
) -> None:
    digests = []
    for name in ("first", "second"):
        model = fitted({path: arguments}, features)
        skops_file.save(model, tmp_path / name)
        digests.append(skops_file.digest(tmp_path / name))
    assert digests[0] == digests[1]
    loaded = skops_file.load(tmp_path / "second", digests[1])
    probabilities = models.predict(loaded, ROWS, "classification")
    assert np.array_equal(probabilities, models.predict(model, ROWS, "classification"))
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert type(detector_of(loaded)["model"].detector).__name__ == path.rpartition(".")[2]
    assert models.requirements(loaded)[-1].startswith("airflow-mlops>=")


def test_threads_do_not_change_a_digit(tmp_path: Path) -> None:
    forest = {"n_estimators": 50, "contamination": 0.1, "max_samples": 64, "calibrate": "sigmoid"}
    for name, threads in (("one", 1), ("four", 4)):
        with parallel_config("threading", n_jobs=threads):
            skops_file.save(fitted({"sklearn.ensemble.IsolationForest": forest}), tmp_path / name)
    assert skops_file.digest(tmp_path / "one") == skops_file.digest(tmp_path / "four")


@pytest.mark.slow  # another Python
def test_another_process_makes_the_same_digest(tmp_path: Path) -> None:
    skops_file.save(fitted(FOREST, FEATURES), tmp_path / "here")
    script = (
        "import sys; from pathlib import Path; from test_outliers import FOREST, FEATURES, fitted; "
        "from airflow_mlops.learning.models import skops_file; path = Path(sys.argv[1]); "
        "skops_file.save(fitted(FOREST, FEATURES), path); print(skops_file.digest(path))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "there")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        check=True,
        text=True,
    )
    assert answer.stdout.strip() == skops_file.digest(tmp_path / "here")


def test_no_preparation_sees_labels_and_distances_are_measured_on_scales() -> None:
    # So many values would become the mean of the target for a classifier.
    model = fitted(
        {"sklearn.neighbors.LocalOutlierFactor": {"calibrate": "sigmoid"}}, FEATURES, carrier=10**5
    )
    steps = detector_of(model)["prepare"].named_transformers_
    assert [type(step) for _, step, _ in steps["categorical"].transformers] == [OneHotEncoder]
    assert isinstance(steps["numeric"][-1], StandardScaler)
    forest = detector_of(fitted(FOREST, NUMBERS))["prepare"].named_transformers_
    assert not isinstance(forest["numeric"], Pipeline)


def test_settings_of_a_detector_are_those_of_any_candidate() -> None:
    written = {
        "sklearn.ensemble.IsolationForest": {"calibrate": "sigmoid", "search": {"max_samples": [32, 64]}}
    }
    built = estimators.build(Candidate.from_dict(written), "classification", 7, {"max_samples": 32})
    assert (built.random_state, built.max_samples) == (7, 32)
    with pytest.raises(TrainingFailed, match="has no parameter 'n_tree'"):
        fitted({"sklearn.ensemble.IsolationForest": {"calibrate": "sigmoid", "n_tree": 3}})
    with pytest.raises(TrainingFailed, match="did you mean IsolationForest"):
        fitted({"sklearn.ensemble.IsolationForst": {"calibrate": "sigmoid"}})


@pytest.mark.parametrize(
    ("arguments", "task", "classes", "words"),
    [
        ({}, "classification", 2, "score is no probability of the target; write calibrate: sigmoid"),
        ({"calibrate": "temperature"}, "classification", 2, "write calibrate: sigmoid or isotonic"),
        ({"calibrate": "sigmoid"}, "classification", 3, "and there are 3 classes"),
        ({}, "regression", 2, "predicts no number: write task: classification"),
        (
            {"calibrate": "sigmoid", "novelty": False},
            "classification",
            2,
            "scores no new rows.*novelty: true",
        ),
    ],
)
def test_what_the_loop_cannot_judge_is_refused_with_the_reason(
    arguments: dict[str, Any], task: str, classes: int, words: str
) -> None:
    candidate = Candidate.from_dict({"sklearn.neighbors.LocalOutlierFactor": arguments})
    with pytest.raises(TrainingFailed, match=words):
        pipeline.build(candidate, NUMBERS, task, 0, classes=classes)


def test_a_function_may_return_a_detector_behind_its_own_preparation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strange_rows.py").write_text(
        "from sklearn.impute import SimpleImputer\nfrom sklearn.neighbors import LocalOutlierFactor\n"
        "from sklearn.pipeline import make_pipeline\n"
        "def factor(n_neighbors):\n"
        "    return make_pipeline(SimpleImputer(), LocalOutlierFactor(n_neighbors=n_neighbors, novelty=True))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = fitted({"strange_rows:factor": {"n_neighbors": 9, "calibrate": "sigmoid"}})
    inner = detector_of(model)["model"].detector
    assert isinstance(inner[-1], LocalOutlierFactor)
    skops_file.check(model)


@pytest.mark.slow  # forty fits
def test_a_calibrated_detector_is_a_member_of_an_ensemble() -> None:
    linear = {"sklearn.linear_model.LogisticRegression": {}}
    both = fitted({"ensemble": {"of": [FOREST, linear], "method": "voting"}})
    alone = [models.predict(fitted(written), ROWS, "classification") for written in (FOREST, linear)]
    np.testing.assert_allclose(
        models.predict(both, ROWS, "classification"), np.mean(alone, axis=0), rtol=1e-12
    )
    stacked = fitted({"ensemble": {"of": [FOREST, linear], "method": "stacking"}})
    assert models.predict(stacked, ROWS, "classification").std() > 0
