from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import DatasetVersion, TrainedModel
from airflow_mlops.domain.facts.retraining import JUDGED_AGAIN, RetrainDecision
from airflow_mlops.domain.spec.model import Budget
from airflow_mlops.exceptions import NotEnoughData
from airflow_mlops.learning import threads
from airflow_mlops.operators.train import TrainOperator
from contexts import Run, deploy
from history import MODEL, History, month, shifted
from synthetic import FEATURES

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

LOGISTIC = {"sklearn.linear_model.LogisticRegression": {"C": 0.5}}


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def train_run(key: str | None = "2013-02", **changes: Any) -> Run:
    form = {"reason": None, "force": False, "window": None}
    return Run(f"{MODEL}.train", key, form=form, **changes)


def trained(run: Run, dataset: DatasetVersion, **changes: Any) -> TrainedModel:
    arguments: dict[str, Any] = {
        "dataset": dataset.to_dict(),
        "candidate": LOGISTIC,
        "target": "late",
        "features": FEATURES,
    }
    return TrainedModel.from_dict(run.execute(TrainOperator, "train", **arguments | changes))


def test_a_candidate_is_trained_on_the_pinned_data_and_registered_under_its_run(history: History) -> None:
    january, february = history.publish("2013-01"), history.publish("2013-02")
    history.publish("2013-02", shifted("2013-02"))
    history.publish("2013-03")
    model = trained(run := train_run(), february)
    assert (model.version, model.candidate, model.dataset) == ("1", "LogisticRegression", february)
    assert (model.split.train_rows, model.split.holdout_rows) == (january.rows, february.rows)
    assert model.split.end == month("2013-02").end
    assert run.pushed == {"mlflow_run": model.run_id}
    found = history.client.get_model_version(MODEL, "1")
    assert found.tags["airflow.dag_id"] == "flights.train"
    assert found.tags["airflow.run_id"] == "run-1"
    assert found.tags["airflow.url"] == "http://127.0.0.1:8080/the-task"
    assert found.tags["airflow.dag_file"] == run.dag.fileloc
    assert found.tags["mlops.key"].startswith("flights.train/run-1/train/LogisticRegression/")
    assert (history.folder / "storage/artifacts" / MODEL).is_dir()
    assert found.aliases == []


def test_a_retry_adopts_the_version_that_was_registered_and_another_run_makes_an_equal_one(
    history: History,
) -> None:
    history.publish("2013-01")
    february = history.publish("2013-02")
    first, retry = (trained(train_run(), february) for _ in range(2))
    assert retry == first
    other = trained(train_run(run_id="run-2"), february)
    assert (other.version, other.digest) == ("2", first.digest)


def test_a_cleared_training_whose_spec_was_changed_trains_anew(history: History) -> None:
    history.publish("2013-01")
    february = history.publish("2013-02")
    first = trained(train_run(), february, ranked=False)
    changed = trained(train_run(), february, ranked=False, seed=3)
    assert (first.version, changed.version) == ("1", "2")
    assert trained(train_run(), february, ranked=False) == first


def test_a_window_arrives_as_the_text_that_a_template_gives(history: History) -> None:
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    march = history.publish("2013-03")
    model = trained(train_run("2013-03"), march, window="1", delay=timedelta(days=1))
    assert (model.split.start, model.split.cut) == (month("2013-02").start, month("2013-03").start)
    assert model.split.end == month("2013-03").end - timedelta(days=1)


def test_features_are_derived_from_the_data_if_none_are_named(history: History) -> None:
    history.publish("2013-01")
    model = trained(train_run(), history.publish("2013-02"), features=None, model="other")
    assert model.model == "other"
    assert model.features == ("distance", "wind", "delay", "carrier", "origin")


def test_an_only_candidate_need_not_be_ranked(history: History) -> None:
    history.publish("2013-01")
    february = history.publish("2013-02")
    assert trained(train_run(), february, ranked=False).score is None
    assert trained(train_run(run_id="run-2"), february, folds=3).score is not None


def test_the_recipe_has_what_the_operator_was_given(history: History) -> None:
    history.publish("2013-01")
    budget = Budget(trials=3, parallel=2)
    trained(train_run(), history.publish("2013-02"), folds=2, seed=5, budget=budget, metric="brier")
    recipe = Recipe.model_validate_json(history.client.get_model_version(MODEL, "1").tags["mlops.recipe"])
    assert (recipe.folds, recipe.seed, recipe.metric) == (2, 5, "brier")
    assert recipe.budget == budget
    assert recipe.candidate.to_dict() == LOGISTIC


