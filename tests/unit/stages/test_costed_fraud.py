"""A model whose mistakes do not cost alike, from training to a second training, with labels that come late."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from sklearn import metrics as sk

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import Action, DatasetVersion, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.spec.costs import Costs
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.model import Candidate, Features, Gates, ModelSpec, PerformancePolicy
from airflow_mlops.exceptions import NotEnoughData, SchemaMismatch
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import models, pipeline, thresholds
from airflow_mlops.reporting.card import card
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.performance import performance, rows, subject
from airflow_mlops.stages.performance.registered import RegisteredVersions
from airflow_mlops.stages.promote import promote
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.shadow import trial_windows
from airflow_mlops.stages.train import fitting, train
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables
from history import MODEL, History, month
from synthetic import make_recipe, make_rows, make_split

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]  # fits: seconds each

PAGE = Path(__file__).parents[3] / "docs" / "decisions.md"
SPEC = ModelSpec.from_dict(
    yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0])
)
"""What the page about decisions shows, is run here."""
COSTED = SPEC.decision
FEATURES = Features(numeric=("wind", "distance"), categorical=("carrier", "origin"))
LINEAR = Candidate(estimator="sklearn.linear_model.LogisticRegression")
SETTINGS: dict[str, Any] = {"target": "fraud", "features": FEATURES, "metric": SPEC.metric.name}
QUESTION = Question.of(SPEC).model_copy(update={"labels": True})


def payments(flights: pa.Table, *, known: bool = True) -> pa.Table:
    """Return flights as payments, of which one in twenty is a fraud."""
    fraud = flights["delay"].to_numpy() > 45
    others = flights.drop_columns(["late", "delay"])
    return others.append_column("fraud", pa.array(fraud.astype(np.int64))) if known else others


ROWS = make_rows(6000, months=4)


def payments_of(key: str) -> pa.Table:
    times = ROWS["departure"].to_numpy()
    start, end = (
        np.datetime64(moment.replace(tzinfo=None), "us") for moment in (month(key).start, month(key).end)
    )
    return payments(ROWS.filter(pa.array((times >= start) & (times < end))))


def cost_of(truth: np.ndarray, called: np.ndarray) -> float:
    """Return the mean cost by scikit-learn's confusion matrix."""
    return float(np.sum(sk.confusion_matrix(truth, called) * [[0, 1], [20, 0]])) / truth.size


class Fraud(NamedTuple):
    """Three months of payments; a costed model that became champion after February and has scored March."""

    history: History
    february: DatasetVersion
    march: DatasetVersion
    plain: TrainedModel
    costed: TrainedModel
    evaluation: Evaluation
    champion: ModelRef


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Fraud:
    history = History(tmp_path_factory.mktemp("fraud"))
    history.publish("2013-01", payments_of("2013-01"))
    february = history.publish("2013-02", payments_of("2013-02"))
    plain = history.train(february, candidate=LINEAR, target="fraud", features=FEATURES)
    first = history.crown(plain, "2013-01")
    costed = history.train(february, candidate=LINEAR, decision=COSTED, **SETTINGS)
    evaluation = evaluate.evaluate_candidates(
        [costed],
        client=history.client,
        dataset=february,
        champion=first,
        gates=SPEC.gates.model_copy(update={"floor": {**SPEC.gates.floor, "recall": 0.7}}),
    )
    promoted = promote.promote(
        history.client, ledger_uri=history.uri("ledger"), evaluation=evaluation, key="february", actor="test"
    )
    assert promoted.action is Action.PROMOTED, promoted.reason
    champion = registry.version(history.client, MODEL, costed.version)
    march = history.publish("2013-03", payments_of("2013-03"))
    scored(history, march, champion)
    return Fraud(history, february, march, plain, costed, evaluation, champion)


def scored(history: History, dataset: DatasetVersion, champion: ModelRef, **changes: Any) -> None:
    score.score(
        history.client,
        model=MODEL,
        dataset=dataset,
        champion=champion,
        task="classification",
        uri=history.uri("predictions"),
        **changes,
    )


def named(checks: Any, name: str) -> Check:
    [check] = [check for check in checks if check.name == name]
    return check


def threshold_of(trained: TrainedModel) -> float:
    assert trained.decision is not None
    return trained.decision.threshold


