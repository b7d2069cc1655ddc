"""The constant that may take the place of a champion that fails."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import Action, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision, failing
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.gates import Gates, Rescue, VersusChampion
from airflow_mlops.domain.spec.model import Candidate, Features, PerformancePolicy
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import models
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.guard import probation
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.promote import promote
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import offer, train
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, month, rows_of
from notices import make_health
from synthetic import make_recipe, make_split

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # fits

MONTHS = ("2013-01", "2013-02", "2013-03")
BLIND = Features(numeric=("distance",))
RIDGE = Candidate(estimator="sklearn.linear_model.Ridge")
GATES = Gates(versus_champion=VersusChampion(evidence="adds_up", rescue=Rescue(fallback=("constant",))))


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Two months, and a third in which what made flights late makes them punctual."""
    made = History(tmp_path)
    for key in MONTHS[:2]:
        made.publish(key)
    rows = rows_of("2013-03")
    made.publish("2013-03", changed(rows, late=pc.invert(rows["late"]), delay=pc.negate(rows["delay"])))
    return made


def recipe_at(history: History, key: str, **changes: Any) -> Recipe:
    """Say how a candidate is trained at a partition, with the month before it as the last to learn from."""
    latest = max(tables.versions(history.uri("data")), key=lambda version: version.version)
    dataset = latest.model_copy(update={"partition": key})
    rows = tables.read(dataset.uri, version=dataset.version)
    return make_recipe(rows, split=make_split(rows, partition=month(key)), dataset=dataset, **changes)


def trained_at(history: History, key: str, **changes: Any) -> TrainedModel:
    recipe = recipe_at(history, key, **changes)
    return train.train_candidate(
        recipe, client=history.client, key=f"{key}/{sorted(changes.items())}", tags={}, pictures=False
    )


def crowned(history: History, **changes: Any) -> ModelRef:
    return history.crown(trained_at(history, "2013-02", **changes), "2013-02")


def offered(history: History, champion: ModelRef | None, **changes: Any) -> TrainedModel | None:
    ours = recipe_at(history, "2013-03", **changes)
    return offer.constant(history.client, champion, ours, key="run", tags={})


def judged(
    history: History, champion: ModelRef, *candidates: TrainedModel, fails: str = "2013-02: worthless"
) -> Evaluation:
    retrain = RetrainDecision(
        model=MODEL, partition="2013-03", retrain=True, checks=(), dataset=candidates[0].dataset, reason="r", failing=fails,
    )  # fmt: skip
    return evaluate.evaluate_candidates(
        candidates, client=history.client, dataset=candidates[0].dataset, champion=champion, gates=GATES, retrain=retrain,
    )  # fmt: skip


def test_a_constant_takes_the_place_of_a_champion_that_fails_where_nothing_else_passes(
    history: History,
) -> None:
    champion = crowned(history)
    constant, candidate = offered(history, champion), trained_at(history, "2013-03")
    assert constant is not None
    assert (constant.candidate, constant.constant, constant.score) == ("constant", True, None)
    assert constant.features == candidate.features
    evaluation = judged(history, champion, constant, candidate)
    assert (evaluation.candidate.version, evaluation.verdict) == (constant.version, Verdict.PASS)
    names = [check.name for check in evaluation.checks]
    assert "rescue.fallback" in names
    assert not {"versus_champion.roc_auc", "evidence"} & set(names)
    check = next(check for check in evaluation.checks if check.name == "rescue.fallback")
    assert check.observed == evaluation.metrics["log_loss"] < evaluation.champion_metrics["log_loss"]
    assert check.expected.startswith("better in log_loss, improvement > ")
    assert "constant" not in check.expected
    assert (
        "fallback to a constant, as nothing else passes and the champion fails (2013-02: worthless)"
        in check.reason
    )
    assert f"judged too: LogisticRegression (version {candidate.version}), FAIL" in evaluation.reason
    assert evaluation.leaderboard == {"LogisticRegression": candidate.score, "constant": None}
    moved = promote.promote(
        history.client, ledger_uri=history.uri("ledger"), evaluation=evaluation, key="promote", actor="test"
    )
    assert (moved.action, moved.before, moved.after) == (Action.PROMOTED, champion.version, constant.version)
    # It ranks no row before another, so a probation would give the champion back that has failed.
    assert probation.on_probation(ledger.rows(history.uri("ledger"))) is None
    # A constant is not replaced by another one, which would be as much in need of a successor.
    now = ModelRef(model=MODEL, version=constant.version, digest=constant.digest, run_id=constant.run_id)
    assert offered(history, now) is None


