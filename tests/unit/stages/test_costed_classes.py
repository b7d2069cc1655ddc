"""A model of three classes whose mistakes do not cost alike, from training to matured labels and a second version."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.spec.costs import ClassCosts
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.model import Candidate, Features, Gates, PerformancePolicy
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import models, pipeline, thresholds
from airflow_mlops.reporting.card import classes as card
from airflow_mlops.stages.drift import reference
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.promote import adopt
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import fitting, train
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, rows_of
from synthetic import make_recipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]  # fits: seconds each

FEATURES = Features(numeric=("wind", "distance"), categorical=("carrier", "origin"))
LINEAR = Candidate(estimator="sklearn.linear_model.LogisticRegression")
# In the order of the classes: early, late, on time.
COST_OF = np.array([[0, 5, 1], [40, 0, 10], [2, 3, 0]])
WRITTEN: dict[str, Any] = {
    "early": {"late": 5, "on time": 1},
    "late": {"early": 40, "on time": 10},
    "on time": {"early": 2, "late": 3},
}
COSTED = Decision(costs=ClassCosts.from_dict(WRITTEN))
SETTINGS: dict[str, Any] = {
    "target": "grade",
    "features": FEATURES,
    "metric": "expected_cost",
    "decision": COSTED,
}
QUESTION = Question(target="grade", task="classification", metric="expected_cost", decision=COSTED)
NAMES = np.array(["early", "late", "on time"])


def graded(key: str) -> pa.Table:
    flights = rows_of(key)
    delay = flights["delay"].to_numpy()
    grade = np.where(delay < -10, "early", np.where(delay < 25, "on time", "late"))
    return flights.drop_columns(["late", "delay"]).append_column("grade", pa.array(grade))


class World(NamedTuple):
    history: History
    february: DatasetVersion
    march: DatasetVersion
    plain: TrainedModel
    costed: TrainedModel
    evaluation: Evaluation


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    history = History(tmp_path_factory.mktemp("costed"))
    history.publish("2013-01", graded("2013-01"))
    february = history.publish("2013-02", graded("2013-02"))
    plain = history.train(february, candidate=LINEAR, target="grade", features=FEATURES, metric="log_loss")
    first = history.crown(plain, "2013-01")
    costed = history.train(february, candidate=LINEAR, **SETTINGS)
    evaluation = evaluate.evaluate_candidates(
        [costed], client=history.client, dataset=february, champion=first,
        gates=Gates(floor={"expected_cost": 10.0}, versus_champion={"margin": 0.1}),
    )  # fmt: skip
    return World(history, february, history.publish("2013-03", graded("2013-03")), plain, costed, evaluation)


def ref_of(trained: TrainedModel) -> ModelRef:
    return ModelRef(model=MODEL, version=trained.version, digest=trained.digest, run_id=trained.run_id)


def judged(world: World, trained: TrainedModel, key: str) -> tuple[np.ndarray, np.ndarray]:
    table = graded(key)
    model = models.load_version(world.history.client, ref_of(trained))
    truth = np.searchsorted(NAMES, table["grade"].to_pylist())
    return truth, models.predict(model, table, "classification")


def test_candidate_and_champion_are_measured_by_the_same_costs_each_as_it_decides(world: World) -> None:
    truth, ours = judged(world, world.costed, "2013-02")
    _, theirs = judged(world, world.plain, "2013-02")
    by_cost = (ours @ COST_OF).argmin(axis=1)
    assert (by_cost != ours.argmax(axis=1)).any()
    evaluation = world.evaluation
    assert evaluation.metrics["expected_cost"] == pytest.approx(COST_OF[truth, by_cost].mean(), rel=1e-9)
    usual = COST_OF[truth, theirs.argmax(axis=1)].mean()
    assert evaluation.champion_metrics["expected_cost"] == pytest.approx(usual, rel=1e-9)
    assert evaluation.metrics["accuracy"] == pytest.approx((by_cost == truth).mean(), rel=1e-9)
    verdicts = {check.name: check.verdict for check in evaluation.checks}
    assert verdicts["floor.expected_cost"] is Verdict.PASS
    assert verdicts["blessing"] is Verdict.PASS
    assert "expected_cost" in evaluation.intervals


def test_the_version_says_what_it_weighs_and_is_made_again(world: World) -> None:
    rule = world.costed.decision
    assert rule is not None
    assert rule.matrix == tuple(map(tuple, COST_OF.astype(float).tolist()))
    assert card.decides(world.costed.classes, rule).startswith(
        "by least expected cost: late as early costs 40; late as on time costs 10; early as late costs 5"
    )
    assert registry.training(world.history.client, ref_of(world.costed)).decision == rule
    again = reproduce.reproduce(world.history.client, MODEL, world.costed.version)
    assert (again.reproduced, again.digest) == (True, world.costed.digest)
    verdicts = {check.name: check.verdict for check in again.outcome}
    assert verdicts["expected_cost"] is Verdict.PASS, again.outcome


def test_who_loads_it_with_mlflow_gets_the_class_of_least_cost(world: World) -> None:
    mlflow.set_tracking_uri(world.history.client.tracking_uri)
    model = mlflow.sklearn.load_model(f"models:/{MODEL}/{world.costed.version}")
    frame = pipeline.frame(graded("2013-02"), FEATURES)
    _, ours = judged(world, world.costed, "2013-02")
    assert np.array_equal(model.predict(pd.DataFrame(frame)), (ours @ COST_OF).argmin(axis=1))


def test_an_adopted_version_scores_by_its_decision_and_its_quality_is_what_it_costs(world: World) -> None:
    history = world.history
    adopted = adopt.adopt(
        history.client, ledger_uri=history.uri("ledger"), model=MODEL, version=world.costed.version,
        actor="ann", reason="the costs of March", key="adopt",
    )  # fmt: skip
    assert adopted.after == world.costed.version
    champion = registry.version(history.client, MODEL, world.costed.version)
    score.score(
        history.client, model=MODEL, dataset=world.march, champion=champion, task="classification",
        uri=history.uri("predictions"),
    )  # fmt: skip
    written = tables.read(history.uri("predictions"), partition="2013-03").sort_by("flight")
    probabilities = np.array(written["probabilities"].to_pylist())
    by_cost = (probabilities @ COST_OF).argmin(axis=1)
    assert written["prediction"].to_pylist() == NAMES[by_cost].tolist()
    assert (by_cost != probabilities.argmax(axis=1)).any()
    np.testing.assert_array_equal(written["score"], probabilities[np.arange(by_cost.size), by_cost])
    judgement = performance.performance(
        history.client, truth=Truth(world.march, QUESTION), champion=champion,
        policy=PerformancePolicy(min_rows=50, floor={"expected_cost": 10.0}),
        predictions_uri=history.uri("predictions"),
    )  # fmt: skip
    truth, _ = judged(world, world.costed, "2013-03")
    assert judgement.metrics["expected_cost"] == pytest.approx(COST_OF[truth, by_cost].mean(), rel=1e-9)
    assert judgement.check.verdict is Verdict.PASS, judgement.check.reason
    others = {check.name: check for check in judgement.others}
    assert "positives" not in others
    # A constant class is chosen by the same costs.
    shares = np.bincount(np.searchsorted(NAMES, graded("2013-01")["grade"].to_pylist()), minlength=3)
    constant = COST_OF[truth, (shares @ COST_OF).argmin()].mean()
    assert others["baseline"].baseline == pytest.approx(constant, rel=1e-9), others["baseline"]


def test_drift_compares_classes_that_are_chosen_by_the_same_costs(world: World) -> None:
    ref = ref_of(world.costed)
    training = registry.training(world.history.client, ref)
    chosen, features = [], []
    for rows in reference._rows(world.history.client, ref, training, None):
        chosen += rows[reference.PREDICTION].to_pylist()
        features.append(rows)
    model = models.load_version(world.history.client, ref)
    probabilities = models.predict(model, pa.concat_tables(features), "classification")
    assert chosen == NAMES[(probabilities @ COST_OF).argmin(axis=1)].tolist()
    assert chosen != NAMES[probabilities.argmax(axis=1)].tolist()


@pytest.mark.parametrize("class_weight", ["balanced", {"late": 5.0}])
def test_weights_of_classes_do_not_change_what_costs_decide(class_weight: Any) -> None:
    table = pa.concat_tables([graded("2013-01"), graded("2013-02")])
    recipe = make_recipe(table, candidate=LINEAR, class_weight=class_weight, **SETTINGS)
    model = train.fit(table, recipe, {})
    data = fitting.data(table, recipe)
    weights = data.sample_weights()
    assert weights is not None
    of_class = np.array([weights[data.labels == code][0] for code in range(3)])
    rule = thresholds.of(model)
    assert rule.matrix is not None
    np.testing.assert_allclose(np.array(rule.matrix), COST_OF / of_class[:, None], rtol=1e-9)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"late": {"early": 40}, "default": 1, "lost": {"early": 3}}, "decision.costs.lost: is no class"),
        (
            {
                "early": {"late": 1, "lost": 1},
                "late": {"early": 1, "lost": 1},
                "lost": {"early": 1, "late": 1},
            },
            "decision.costs.lost: is no class",
        ),
    ],
)
def test_costs_of_other_classes_than_the_data_has_stop_the_training(
    costs: dict[str, Any], message: str
) -> None:
    table = pa.concat_tables([graded("2013-01"), graded("2013-02")])
    decision = Decision(costs=ClassCosts.from_dict(costs))
    recipe = make_recipe(table, candidate=LINEAR, **{**SETTINGS, "decision": decision})
    with pytest.raises(SchemaMismatch, match=message):
        train.fit(table, recipe, {})


def test_costs_by_class_of_two_classes_stop_the_training() -> None:
    table = pa.concat_tables([graded("2013-01"), graded("2013-02")])
    two = np.where(np.asarray(table["grade"]) == "late", "late", "other")
    decision = Decision(costs=ClassCosts.from_dict({"late": {"other": 4}, "default": 1}))
    table = changed(table, grade=pa.array(two))
    recipe = make_recipe(table, candidate=LINEAR, **{**SETTINGS, "decision": decision})
    with pytest.raises(SchemaMismatch, match="names classes, and there are two, late and other: write costs"):
        train.fit(table, recipe, {})
