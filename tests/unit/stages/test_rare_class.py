"""Five classes, one of them rare: absent from the first training, learned once its late labels have come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.recipe import TrainingConfig
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    Evaluation,
    ModelRef,
    PromotionDecision,
    TrainedModel,
)
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.replay import CURRENT, built_in
from airflow_mlops.learning.labels import labelled, labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import models
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.promote import promote
from airflow_mlops.stages.replay import planning, replay
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import train
from airflow_mlops.stages.train.recipe import recipe_of
from airflow_mlops.stages.train.split import split_of
from airflow_mlops.stores.registry import champions
from airflow_mlops.stores.tables import tables
from history import MODEL, History, month, rows_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # fits, and processes of their own: seconds each

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
RARE = "diverted"
CLASSES = ("early", "on time", "late", "very late", RARE)
# A label is known in the month after its flight.
SPEC = ModelSpec(
    name=MODEL, task="classification", target="grade", classes=CLASSES, key=("flight",), event_time="departure",
    partition="month", source={"files": "/data/{partition}.csv"},
    labels={"delay": "P31D", "source": {"files": "/labels/{partition}.csv"}},
    features={"numeric": ["wind", "distance"], "categorical": ["carrier", "origin"]},
    train={"metric": "log_loss", "candidates": ["sklearn.linear_model.LogisticRegression"]},
    gates={
        "floor": {"accuracy": 0.4}, "versus_champion": {"block": "day"},
        "classes": {"named": {"on time": {"recall": 0.2}}, "loss": {"recall": 0.3}, "min_rows": 5},
    },
    monitor={"drift": {"min_rows": 50}, "performance": {"min_rows": 50, "floor": {"accuracy": 0.4}, "classes": {"recall": 0.05}}},
    retrain={"when": {"every": 1}},
)  # fmt: skip


def grades(key: str) -> pa.Table:
    """Return the labels of a month; many of its longest flights are diverted, but none of January."""
    rows = rows_of(key)
    delay, distance = rows["delay"].to_numpy(), rows["distance"].to_numpy()
    # Otherwise the distance alone would give the class away.
    distance = distance + 700 * (rows["flight"].to_numpy() * 7919 % 97 / 97 - 0.5)
    grade = np.array(CLASSES)[np.searchsorted([-12.0, 6.0, 25.0], delay)]
    grade[(distance > 1_300) & (key != "2013-01")] = RARE
    return rows.select(["flight", "departure"]).append_column("grade", pa.array(grade))


class Loop:
    """The loop of a model, as the DAGs go through it."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.client = history.client

    def ingest(self, key: str, labels_of: str | None) -> DatasetVersion:
        """Publish a month without labels, and bring those of another one."""
        dataset = self.history.publish(key, rows_of(key).drop_columns(["late", "delay"]))
        if labels_of:
            settings: dict[str, Any] = {"key": ["flight"], "event_time": "departure", "target": "grade"}
            labels.write(
                self.history.uri("labels"), grades(labels_of), month(key), task="classification",
                classes=CLASSES, **settings,
            )  # fmt: skip
        return labelled.with_labels(dataset, self.history.uri("labels"), "grade")

    def train(self, dataset: DatasetVersion) -> tuple[TrainedModel, Evaluation, PromotionDecision]:
        bounds = split_of(dataset, SPEC.train.holdout, "all", SPEC.labels.delay)
        recipe = recipe_of(TrainingConfig.of(SPEC), dataset, bounds, SPEC.train.candidates[0], MODEL)
        key = f"run/{dataset.partition}"
        trained = train.train_candidate(recipe, client=self.client, key=key, tags={}, pictures=False)
        evaluation = evaluate.evaluate_candidates(
            [trained], client=self.client, dataset=dataset, champion=self.champion(), gates=SPEC.gates,
            pictures=False,
        )  # fmt: skip
        decision = promote.promote(
            self.client, ledger_uri=self.history.uri("ledger"), evaluation=evaluation, key=key, actor="test"
        )
        return trained, evaluation, decision

    def champion(self) -> ModelRef | None:
        return champions.current(self.client, self.history.uri("ledger"), MODEL).champion

    def score(self, dataset: DatasetVersion) -> None:
        score.score(
            self.client, model=MODEL, dataset=dataset, champion=self.champion(), task="classification",
            uri=self.history.uri("predictions"),
        )  # fmt: skip

    def perform(self, dataset: DatasetVersion) -> performance.Performance:
        return performance.performance(
            self.client, truth=Truth(dataset, Question.of(SPEC), self.history.uri("labels")),
            champion=self.champion(), policy=SPEC.monitor.performance, predictions_uri=self.history.uri("predictions"),
        )  # fmt: skip


