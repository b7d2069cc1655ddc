from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils import all_estimators
from threadpoolctl import threadpool_limits

from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.exceptions import TrainingFailed, UntrustedModel
from airflow_mlops.learning.models import estimators, models, pipeline, skops_file
from synthetic import FEATURES, LOGISTIC, make_rows

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

FUNCTION = """
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

def forest(trees=5, **others):
    return make_pipeline("passthrough", RandomForestClassifier(trees, **others))

def strict(C):
    return LogisticRegression(C=C)

def nothing():
    return 3

def failing():
    raise KeyError("oops")

def own_step():
    return make_pipeline(FunctionTransformer(forest), LogisticRegression())
"""
Writer = Callable[[str], str]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    # So that threads of OpenMP do not wait for each other on a busy machine.
    with threadpool_limits(1, "openmp"):
        yield


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a module beside the DAG files of a test, and return its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(text: str) -> str:
        (tmp_path / "my_models.py").write_text(text)
        monkeypatch.delitem(sys.modules, "my_models", raising=False)
        return "my_models"

    yield written
    sys.modules.pop("my_models", None)


def candidate(path: str, search: dict[str, Any] | None = None, **params: object) -> Candidate:
    return Candidate(estimator=path, params=params, search=search or {})


def build(path: str, task: str = "classification", **params: object) -> Any:
    return estimators.build(candidate(path, **params), task, 0)


def test_the_seed_becomes_the_random_state_unless_the_candidate_or_a_trial_sets_one() -> None:
    assert estimators.build(LOGISTIC, "classification", 7).random_state == 7
    assert build("sklearn.linear_model.LogisticRegression", random_state=3).random_state == 3
    assert estimators.build(LOGISTIC, "classification", 7, {"random_state": 4}).random_state == 4


def test_parameters_of_a_trial_override_and_join_those_of_the_candidate() -> None:
    chosen = candidate("sklearn.linear_model.LogisticRegression", C=2.0, max_iter=50)
    model = estimators.build(chosen, "classification", 0, {"C": 3.0, "tol": 0.1})
    assert (model.C, model.max_iter, model.tol) == (3.0, 50, 0.1)


def test_a_wrong_parameter_is_named_with_those_that_are_close() -> None:
    with pytest.raises(TrainingFailed, match=r"'LogisticRegression'.*'max_iters'; did you mean max_iter\?"):
        build("sklearn.linear_model.LogisticRegression", max_iters=5)
    with pytest.raises(TrainingFailed, match=r"'max_dept'; did you mean max_depth"):
        estimators.build(
            candidate("sklearn.tree.DecisionTreeClassifier", {"max_dept": [2, 3]}), "classification", 0
        )
    with pytest.raises(TrainingFailed, match="LGBMClassifier has no parameter 'leafs'"):
        build("lightgbm.LGBMClassifier", leafs=3)
    with pytest.raises(
        TrainingFailed, match="XGBClassifier has no parameter 'max_dept'; did you mean max_dep"
    ):
        build("xgboost.XGBClassifier", max_dept=3)


@pytest.mark.parametrize(
    ("path", "task", "words"),
    [
        ("sklearn.linear_model.LogisticRegresion", "classification", "did you mean LogisticRegression"),
        ("sklearn.linear_model.LogisticRegression", "regression", "no 'LogisticRegression' for regression"),
        ("sklearn.linear_models.Ridge", "regression", "linear_models"),
        (
            "sklearn.linear_model.RidgeClassifier",
            "classification",
            "gives no probabilities; calibrate: sigmoid",
        ),
        ("sklearn.ensemble.VotingClassifier", "classification", "'estimators'; a function"),
        (
            "sklearn.ensemble.BaseEnsemble",
            "classification",
            "no 'BaseEnsemble' for classification",
        ),
        ("sklearn.linear_model.MultiTaskLasso", "regression", "several targets at once"),
        ("sklearn.semi_supervised.SelfTrainingClassifier", "classification", "lacks a part"),
        ("lightgbm.LGBMRegressor", "classification", "it has LGBMClassifier"),
        ("lightgbm.DaskLGBMClassifier", "classification", "did you mean LGBMClassifier"),
        ("lightgbm.LGBMRanker", "regression", "did you mean LGBMRegressor"),
        ("xgboost.XGBClasifier", "classification", "did you mean XGBClassifier"),
    ],
)
def test_an_estimator_that_cannot_serve_is_refused_by_name(path: str, task: str, words: str) -> None:
    with pytest.raises(TrainingFailed, match=words):
        build(path, task)


def test_nothing_outside_the_packages_that_we_can_store_is_imported() -> None:
    outside = Candidate.model_construct(estimator="os.path.join", params={}, search={}, name="outside")
    with pytest.raises(TrainingFailed, match=r"os\.path\.join is not part of sklearn, lightgbm, xgboost"):
        estimators.build(outside, "classification", 0)


def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    # None in sys.modules makes an import fail.
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(
        TrainingFailed, match=r"lightgbm is not installed: pip install 'airflow-mlops\[boosting\]'"
    ):
        build("lightgbm.LGBMClassifier")