class Beside(NamedTuple):
    """A champion without a decision, and a costed challenger that serves half of the keys."""

    history: History
    march: DatasetVersion
    champion: ModelRef
    challenger: ModelRef
    threshold: float


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    history = History(tmp_path_factory.mktemp("beside"))
    history.publish("2013-01", payments_of("2013-01"))
    february = history.publish("2013-02", payments_of("2013-02"))
    plain = history.train(february, candidate=LINEAR, target="fraud", features=FEATURES)
    champion = history.crown(plain, "2013-02")
    trained = history.train(february, candidate=LINEAR, decision=COSTED, **SETTINGS)
    challenger = ModelRef(model=MODEL, version=trained.version, digest=trained.digest, run_id=trained.run_id)
    march = history.publish("2013-03", payments_of("2013-03"))
    scored(history, march, champion, beside=score.Beside(challenger, history.uri("challenger")), split=0.5)
    return Beside(history, march, champion, challenger, threshold_of(trained))


def judged(world: Fraud, version: ModelRef | TrainedModel, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of a month and a version's probabilities."""
    ref = ModelRef(model=MODEL, version=version.version, digest=version.digest, run_id=version.run_id)
    table = payments_of(key)
    probabilities = models.predict(models.load_version(world.history.client, ref), table, "classification")
    return table["fraud"].to_numpy(), probabilities


def test_the_threshold_costs_least_on_the_latest_fifth_before_the_holdout(world: Fraud) -> None:
    table = payments_of("2013-01").sort_by([("departure", "ascending"), ("flight", "ascending")])
    cut = table.num_rows * 4 // 5
    recipe = make_recipe(table, split=world.costed.split, candidate=LINEAR, **SETTINGS)
    early = pipeline.build(LINEAR, FEATURES, "classification", recipe.seed)
    early.fit(pipeline.frame(table[:cut], FEATURES), table["fraud"][:cut].to_numpy())
    scores = models.predict(early, table[cut:], "classification")
    truth = table["fraud"][cut:].to_numpy()
    costs = [cost_of(truth, scores >= value) for value in scores]
    assert cost_of(truth, scores >= threshold_of(world.costed)) == pytest.approx(min(costs))
    assert "least cost" in (world.costed.decision.reason if world.costed.decision else "")
    assert 0 < threshold_of(world.costed) < 0.3


def test_candidate_and_champion_are_judged_each_at_its_own_threshold(world: Fraud) -> None:
    truth, ours = judged(world, world.costed, "2013-02")
    _, theirs = judged(world, world.plain, "2013-02")
    np.testing.assert_allclose(ours, theirs)
    called = ours >= threshold_of(world.costed)
    check = named(world.evaluation.checks, "versus_champion.expected_cost")
    assert check.verdict is Verdict.PASS
    assert check.observed == pytest.approx(cost_of(truth, called))
    assert check.baseline == pytest.approx(cost_of(truth, theirs >= 0.5))
    assert world.evaluation.metrics["recall"] == pytest.approx(sk.recall_score(truth, called))
    assert world.evaluation.metrics["f1"] == pytest.approx(sk.f1_score(truth, called))
    assert world.evaluation.champion_metrics["f1"] == pytest.approx(sk.f1_score(truth, theirs >= 0.5))
    assert world.evaluation.metrics["roc_auc"] == world.evaluation.champion_metrics["roc_auc"]
    assert named(world.evaluation.checks, "floor.expected_cost").interval is not None


def test_predictions_and_whoever_loads_the_model_follow_the_threshold(world: Fraud) -> None:
    stored = tables.read(world.history.uri("predictions"), partition="2013-03").sort_by("flight")
    called = stored["score"].to_numpy() >= threshold_of(world.costed)
    assert 0.05 < called.mean() < 0.5
    assert stored["prediction"].to_pylist() == [str(int(value)) for value in called]
    mlflow.set_tracking_uri(world.history.client._tracking_client.tracking_uri)
    try:
        frame = pipeline.frame(payments_of("2013-03").sort_by("flight"), FEATURES)
        loaded = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
        np.testing.assert_array_equal(loaded.predict(pd.DataFrame(frame)), called)
    finally:
        mlflow.set_tracking_uri(None)


def test_late_labels_are_judged_at_the_threshold_and_counted_by_cost(world: Fraud) -> None:
    uri = world.history.uri("labels")
    known = payments_of("2013-03").select(["flight", "departure", "fraud"])
    where: dict[str, Any] = {"key": ["flight"], "event_time": "departure", "target": "fraud"}
    labels.write(uri, known, month("2013-04"), task="classification", **where)
    april = world.history.publish("2013-04", payments_of("2013-04"))
    scored(world.history, april, world.champion)
    measured = performance.performance(
        world.history.client,
        truth=Truth(april, QUESTION, uri),
        champion=world.champion,
        policy=SPEC.monitor.performance,
        predictions_uri=world.history.uri("predictions"),
        performance_uri=world.history.uri("performance"),
    )
    truth, scores = judged(world, world.champion, "2013-03")
    called = scores >= threshold_of(world.costed)
    assert measured.check.verdict is Verdict.PASS, measured.check.reason
    assert measured.metrics["expected_cost"] == pytest.approx(cost_of(truth, called), rel=1e-12)
    for name, function in (("f1", sk.f1_score), ("accuracy", sk.accuracy_score)):
        assert measured.metrics[name] == pytest.approx(function(truth, called), rel=1e-12)
    none, every = cost_of(truth, np.zeros(truth.size)), cost_of(truth, np.ones(truth.size))
    assert named(measured.others, "baseline").baseline == pytest.approx(min(none, every))
    estimated = named(measured.others, "estimate")
    assert "expected_cost" in estimated.reason
    now, decision = named(measured.others, "positives"), world.costed.decision
    _, april_scores = judged(world, world.champion, "2013-04")
    assert decision is not None
    assert now.observed == pytest.approx((april_scores >= decision.threshold).mean())
    assert now.baseline == decision.positive
    of_march = next(judgement for judgement in measured.history if judgement.scored == "2013-03")
    assert of_march.decision is not None
    assert of_march.decision.threshold == threshold_of(world.costed)
    assert of_march.metrics["expected_cost"].value == measured.metrics["expected_cost"]


def test_costs_that_the_spec_has_changed_count_anew_and_are_compared_with_no_former_cost(
    world: Fraud,
) -> None:
    dearer = Decision(costs=Costs(false_positive=1, false_negative=40))
    question = QUESTION.model_copy(update={"decision": dearer, "labels": False, "delay": timedelta(0)})
    measured = performance.performance(
        world.history.client,
        truth=Truth(world.march, question, None),
        champion=world.champion,
        policy=PerformancePolicy(min_rows=50, drop=0.01),
        predictions_uri=world.history.uri("predictions"),
    )
    truth, scores = judged(world, world.champion, "2013-03")
    called = scores >= threshold_of(world.costed)
    missed, alarmed = np.mean((truth == 1) & ~called), np.mean((truth == 0) & called)
    assert measured.metrics["expected_cost"] == pytest.approx(40 * missed + alarmed)
    assert measured.check.baseline is None


def test_a_challenger_and_a_champion_predict_each_by_its_own_threshold(served: Beside) -> None:
    history, uri = served.history, served.history.uri("challenger")
    beside = tables.read(uri, partition="2013-03")
    assert beside["score"].to_pylist() == pytest.approx(beside["champion_score"].to_pylist())
    for column, threshold in (("prediction", served.threshold), ("champion_prediction", 0.5)):
        called = beside["score"].to_numpy() >= threshold
        assert beside[column].to_pylist() == [str(int(value)) for value in called], column
    predictions = tables.read(history.uri("predictions"), partition="2013-03")
    by_challenger = np.array(predictions["served_by"].to_pylist()) == "challenger"
    expected = predictions["score"].to_numpy() >= np.where(by_challenger, served.threshold, 0.5)
    assert predictions["prediction"].to_pylist() == [str(int(value)) for value in expected]
    truth = Truth(served.march, QUESTION.model_copy(update={"labels": False, "delay": timedelta(0)}))
    refs = (served.challenger, served.champion)
    rules = tuple(registry.training(history.client, ref).decision for ref in refs)
    pair = trial_windows.Pair(
        uri, history.uri("predictions"), refs[0], refs[1].version, truth, ("0", "1"), (rules[0], rules[1])
    )
    check = trial_windows.quality(pair, "2013-03", trial_windows.Shadow(windows=1))
    assert check.verdict is Verdict.PASS
    assert check.observed is not None
    assert check.baseline is not None
    assert check.observed < check.baseline


def test_a_version_that_is_gone_is_judged_by_the_classes_that_it_chose(served: Beside) -> None:
    history, here = served.history, month("2013-03")
    question = QUESTION.model_copy(update={"labels": False, "delay": timedelta(0)})
    whose = subject.Subject(
        RegisteredVersions(history.client, MODEL), history.uri("predictions"), Truth(served.march, question)
    )

    def of_challenger(earlier: list[Judgement]) -> Judgement:
        judgements = rows.judge(whose, here, here, [], subject.Models(whose, earlier))
        [mine] = [
            judgement for judgement in judgements if judgement.model_version == served.challenger.version
        ]
        return mine

    before = of_challenger([])
    assert before.decision is not None
    assert before.decision.threshold == served.threshold
    history.client.delete_model_version(MODEL, served.challenger.version)
    kept = of_challenger([before])
    assert (kept.metrics, kept.decision) == (before.metrics, before.decision)
    assert of_challenger([]).metrics == before.metrics


def test_a_second_training_is_compared_with_the_costed_champion_and_reproduced(world: Fraud) -> None:
    again = world.history.train(world.march, candidate=LINEAR, decision=COSTED, **SETTINGS)
    evaluation = evaluate.evaluate_candidates(
        [again],
        client=world.history.client,
        dataset=world.march,
        champion=world.champion,
        gates=Gates(),
        pictures=False,
    )
    truth, theirs = judged(world, world.champion, "2013-03")
    check = named(evaluation.checks, "versus_champion.expected_cost")
    assert check.baseline == pytest.approx(cost_of(truth, theirs >= threshold_of(world.costed)))
    repeated = reproduce.reproduce(world.history.client, MODEL, again.version)
    assert repeated.reproduced
    assert named(repeated.outcome, "expected_cost").verdict is Verdict.PASS


def test_the_card_says_from_which_probability_on_and_why(world: Fraud) -> None:
    page = card.write(
        world.history.client, world.evaluation, validation_uri=None, description="Fraud", owner="risk"
    )
    assert f"from a probability of {threshold_of(world.costed):.4g} on" in page
    assert "a false negative 20" in page
    assert "another cost of errors needs another cut" not in page


def test_a_fixed_threshold_is_taken_as_it_is(world: Fraud) -> None:
    trained = world.history.train(
        world.february, candidate=LINEAR, decision=Decision(threshold=0.3), target="fraud", features=FEATURES
    )
    assert threshold_of(trained) == 0.3
    ref = ModelRef(model=MODEL, version=trained.version, digest=trained.digest, run_id=trained.run_id)
    assert thresholds.of(models.load_version(world.history.client, ref)).threshold == 0.3
    assert registry.training(world.history.client, ref).decision.threshold == 0.3


def test_trials_are_ranked_each_at_the_threshold_that_suits_it(world: Fraud) -> None:
    searched = Candidate(
        estimator="sklearn.linear_model.LogisticRegression", search={"C": [0.0001, 1.0]}, name="Searched"
    )
    trained = world.history.train(world.february, candidate=searched, decision=COSTED, **SETTINGS)
    assert trained.params["C"] == 1.0
    assert trained.score is not None
    assert 0 < trained.score < 0.6


def test_too_few_positives_leave_it_to_the_costs_or_stop_the_training() -> None:
    rows = payments(make_rows(400))
    fraud = np.zeros(rows.num_rows, int)
    fraud[[3, 50, 120, 150, 170, 390]] = 1
    rows = rows.set_column(rows.column_names.index("fraud"), "fraud", pa.array(fraud))
    settings: dict[str, Any] = {"split": make_split(rows), "target": "fraud", "features": FEATURES}
    fitted = train.fit(rows, make_recipe(rows, decision=COSTED, **settings), {})
    assert thresholds.of(fitted).threshold == 1 / 21
    for weights, ratio in (({"1": 3.0}, 3.0), ("balanced", None)):
        recipe = make_recipe(rows, decision=COSTED, class_weight=weights, **settings)
        codes = fitting.data(rows, recipe).labels
        ratio = ratio or (codes == 0).sum() / (codes == 1).sum()
        weighted = thresholds.of(train.fit(rows, recipe, {})).threshold
        assert weighted / (1 - weighted) == pytest.approx(ratio / 20)
    with pytest.raises(NotEnoughData, match="10 of either class are needed to choose a threshold by f1"):
        train.fit(rows, make_recipe(rows, decision=Decision(metric="f1"), **settings), {})


def test_positives_in_the_latest_fifth_only_leave_it_to_the_costs_too() -> None:
    rows = payments(make_rows(400))
    fraud = np.zeros(rows.num_rows, int)
    fraud[225:235] = 1
    rows = rows.set_column(rows.column_names.index("fraud"), "fraud", pa.array(fraud))
    split = make_split(rows)
    settings: dict[str, Any] = {"split": split, "target": "fraud", "features": FEATURES, "ranked": False}
    fitted = train.fit(rows, make_recipe(rows, decision=COSTED, **settings), {})
    assert thresholds.of(fitted).threshold == 1 / 21
    with pytest.raises(
        NotEnoughData, match=r"All of the earliest .* have the label 0: .*; 10 of .* by f1 \(decision"
    ):
        train.fit(rows, make_recipe(rows, decision=Decision(metric="f1"), **settings), {})


def test_three_classes_have_no_threshold() -> None:
    rows = payments(make_rows(400))
    kinds = pa.array(np.arange(rows.num_rows) % 3)
    rows = rows.set_column(rows.column_names.index("fraud"), "fraud", kinds)
    recipe = make_recipe(
        rows, split=make_split(rows), target="fraud", features=FEATURES, decision=Decision(threshold=0.2)
    )
    with pytest.raises(SchemaMismatch, match="decision is for two classes, and 'fraud' has 3"):
        train.fit(rows, recipe, {})
