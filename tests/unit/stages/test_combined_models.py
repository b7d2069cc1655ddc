"""Calibrated classifiers and ensembles through the loop: trained, judged, scored and made again."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, TrainedModel
from airflow_mlops.domain.spec.model import Candidate, Features, Gates
from airflow_mlops.exceptions import TrainingFailed
from airflow_mlops.learning.models import models
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import train
from airflow_mlops.stores.registry import artifacts
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, rows_of
from synthetic import make_recipe

pytestmark = pytest.mark.slow  # fits: seconds each

FEATURES = Features(numeric=("wind", "distance"), categorical=("carrier", "origin"))
LINEAR = {"sklearn.linear_model.LogisticRegression": {"search": {"C": [0.1, 1.0]}}}
TREE = {"sklearn.tree.DecisionTreeClassifier": {"max_depth": 3, "calibrate": "sigmoid"}}
STACKED = Candidate.from_dict({"ensemble": {"of": [LINEAR, TREE], "method": "stacking"}})
MACHINE = Candidate.from_dict({"sklearn.svm.LinearSVC": {"C": 0.5, "calibrate": "temperature"}})


def graded(key: str) -> pa.Table:
    rows = rows_of(key)
    delay = rows["delay"].to_numpy()
    grade = np.where(delay < -10, "early", np.where(delay < 15, "on time", "late"))
    flights = np.asarray(rows["flight"])
    rows = rows.append_column("tail", pa.array(flights // 5)).append_column(
        "tonnage", pa.array(1.0 + flights % 3)
    )
    return rows.drop_columns(["late", "delay"]).append_column("grade", pa.array(grade))


class World(NamedTuple):
    """Two models of two months, and a third month."""

    history: History
    february: DatasetVersion
    march: DatasetVersion
    champion: ModelRef
    stacked: TrainedModel


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    history = History(tmp_path_factory.mktemp("combined"))
    history.publish("2013-01", graded("2013-01"))
    february = history.publish("2013-02", graded("2013-02"))
    settings: dict[str, Any] = {"target": "grade", "features": FEATURES, "metric": "log_loss"}
    champion = history.crown(history.train(february, candidate=MACHINE, **settings), "2013-02")
    stacked = history.train(february, candidate=STACKED, **settings)
    return World(history, february, history.publish("2013-03", graded("2013-03")), champion, stacked)


def test_an_ensemble_is_tuned_by_the_searches_of_its_members(world: World) -> None:
    assert world.stacked.trials == 2
    assert world.stacked.params.keys() == {"LogisticRegression__C"}
    model = models.load_version(world.history.client, ref_of(world.stacked))["model"]
    chosen = world.stacked.params["LogisticRegression__C"]
    assert chosen == model.named_estimators_["LogisticRegression"]["model"].C
    # Its tree is calibrated on its own.
    assert model.named_estimators_["DecisionTreeClassifier"]["model"].method == "sigmoid"


def ref_of(trained: TrainedModel) -> ModelRef:
    return ModelRef(model=MODEL, version=trained.version, digest=trained.digest, run_id=trained.run_id)


def test_it_is_judged_beside_a_calibrated_champion_and_loads_in_a_fresh_process(world: World) -> None:
    evaluation = evaluate.evaluate_candidates(
        [world.stacked], client=world.history.client, dataset=world.february, champion=world.champion,
        gates=Gates(floor={"accuracy": 0.4}),
    )  # fmt: skip
    verdicts = {check.name: check.verdict for check in evaluation.checks}
    assert verdicts["blessing"] is Verdict.PASS
    assert verdicts["floor.accuracy"] is Verdict.PASS
    assert evaluation.champion_metrics["log_loss"] is not None
    importance = artifacts.read(world.history.client, world.stacked.run_id, "plots/importance.json")
    assert set(json.loads(importance or "{}")) == set(FEATURES.names)


def test_it_scores_what_it_predicts(world: World) -> None:
    uri = world.history.uri("stacked")
    score.score(
        world.history.client, model=MODEL, dataset=world.march, champion=ref_of(world.stacked),
        task="classification", uri=uri,
    )  # fmt: skip
    written = tables.read(uri, partition="2013-03").sort_by("flight")
    model = models.load_version(world.history.client, ref_of(world.stacked))
    expected = models.predict(model, graded("2013-03").sort_by("flight"), "classification")
    np.testing.assert_allclose(np.array(written["probabilities"].to_pylist()), expected)


@pytest.mark.parametrize("of", ["champion", "stacked"])
def test_it_is_made_again_to_the_last_bit(world: World, of: str) -> None:
    version = getattr(world, of)
    again = reproduce.reproduce(world.history.client, MODEL, version.version)
    assert (again.reproduced, again.digest) == (True, version.digest)


def test_a_class_with_too_few_rows_for_spans_fails_the_training_and_is_named() -> None:
    rows = pa.concat_tables([graded("2013-01"), graded("2013-02")])
    rows = changed(rows, grade=pa.array(["diverted"] * 3 + rows["grade"].to_pylist()[3:]))
    recipe = make_recipe(
        rows, candidate=MACHINE, target="grade", features=FEATURES, metric="log_loss",
        classes=("early", "late", "on time", "diverted"),
    )  # fmt: skip
    with pytest.raises(
        TrainingFailed, match=r"3 of \d+ rows to fit on are of class 'diverted', and calibrate"
    ):
        train.fit(rows, recipe, {})


@pytest.mark.parametrize(
    "candidate",
    [pytest.param(STACKED, id="stacked", marks=pytest.mark.thorough), pytest.param(MACHINE, id="calibrated")],
)
def test_with_weights_and_groups_it_loads_in_a_fresh_process_and_is_made_again(
    candidate: Candidate, world: World
) -> None:
    trained = world.history.train(
        world.february, candidate=candidate, target="grade", features=FEATURES, metric="log_loss",
        weights="tonnage", class_weight="balanced", groups="tail",
    )  # fmt: skip
    assert trained.digest not in (world.stacked.digest, world.champion.digest)
    evaluation = evaluate.evaluate_candidates(
        [trained], client=world.history.client, dataset=world.february, champion=None,
        gates=Gates(floor={"accuracy": 0.3}),
    )  # fmt: skip
    assert {check.name: check.verdict for check in evaluation.checks}["blessing"] is Verdict.PASS
    again = reproduce.reproduce(world.history.client, MODEL, trained.version)
    assert (again.reproduced, again.digest) == (True, trained.digest)


def test_a_class_of_too_few_groups_for_spans_fails_the_training_and_is_named() -> None:
    rows = pa.concat_tables([graded("2013-01"), graded("2013-02")])
    tails = np.where(np.asarray(rows["grade"]) == "late", 0, 1 + np.arange(rows.num_rows) % 50)
    recipe = make_recipe(
        changed(rows, tail=pa.array(tails)), candidate=MACHINE, target="grade", features=FEATURES,
        metric="log_loss", groups="tail",
    )  # fmt: skip
    with pytest.raises(TrainingFailed, match="there are 1 groups of train.groups with rows of class 'late'"):
        train.fit(changed(rows, tail=pa.array(tails)), recipe, {})