@pytest.mark.parametrize(
    ("params", "silent"),
    [
        ({"seed": 3, "verbose": -1, "max_bin": 63, "num_iterations": 3}, True),
        ({"force_row_wise": True, "n_estimators": 3}, True),
        ({"verbosity": 1, "n_estimators": 3}, False),
    ],
)
def test_lightgbm_takes_its_own_names_and_says_nothing_unless_asked_to(
    params: dict[str, Any], silent: bool, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    features = np.random.default_rng(0).normal(size=(200, 2))
    build("lightgbm.LGBMClassifier", **params).fit(features, features[:, 0] > 0)
    assert ("".join(capfd.readouterr()) == "") is silent
    assert [str(each.message) for each in recwarn] == []


def test_a_function_gets_the_parameters_and_the_seed_reaches_what_it_returns(write: Writer) -> None:
    chosen = candidate(f"{write(FUNCTION)}:forest", {"max_depth": [2, 3]}, min_samples_leaf=4)
    model = estimators.build(chosen, "classification", 7, {"trees": 6, "max_depth": 3})
    forest = model[-1]
    assert (forest.n_estimators, forest.max_depth, forest.min_samples_leaf) == (6, 3, 4)
    assert forest.random_state == 7


@pytest.mark.parametrize(
    ("function", "params", "task", "words"),
    [
        ("strict", {}, "classification", "missing 1 required positional argument: 'C'"),
        ("strict", {"c": 1}, "classification", r"strict has no parameter 'c'"),
        ("strict", {"C": 1}, "regression", "LogisticRegression is not for regression"),
        ("nothing", {}, "classification", "my_models:nothing returned int, which is no estimator"),
        ("failing", {}, "classification", "KeyError: 'oops'"),
        ("absent", {}, "classification", "my_models:absent cannot be imported"),
        ("LogisticRegression", {}, "classification", "name it where it is defined"),
    ],
)
def test_a_function_that_cannot_serve_says_why(
    write: Writer, function: str, params: dict[str, Any], task: str, words: str
) -> None:
    with pytest.raises(TrainingFailed, match=words):
        build(f"{write(FUNCTION)}:{function}", task, **params)


def test_a_function_whose_result_could_not_be_stored_is_refused_before_anything_is_fitted(
    write: Writer,
) -> None:
    with pytest.raises(UntrustedModel, match=r"Candidate 'own_step': the model holds my_models\.forest"):
        build(f"{write(FUNCTION)}:own_step")


def test_the_code_of_a_function_is_known_by_what_it_does(write: Writer) -> None:
    chosen = candidate(f"{write(FUNCTION)}:forest")
    found = estimators.source(chosen)
    assert found is not None
    assert found.source == FUNCTION
    assert found.version.startswith("my_models:forest@")
    write(FUNCTION + "# no more\n")
    same = estimators.source(chosen)
    assert same is not None
    assert (same.version == found.version, same.digest == found.digest) == (True, False)
    assert estimators.source(LOGISTIC) is None


# What scikit-learn offers for a task and a spec cannot use as it stands.
REFUSED = {
    "classification": {
        *("ClassifierChain", "FixedThresholdClassifier", "LinearSVC", "MultiOutputClassifier", "NuSVC"),
        *("OneVsOneClassifier", "OneVsRestClassifier", "OutputCodeClassifier", "PassiveAggressiveClassifier"),
        *(
            "Perceptron",
            "RidgeClassifier",
            "RidgeClassifierCV",
            "SGDClassifier",
            "SVC",
            "SelfTrainingClassifier",
        ),
        *("StackingClassifier", "TunedThresholdClassifierCV", "VotingClassifier"),
    },
    "regression": {
        *("MultiOutputRegressor", "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso"),
        *("MultiTaskLassoCV", "RegressorChain", "StackingRegressor", "VotingRegressor"),
    },
}
# What needs data of another kind, or other parameters, and says so when it is fitted.
UNFIT = {
    *("CCA", "CategoricalNB", "GammaRegressor", "IsotonicRegression", "PLSCanonical", "PoissonRegressor"),
    "QuadraticDiscriminantAnalysis",
}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.filterwarnings("ignore")
def test_every_estimator_of_scikit_learn_is_stored_and_loaded_or_refused(task: str, tmp_path: Path) -> None:
    rows, target = make_rows(120), {"classification": "late", "regression": "delay"}[task]
    known, labels = pipeline.labelled(rows, target, task)
    frame, refused, unfit = pipeline.frame(known, FEATURES), set(), set()
    for name, kind in all_estimators("classifier" if task == "classification" else "regressor"):
        chosen = candidate(f"{kind.__module__.partition('._')[0]}.{name}")
        try:
            model = pipeline.build(chosen, FEATURES, task, 0)
        except TrainingFailed:
            refused.add(name)
            continue
        try:
            model.fit(frame, labels)
        except ValueError:
            unfit.add(name)
            continue
        path = tmp_path / f"{name}.skops"
        skops_file.save(model, path)
        loaded = skops_file.load(path, skops_file.digest(path))
        assert np.array_equal(models.predicted(loaded, frame, task), models.predicted(model, frame, task)), (
            name
        )
    assert refused == REFUSED[task]
    assert unfit <= UNFIT