def test_a_constant_stands_in_for_no_champion_that_does_well(history: History) -> None:
    champion = crowned(history)
    constant, candidate = offered(history, champion), trained_at(history, "2013-03")
    assert constant is not None
    evaluation = judged(history, champion, constant, candidate, fails="")
    assert evaluation.candidate.version == candidate.version
    assert evaluation.verdict is not Verdict.PASS
    assert "constant (version 2), FAIL: rescue.fallback: " in evaluation.reason


def test_a_constant_that_is_no_better_bet_leaves_the_trained_candidate_to_be_told_of(
    history: History,
) -> None:
    history.publish("2013-03")
    champion = crowned(history)
    constant, candidate = offered(history, champion), trained_at(history, "2013-03", features=BLIND)
    assert constant is not None
    evaluation = judged(history, champion, constant, candidate)
    assert (evaluation.candidate.version, evaluation.verdict) == (candidate.version, Verdict.FAIL)
    assert "judged too: constant (version 2), " in evaluation.reason
    assert {check.name for check in evaluation.checks} >= {"rescue", "evidence"}


def test_what_was_trained_comes_first(history: History) -> None:
    history.publish("2013-03")
    champion = crowned(history, features=BLIND)
    constant, candidate = offered(history, champion), trained_at(history, "2013-03")
    assert constant is not None
    evaluation = judged(history, champion, constant, candidate)
    assert (evaluation.candidate.version, evaluation.verdict) == (candidate.version, Verdict.PASS)
    assert "judged too" not in evaluation.reason


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"task": "regression", "target": "delay", "metric": "rmse", "candidate": RIDGE}, "mean"),
        ({"decision": Decision(metric="f1")}, "prior"),
        ({"class_weight": "balanced"}, "prior"),
        ({"decision": Decision(costs={"false_negative": 3, "false_positive": 1})}, "prior"),
    ],
)
def test_a_constant_is_what_its_task_and_rows_say_and_is_reproduced(
    history: History, changes: dict[str, Any], value: str
) -> None:
    champion = crowned(history, **changes)
    constant = offered(history, champion, **changes)
    assert constant is not None
    assert constant.params == {"strategy": value}
    target = changes.get("target", "late")
    learned = tables.read(constant.dataset.uri, version=constant.dataset.version)
    learned = learned.filter(pc.less(learned["departure"], constant.split.cut))
    loaded = models.load_version(history.client, ModelRef(**_of(constant)))
    rows = rows_of("2013-03")
    predicted = models.predict(loaded, rows, constant.task)
    assert predicted == pytest.approx(pc.mean(pc.cast(learned[target], "float64")).as_py())
    candidate = trained_at(history, "2013-03", **changes)
    evaluation = judged(history, champion, constant, candidate)
    assert (evaluation.candidate.version, evaluation.verdict) == (constant.version, Verdict.PASS)
    assert reproduce.reproduce(history.client, MODEL, constant.version).reproduced


def _of(trained: TrainedModel) -> dict[str, str]:
    return {"model": MODEL, "version": trained.version, "digest": trained.digest, "run_id": trained.run_id}


@pytest.mark.parametrize("estimated", [True, False])
def test_a_constant_champion_fails_for_being_one_and_for_nothing_else(
    history: History, estimated: bool
) -> None:
    constant = offered(history, crowned(history))
    assert constant is not None
    champion = history.crown(constant, "2013-03")
    april = history.publish("2013-04")
    score.score(
        history.client,
        model=MODEL,
        dataset=april,
        champion=champion,
        task="classification",
        uri=history.uri("predictions"),
    )
    question = Question(target="late", task="classification", metric="roc_auc", delay=timedelta(0))
    measured = performance.performance(
        history.client,
        truth=Truth(april, question, None),
        champion=champion,
        policy=PerformancePolicy(chance=0.05, floor={"roc_auc": 0.6}),
        predictions_uri=history.uri("predictions"),
        performance_uri=history.uri("performance"),
        estimated=estimated,
    )
    assert measured.check.verdict is Verdict.FAIL
    assert (
        measured.check.reason
        == "the champion predicts the same of every row, in place of a model that failed"
    )
    assert measured.metrics["roc_auc"] == 0.5
    names = {check.name: check.verdict for check in measured.others}
    assert names["baseline"] is Verdict.INCONCLUSIVE
    assert not [name for name in names if name.startswith(("worthless", "decay", "calibration"))]
    report = make_health(partition="2013-04", champion=champion, performance=measured.check)
    # So that its successor need be the better bet only, and one is asked for.
    assert failing(champion, [report]).startswith("2013-04: the champion predicts the same of every row")


def test_without_a_champion_or_rows_there_is_no_constant(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    assert offered(history, None) is None
    champion = crowned(history)
    gone = champion.model_copy(update={"version": "99"})
    assert offered(history, gone) is None
    assert "There is no constant to fall back to" in caplog.text
