from __future__ import annotations

import json
import sys
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, TrainedModel
from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.exceptions import ModelNotFound, NotReproduced
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.reproduce import environments, reproduce
from airflow_mlops.stages.train import jobs
from airflow_mlops.stages.train.split import place_bounds, starts
from airflow_mlops.stores.registry import tracking
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, month, rows_of, shifted
from synthetic import BOOSTING

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

SEARCHED = Candidate(
    estimator="sklearn.ensemble.HistGradientBoostingClassifier",
    params={"max_iter": 10},
    search={"learning_rate": [0.05, 0.5]},
)
BUILT = """
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def build(C=1.0):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(ColumnTransformer([("numbers", numbers, ["distance", "wind"])]), LogisticRegression(C=C))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, TrainedModel]:
    """Train a version on two months, one of them held out, and evaluate it there."""
    history = History(tmp_path_factory.mktemp("shared"))
    found = history.train(published(history), candidate=SEARCHED)
    judge(history, found)
    return history, found


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def published(history: History) -> DatasetVersion:
    history.publish("2013-01")
    return history.publish("2013-02")


def judge(history: History, found: TrainedModel) -> None:
    """Log the holdout metrics as an evaluation does."""
    held_out = tables.read(
        found.dataset.uri, version=found.dataset.version, event_time="departure", since=found.split.cut
    )
    rows, truth = pipeline.labelled(held_out, found.target, found.task)
    ref = ModelRef(model=MODEL, version=found.version, digest=found.digest, run_id=found.run_id)
    predicted = models.predict(models.load_version(history.client, ref), rows, found.task)
    measured = measures.metrics(truth, predicted, found.task)
    tracking.log_metrics(history.client, found.run_id, "holdout", measured)


def again(history: History, found: TrainedModel, **options: Any) -> reproduce.Reproduction:
    return reproduce.reproduce(history.client, MODEL, found.version, **options)


def differing(checks: tuple[Check, ...]) -> list[str]:
    return [check.name for check in checks if check.verdict is Verdict.FAIL]


def test_the_same_model_comes_out_and_nothing_is_written(trained: tuple[History, TrainedModel]) -> None:
    history, found = trained
    before = len(history.client.search_runs([history.client.get_experiment_by_name(MODEL).experiment_id]))
    steps: list[str] = []
    done = again(history, found, tell=steps.append)
    assert (done.reproduced, done.digest) == (True, found.digest)
    assert done.outcome[0].name == "digest"
    assert {"roc_auc", "log_loss"} <= {check.name for check in done.outcome}
    assert differing(done.environment) == []
    assert {"python", "scikit-learn", "numpy"} <= {check.name for check in done.environment}
    assert len(steps) == 4
    assert "Fitting HistGradientBoostingClassifier to 2" in steps[2]
    assert len(history.client.search_model_versions(f"name = '{MODEL}'")) == 1
    runs = history.client.search_runs([history.client.get_experiment_by_name(MODEL).experiment_id])
    assert len(runs) == before


def test_what_was_published_since_does_not_matter(history: History) -> None:
    found = history.train(published(history))
    history.publish("2013-01", shifted("2013-01"))
    history.publish("2013-03")
    assert again(history, found).digest == found.digest


def test_a_version_that_was_never_evaluated_is_compared_by_digest_alone(history: History) -> None:
    done = again(history, history.train(published(history)))
    assert done.reproduced
    assert [check.verdict for check in done.outcome] == [Verdict.PASS, Verdict.INCONCLUSIVE]
    assert "never evaluated" in done.outcome[1].reason


def test_other_parameters_give_another_model_and_say_so(trained: tuple[History, TrainedModel]) -> None:
    history, found = trained
    tag = history.client.get_model_version(MODEL, found.version).tags["mlops.trained"]
    facts = json.loads(tag)
    facts["params"]["max_iter"] = 3
    history.client.set_model_version_tag(MODEL, found.version, "mlops.trained", json.dumps(facts))
    try:
        done = again(history, found)
    finally:
        history.client.set_model_version_tag(MODEL, found.version, "mlops.trained", tag)
    assert not done.reproduced
    assert {"digest", "log_loss"} <= set(differing(done.outcome))
    assert f"is not {found.digest[:12]}…" in done.outcome[0].reason


def test_packages_that_differ_are_named_with_both_versions(
    trained: tuple[History, TrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = metadata.version

    def elsewhere(name: str) -> str:
        """Answer as a machine with a newer NumPy and without SciPy would."""
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return "99.0" if name == "numpy" else installed(name)

    monkeypatch.setattr(metadata, "version", elsewhere)
    done = again(*trained)
    reasons = {check.name: check.reason for check in done.environment if check.verdict is Verdict.FAIL}
    assert reasons == {
        "numpy": f"99.0 is installed, and was {installed('numpy')}",
        "scipy": f"it is not installed, and was {installed('scipy')}",
    }
    assert done.reproduced


def test_code_that_built_a_candidate_and_has_changed_is_named(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "built_for_reproduce.py"
    module.write_text(BUILT)
    monkeypatch.syspath_prepend(tmp_path)
    candidate = Candidate(estimator="built_for_reproduce:build", params={"C": 0.1})
    found = history.train(published(history), candidate=candidate)
    assert differing(again(history, found, folders=[tmp_path]).environment) == []
    monkeypatch.delitem(sys.modules, "built_for_reproduce")
    module.write_text(BUILT.replace("StandardScaler()", "StandardScaler(with_mean=False)"))
    done = again(history, found, folders=[tmp_path])
    assert (done.reproduced, differing(done.environment)) == (False, ["candidate"])
    monkeypatch.delitem(sys.modules, "built_for_reproduce")
    with pytest.raises(
        NotReproduced,
        match="was built by built_for_reproduce:build, which is not called: .* named as trusted",
    ):
        again(history, found)
    assert "built_for_reproduce" not in sys.modules


def test_a_function_that_a_tag_names_elsewhere_is_neither_imported_nor_called(
    trained: tuple[History, TrainedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, found = trained
    canary, trusted = tmp_path / "canary", tmp_path / "dags"
    trusted.mkdir()
    (tmp_path / "stowaway.py").write_text(f"open({str(canary)!r}, 'w').close()\ndef build(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    tag = history.client.get_model_version(MODEL, found.version).tags[jobs.RECIPE]
    recipe = json.loads(tag)
    try:
        for named in ("stowaway:build", "subprocess:call"):
            recipe["candidate"] = Candidate(estimator=named).to_dict()
            history.client.set_model_version_tag(MODEL, found.version, jobs.RECIPE, json.dumps(recipe))
            with pytest.raises(
                NotReproduced, match=f"built by {named}, which is not called: .* does not lie below"
            ):
                again(history, found, folders=[trusted])
    finally:
        history.client.set_model_version_tag(MODEL, found.version, jobs.RECIPE, tag)
    record = reproduce.record(history.client, MODEL, found.version)
    tagged = record._replace(tags={**record.tags, "mlops.transform": "stowaway:build@0123456789ab"})
    checks = {
        check.name: check
        for check in environments.compare(history.client, tagged.trained.run_id, tagged.tags, (trusted,))
    }
    assert checks["transform"].verdict is Verdict.INCONCLUSIVE
    assert not canary.exists()


def test_metrics_that_are_undefined_or_not_measured_here_are_no_difference(
    trained: tuple[History, TrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    history, found = trained
    for name in ("holdout/mystery", "holdout/log_loss"):
        history.client.log_metric(found.run_id, name, float("inf" if name.endswith("loss") else "0.5"))
    honest = measures.metrics
    monkeypatch.setattr(
        measures, "metrics", lambda *values, **rule: {**honest(*values, **rule), "log_loss": None}
    )
    try:
        outcome = {check.name: check for check in again(history, found).outcome}
    finally:
        judge(history, found)
    assert (outcome["log_loss"].verdict, outcome["log_loss"].reason) == (
        Verdict.PASS,
        "undefined, and was undefined",
    )
    assert outcome["mystery"].verdict is Verdict.INCONCLUSIVE
    assert outcome["mystery"].reason == "it was 0.5, and is not among the metrics that are measured here"


def test_a_version_without_a_recipe_is_told(history: History) -> None:
    found = history.train(published(history))
    history.client.delete_model_version_tag(MODEL, found.version, jobs.RECIPE)
    with pytest.raises(
        NotReproduced, match="Version 1 of 'flights' has no tag mlops.recipe: .* before recipes"
    ):
        again(history, found)


@pytest.mark.parametrize("recipe", ["{", "{}", '{"model": "flights"}'])
def test_a_recipe_that_is_no_recipe_is_told(trained: tuple[History, TrainedModel], recipe: str) -> None:
    history, found = trained
    tag = history.client.get_model_version(MODEL, found.version).tags[jobs.RECIPE]
    history.client.set_model_version_tag(MODEL, found.version, jobs.RECIPE, recipe)
    try:
        with pytest.raises(NotReproduced, match="recipe of version 1 of 'flights' cannot be read"):
            again(history, found)
    finally:
        history.client.set_model_version_tag(MODEL, found.version, jobs.RECIPE, tag)


@pytest.mark.parametrize("number", ["7", "latest"])
def test_a_version_that_does_not_exist_is_told(trained: tuple[History, TrainedModel], number: str) -> None:
    with pytest.raises(ModelNotFound, match=f"no version '{number}'; it has 1"):
        reproduce.reproduce(trained[0].client, MODEL, number)


def test_data_that_a_vacuum_has_removed_is_told(history: History) -> None:
    found = history.train(published(history))
    for file in Path(history.uri("data").removeprefix("file://")).rglob("*.parquet"):
        file.unlink()
    with pytest.raises(
        NotReproduced, match=r"Version 2 of 'flights' at .*/data cannot be read any more: .*vacuum"
    ):
        again(history, found)


def test_a_table_that_was_moved_is_told(history: History) -> None:
    found = history.train(published(history))
    folder = Path(history.uri("data").removeprefix("file://"))
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(NotReproduced, match="cannot be read any more: There is no table"):
        again(history, found)


@pytest.fixture
def anew(history: History) -> TrainedModel:
    """Train a version, and then make its table anew, without rows."""
    found = history.train(published(history))
    folder = Path(history.uri("data").removeprefix("file://"))
    folder.rename(folder.with_name("former"))
    return found


def test_other_data_under_the_same_number_is_refused(history: History, anew: TrainedModel) -> None:
    history.publish("2013-01")
    history.publish("2013-02", shifted("2013-02"))
    with pytest.raises(
        NotReproduced, match="partition 2013-02 has the digest .*made anew or changed by hand"
    ):
        again(history, anew)


def test_rows_that_are_missing_in_an_earlier_partition_are_refused(
    history: History, anew: TrainedModel
) -> None:
    history.publish("2013-01", shifted("2013-01").slice(3))
    history.publish("2013-02")
    rows = anew.split.train_rows
    with pytest.raises(NotReproduced, match=f"it has {rows - 3} rows to train on and .* and had {rows} and"):
        again(history, anew)


def test_values_that_were_changed_in_an_earlier_partition_give_another_model(
    history: History, anew: TrainedModel
) -> None:
    history.publish("2013-01", shifted("2013-01"))
    history.publish("2013-02")
    assert differing(again(history, anew).outcome) == ["digest"]


def test_a_regression_is_reproduced_too(history: History) -> None:
    candidate = BOOSTING.model_copy(update={"estimator": "sklearn.ensemble.HistGradientBoostingRegressor"})
    found = history.train(
        published(history), candidate=candidate, task="regression", target="delay", metric="rmse"
    )
    judge(history, found)
    done = again(history, found)
    assert done.reproduced
    assert {check.name for check in done.outcome} == {"digest", "rmse", "mae", "r2"}


def test_a_version_of_a_chosen_window_is_fitted_to_that_window_again(history: History) -> None:
    first = rows_of("2013-01")
    history.publish("2013-01", changed(first, late=pc.invert(first["late"])))
    for key in ("2013-02", "2013-03", "2013-04"):
        dataset = history.publish(key)
    rows = tables.read(dataset.uri, version=dataset.version)
    bounds = place_bounds(
        rows["departure"], holdout=1, partition=month("2013-04"), window="all", delay=timedelta(0)
    )
    found = history.train(dataset, starts=starts(dataset, bounds, 1, ("all", 2)))
    assert found.window is not None
    assert (found.window.chosen, found.split.start) == (2, month("2013-02").start)
    judge(history, found)
    done = again(history, found)
    assert (done.reproduced, done.digest) == (True, found.digest)