class Told(NamedTuple):
    """What the loop has found: as of March, when January and February have labels, and as of April."""

    loop: Loop
    first: tuple[TrainedModel, Evaluation, PromotionDecision]
    measured: performance.Performance
    second: tuple[TrainedModel, Evaluation, PromotionDecision]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    loop = Loop(History(tmp_path_factory.mktemp("rare")))
    loop.ingest("2013-01", None)
    loop.ingest("2013-02", "2013-01")
    march = loop.ingest("2013-03", "2013-02")
    first = loop.train(march)
    loop.score(march)
    april = loop.ingest("2013-04", "2013-03")
    measured = loop.perform(april)
    return Told(loop, first, measured, loop.train(april))


def named(checks: Any, name: str, part: str | None = None) -> Check:
    [check] = [check for check in checks if check.name == name and check.slice == part]
    return check


def test_a_class_without_a_row_has_no_probability_and_no_place_but_its_own(told: Told) -> None:
    trained, _, decision = told.first
    assert (trained.classes, trained.classes_named) == (CLASSES, True)
    assert decision.action is Action.PROMOTED, decision.reason
    rows = tables.read(told.loop.history.uri("predictions"), partition="2013-03")
    probabilities = np.array(rows["probabilities"].to_pylist())
    assert probabilities.shape[1] == len(CLASSES)
    assert not probabilities[:, CLASSES.index(RARE)].any()
    assert RARE not in rows["prediction"].to_pylist()


def test_the_holdout_counts_what_no_training_row_was(told: Told) -> None:
    _, evaluation, _ = told.first
    rare = grades("2013-02")["grade"].to_pylist().count(RARE)
    assert evaluation.by_class[RARE] == {"rows": rare, "precision": None, "recall": 0.0, "f1": 0.0}


def test_late_labels_of_a_class_that_was_not_learned_are_wrong_and_counted(told: Told) -> None:
    loop = told.loop
    version = ModelRef(model=MODEL, version="1", digest=told.first[0].digest, run_id=told.first[0].run_id)
    # Those of the last day are not due by the end of April.
    due = pc.less(rows_of("2013-03")["departure"], month("2013-04").end - timedelta(days=31))
    fitted = models.load_version(loop.client, version)
    probabilities = models.predict(fitted, rows_of("2013-03").filter(due), "classification")
    truth = grades("2013-03").filter(due)["grade"].to_pylist()
    assert RARE in truth
    put = np.array(CLASSES)[probabilities.argmax(axis=1)]
    codes = label_classes.coded(np.array(truth, dtype=object), CLASSES, "grade")
    expected = {
        "accuracy": sk.accuracy_score(truth, put),
        "f1": sk.f1_score(truth, put, average="macro"),
        "log_loss": sk.log_loss(codes, probabilities, labels=[*range(5)]),
    }
    for name, value in expected.items():
        assert told.measured.metrics[name] == pytest.approx(value, rel=1e-6), name


def test_each_class_is_watched_on_late_labels_and_the_rare_one_is_not_judged(told: Told) -> None:
    checks = {name: named(told.measured.others, "classes.recall", f"class={name}") for name in CLASSES}
    assert checks["on time"].verdict is Verdict.PASS
    assert (checks[RARE].verdict, checks[RARE].observed) == (Verdict.INCONCLUSIVE, 0)
    assert "rows are of class diverted; 30 are needed" in checks[RARE].reason


def test_the_next_training_learns_it_and_beats_the_champion(told: Told) -> None:
    trained, evaluation, decision = told.second
    assert decision.action is Action.PROMOTED, decision.reason
    assert (decision.before, decision.after) == ("1", "2")
    assert named(evaluation.checks, "versus_champion.log_loss").verdict is Verdict.PASS
    assert (evaluation.by_class[RARE]["recall"] or 0) > 0.2
    assert trained.split.train_rows > told.first[0].split.train_rows


def test_no_class_is_worse_than_under_the_champion(told: Told) -> None:
    checks = told.second[1].checks
    for name in CLASSES:
        check = named(checks, "classes.versus_champion.recall", f"class={name}")
        assert check.verdict is Verdict.PASS, check.reason
    assert named(checks, "classes.versus_champion.recall", f"class={RARE}").baseline == 0


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_are_made_again_to_the_last_bit(told: Told, version: str) -> None:
    assert reproduce.reproduce(told.loop.client, MODEL, version).reproduced


def test_a_replay_finds_the_same_models(told: Told, tmp_path: Any) -> None:
    plan = planning.make(SPEC, told.loop.history.storage, tmp_path)
    policy = built_in(CURRENT, SPEC)
    steps = [replay.step(plan, policy, place) for place in range(len(MONTHS))]
    actions = [step.decision.action for step in steps]
    assert actions[2:] == [Action.PROMOTED, Action.PROMOTED]
    digests = [step.champion.digest for step in steps[2:] if step.champion]
    assert digests == [told.first[0].digest, told.second[0].digest]