def test_a_signal_ends_a_training_and_leaves_killed_runs(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish("2013-01")
    february = history.publish("2013-02")
    operator = TrainOperator(
        task_id="train", dataset=february.to_dict(), candidate=LOGISTIC, target="late", features=FEATURES
    )
    # What Airflow's handler of SIGTERM does, in the main thread, while a fit goes on in another.
    monkeypatch.setattr(threads, "waited", lambda work, what: operator.on_kill())
    with pytest.raises(SystemExit, match="cancelled"):
        train_run().execute_task(operator)
    experiment = history.client.get_experiment_by_name(MODEL)
    (run,) = history.client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    assert list(history.client.search_model_versions(f"name = '{MODEL}'")) == []
    operator.on_kill()  # as after a time-out, when there is nothing to end any more


def test_too_little_data_is_an_error_where_training_was_asked_for(history: History) -> None:
    with pytest.raises(NotEnoughData, match="0 rows to train on"):
        trained(train_run("2013-01"), history.publish("2013-01"))


def test_a_version_that_is_judged_again_is_handed_out_by_every_mapped_task(history: History) -> None:
    history.publish("2013-01")
    former = trained(train_run(), history.publish("2013-02"))
    march = history.publish("2013-03")
    check = Check(name=JUDGED_AGAIN, verdict=Verdict.FAIL, expected="e", reason="by a hair")
    decision = RetrainDecision(
        model=MODEL, partition="2013-03", retrain=False, checks=(check,), dataset=march, reason="r", version=former.version
    )  # fmt: skip
    run = train_run("2013-03")
    other = {"sklearn.dummy.DummyClassifier": {}}
    for candidate in (LOGISTIC, other):
        model = trained(run, march, candidate=candidate, retrain=decision.to_dict(), delay=timedelta(days=7))
        assert (model.version, model.digest, model.candidate) == ("1", former.digest, "LogisticRegression")
        assert (model.split.start, model.split.cut) == (former.split.start, former.split.cut)
        assert model.split.end == month("2013-03").end - timedelta(days=7)
        assert model.split.holdout_rows > former.split.holdout_rows
        assert model.dataset == march
        assert run.pushed == {"mlflow_run": former.run_id}
    assert [str(version.version) for version in history.client.search_model_versions(f"name='{MODEL}'")] == [
        "1"
    ]
    # A decision that trains, does.
    assert trained(run, march, retrain=decision.model_copy(update={"retrain": True}).to_dict()).version == "2"


def test_a_recalibration_is_made_of_the_champion_where_its_calibration_alone_asks(history: History) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    march = history.publish("2013-03")
    asks = RetrainDecision(
        model=MODEL,
        partition="2013-03",
        retrain=True,
        checks=(),
        dataset=march,
        reason="r",
        recalibrates=True,
    )
    run = train_run("2013-03")
    made = trained(run, march, candidate="recalibration", retrain=asks.to_dict())
    assert (made.keeps, made.version) == ("1", "2")
    assert run.pushed == {"mlflow_run": made.run_id}
    others = asks.model_copy(update={"recalibrates": False})
    arguments = {
        "dataset": march.to_dict(),
        "candidate": "recalibration",
        "target": "late",
        "features": FEATURES,
    }
    for decision in (others.to_dict(), None):
        assert train_run("2013-03").execute(TrainOperator, "train", **arguments, retrain=decision) == {}
    assert len(history.client.search_model_versions(f"name = '{MODEL}'")) == 2


def test_a_constant_is_trained_where_the_champion_fails(history: History) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    march = history.publish("2013-03")
    fails = RetrainDecision(
        model=MODEL, partition="2013-03", retrain=True, checks=(), dataset=march, reason="r", failing="worthless",
    )  # fmt: skip
    run = train_run("2013-03")
    made = trained(run, march, candidate="constant", retrain=fails.to_dict())
    assert (made.candidate, made.constant, made.version) == ("constant", True, "2")
    assert run.pushed == {"mlflow_run": made.run_id}
    arguments = {"dataset": march.to_dict(), "candidate": "constant", "target": "late", "features": FEATURES}
    for decision in (fails.model_copy(update={"failing": ""}).to_dict(), None):
        assert train_run("2013-03").execute(TrainOperator, "train", **arguments, retrain=decision) == {}
    assert len(history.client.search_model_versions(f"name = '{MODEL}'")) == 2
