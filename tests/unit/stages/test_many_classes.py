"""Three classes that are texts, from training to what production says of them, with labels that come late."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, TrainedModel
from airflow_mlops.domain.spec.model import (
    Candidate,
    ClassGates,
    DriftPolicy,
    Features,
    Gates,
    PerformancePolicy,
)
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.learning.statistics import measures, resampling
from airflow_mlops.learning.statistics.statistic import statistic
from airflow_mlops.stages.drift import drift
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.performance import rows as judgements
from airflow_mlops.stages.performance.registered import RegisteredVersions
from airflow_mlops.stages.performance.subject import Models, Subject
from airflow_mlops.stages.score import beside, score
from airflow_mlops.stages.shadow import trial_windows
from airflow_mlops.stages.train import train
from airflow_mlops.stores.tables import tables
from history import MODEL, ROWS, History, month, rows_of
from synthetic import make_recipe, make_rows

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]  # fits: seconds each

CLASSES = ("early", "late", "on time")
FEATURES = Features(numeric=("wind", "distance"), categorical=("carrier", "origin"))
LINEAR = Candidate(estimator="sklearn.linear_model.LogisticRegression")
WEAK = Candidate(estimator="sklearn.linear_model.LogisticRegression", params={"C": 0.001}, name="Weak")


def graded(rows: pa.Table, *, with_grade: bool = True) -> pa.Table:
    """Return flights with one of three grades in place of their delay."""
    delay = rows["delay"].to_numpy()
    grade = np.where(delay < -10, "early", np.where(delay < 15, "on time", "late"))
    graded_rows = rows.drop_columns(["late", "delay"])
    return graded_rows.append_column("grade", pa.array(grade)) if with_grade else graded_rows


class Graded(NamedTuple):
    """Two months of graded flights, two models of them, and a third month that the better one has scored.

    :param champion: the weak model.
    """

    history: History
    february: DatasetVersion
    march: DatasetVersion
    champion: ModelRef
    challenger: TrainedModel


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Graded:
    history = History(tmp_path_factory.mktemp("graded"))
    history.publish("2013-01", graded(rows_of("2013-01")))
    february = history.publish("2013-02", graded(rows_of("2013-02")))
    settings: dict[str, Any] = {"target": "grade", "features": FEATURES, "metric": "log_loss"}
    champion = history.crown(history.train(february, candidate=WEAK, **settings), "2013-02")
    challenger = history.train(february, candidate=LINEAR, **settings)
    march = history.publish("2013-03", graded(rows_of("2013-03")))
    ref = ModelRef(
        model=MODEL, version=challenger.version, digest=challenger.digest, run_id=challenger.run_id
    )
    score.score(
        history.client,
        model=MODEL,
        dataset=march,
        champion=champion,
        task="classification",
        uri=history.uri("predictions"),
        beside=score.Beside(ref, history.uri("challenger")),
    )
    return Graded(history, february, march, champion, challenger)


def truth_of(world: Graded, uri: str | None = None) -> Truth:
    question = Question(target="grade", task="classification", metric="log_loss", labels=uri is not None)
    return Truth(world.march, question, uri)


def performance_of(world: Graded, truth: Truth) -> performance.Performance:
    return performance.performance(
        world.history.client,
        truth=truth,
        champion=world.champion,
        policy=PerformancePolicy(min_rows=50),
        predictions_uri=world.history.uri("predictions"),
    )


def expected(world: Graded) -> dict[str, float]:
    """Return what scikit-learn says of the champion on March."""
    fitted = models.load_version(world.history.client, world.champion)
    rows = graded(rows_of("2013-03"))
    probabilities = models.predict(fitted, rows, "classification")
    grades = np.array(rows["grade"].to_pylist())
    chosen = np.array(CLASSES)[probabilities.argmax(axis=1)]
    return {
        "log_loss": sk.log_loss(grades, probabilities, labels=list(CLASSES)),
        "accuracy": sk.accuracy_score(grades, chosen),
        "f1": sk.f1_score(grades, chosen, average="macro"),
        "roc_auc": sk.roc_auc_score(grades, probabilities, multi_class="ovr", labels=list(CLASSES)),
    }


def named(checks: Any, name: str) -> Check:
    [check] = [check for check in checks if check.name == name]
    return check


def test_the_classes_of_the_training_rows_are_those_of_the_model(world: Graded) -> None:
    assert world.challenger.classes == CLASSES
    assert not world.challenger.classes_named


def test_each_row_has_a_class_and_a_probability_for_each(world: Graded) -> None:
    rows = tables.read(world.history.uri("predictions"), partition="2013-03")
    probabilities = np.array(rows["probabilities"].to_pylist())
    assert probabilities.shape == (rows.num_rows, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert rows["prediction"].to_pylist() == list(np.array(CLASSES)[probabilities.argmax(axis=1)])
    np.testing.assert_allclose(rows["score"].to_numpy(), probabilities.max(axis=1))


def test_a_candidate_is_judged_beside_the_champion_by_class(world: Graded) -> None:
    evaluation = evaluate.evaluate_candidates(
        [world.challenger],
        client=world.history.client,
        dataset=world.february,
        champion=world.champion,
        gates=Gates(
            floor={"accuracy": 0.5},
            calibration=0.9,
            classes=ClassGates(floor={"recall": 0.01}, loss={"f1": 0.9}),
        ),
    )
    for name in CLASSES:
        of_class = [check for check in evaluation.checks if check.slice == f"class={name}"]
        assert [check.name for check in of_class] == ["classes.recall", "classes.versus_champion.f1"]
        assert of_class[0].observed == evaluation.by_class[name]["recall"]
        assert of_class[1].observed == pytest.approx(evaluation.by_class[name]["f1"])
    assert named(evaluation.checks, "versus_champion.log_loss").verdict is Verdict.PASS
    assert named(evaluation.checks, "blessing").verdict is Verdict.PASS
    assert named(evaluation.checks, "leakage.features").verdict is Verdict.PASS
    assert list(evaluation.by_class) == list(CLASSES)
    assert sum(measures["rows"] or 0 for measures in evaluation.by_class.values()) == 237
    assert 0 < (evaluation.metrics["log_loss"] or 0) < (evaluation.champion_metrics["log_loss"] or 0)


def test_production_measures_what_scikit_learn_does(world: Graded) -> None:
    measured = performance_of(world, truth_of(world))
    for name, value in expected(world).items():
        assert measured.metrics[name] == pytest.approx(value, rel=1e-9), name
    assert named(measured.others, "baseline").verdict is not Verdict.INCONCLUSIVE
    assert "compares two classes" in named(measured.others, "feedback").reason


def test_labels_that_come_late_are_the_same_texts(world: Graded) -> None:
    uri = world.history.uri("labels")
    rows = graded(rows_of("2013-03")).select(["flight", "departure", "grade"])
    settings: dict[str, Any] = {"key": ["flight"], "event_time": "departure", "target": "grade"}
    report = labels.write(uri, rows, month("2013-03"), task="classification", **settings)
    assert (report.new, report.contradictory) == (rows.num_rows, 0)
    measured = performance_of(world, truth_of(world, uri))
    assert measured.metrics["log_loss"] == pytest.approx(expected(world)["log_loss"], rel=1e-9)


def test_drift_of_predictions_and_labels_is_that_of_their_classes(world: Graded) -> None:
    compared = drift.drift(
        world.history.client,
        dataset=world.march,
        champion=world.champion,
        policy=DriftPolicy(min_rows=50),
        summaries_uri=world.history.uri("summaries"),
        predictions_uri=world.history.uri("predictions"),
        target="grade",
    )
    for name in ("drift.prediction", "drift.target"):
        assert named(compared.columns, name).verdict is Verdict.PASS


def test_a_challenger_agrees_in_some_rows_and_is_compared_by_its_labels(world: Graded) -> None:
    ref = ModelRef(
        model=MODEL,
        version=world.challenger.version,
        digest=world.challenger.digest,
        run_id=world.challenger.run_id,
    )
    report = beside.shadow_report(world.history.uri("challenger"), "2013-03", ref, "classification", 0)
    assert report.rows == world.march.rows
    assert 0.3 < (report.agreement or 0) < 1
    assert 0 < (report.difference or 0) < 1
    pair = trial_windows.Pair(
        world.history.uri("challenger"),
        world.history.uri("predictions"),
        ref,
        world.champion.version,
        truth_of(world),
        CLASSES,
    )
    check = trial_windows.quality(pair, "2013-03", trial_windows.Shadow(windows=1))
    assert check.verdict is Verdict.PASS
    assert check.observed is not None
    assert check.baseline is not None
    assert check.observed < check.baseline == pytest.approx(expected(world)["log_loss"], rel=1e-9)


def test_a_class_that_the_champion_has_not_seen_waits_for_the_word_of_the_spec(world: Graded) -> None:
    rows = graded(ROWS)
    grades = np.array(rows["grade"].to_pylist(), dtype=object)
    grades[::9] = "cancelled"
    history = world.history
    keys = ["2013-01", "2013-02"]
    where = rows.column_names.index("grade")
    rows = rows.set_column(where, "grade", pa.array(grades.tolist()))
    inside = [month(key) for key in keys]
    times = rows["departure"].to_pylist()
    for key, partition in zip(keys, inside, strict=True):
        chosen = [place for place, time in enumerate(times) if partition.start <= time < partition.end]
        dataset = history.publish(key, rows.take(chosen))
    settings: dict[str, Any] = {"target": "grade", "features": FEATURES, "metric": "log_loss"}
    for classes, verdicts in (((), [Verdict.INCONCLUSIVE]), ((*CLASSES, "cancelled"), [])):
        candidate = history.train(dataset, candidate=LINEAR, classes=classes, **settings)
        assert set(candidate.classes) == {*CLASSES, "cancelled"}
        evaluation = evaluate.evaluate_candidates(
            [candidate],
            client=history.client,
            dataset=dataset,
            champion=world.champion,
            gates=Gates(),
            pictures=False,
        )
        verdicts_told = [check.verdict for check in evaluation.checks if check.name == "classes"]
        assert verdicts_told == verdicts


def test_two_models_of_two_classes_in_another_order_are_the_same_model(tmp_path: Path) -> None:
    history = History(tmp_path)
    rows = {key: yes_or_no(rows_of(key)) for key in ("2013-01", "2013-02", "2013-03")}
    history.publish("2013-01", rows["2013-01"])
    february = history.publish("2013-02", rows["2013-02"])
    settings: dict[str, Any] = {"target": "grade", "features": FEATURES, "metric": "log_loss"}
    champion = history.crown(history.train(february, candidate=LINEAR, **settings), "2013-02")
    turned = history.train(february, candidate=LINEAR, classes=("yes", "no"), **settings)
    assert turned.classes == ("yes", "no")
    challenger = ModelRef(model=MODEL, version=turned.version, digest=turned.digest, run_id=turned.run_id)
    march, uri = history.publish("2013-03", rows["2013-03"]), history.uri("challenger")
    score.score(
        history.client,
        model=MODEL,
        dataset=march,
        champion=champion,
        task="classification",
        uri=history.uri("predictions"),
        beside=score.Beside(challenger, uri),
    )
    report = beside.shadow_report(uri, "2013-03", challenger, "classification", 0)
    assert report.agreement == 1
    assert report.difference == pytest.approx(0, abs=1e-6)
    question = Question(target="grade", task="classification", metric="log_loss")
    pair = trial_windows.Pair(
        uri, history.uri("predictions"), challenger, champion.version, Truth(march, question), ("yes", "no")
    )
    check = trial_windows.quality(pair, "2013-03", trial_windows.Shadow(windows=1))
    assert check.observed == pytest.approx(check.baseline, rel=1e-4)


def yes_or_no(rows: pa.Table) -> pa.Table:
    late = rows["late"].to_pylist()
    return rows.drop_columns(["late", "delay"]).append_column(
        "grade", pa.array(["yes" if value else "no" for value in late])
    )


def test_a_version_that_is_gone_is_judged_by_the_classes_it_had_or_not_at_all(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01", graded(rows_of("2013-01")))
    february = history.publish("2013-02", graded(rows_of("2013-02")))
    settings: dict[str, Any] = {"target": "grade", "features": FEATURES, "metric": "log_loss"}
    champion = history.crown(history.train(february, candidate=LINEAR, **settings), "2013-02")
    march = history.publish("2013-03", graded(rows_of("2013-03")))
    score.score(
        history.client, model=MODEL, dataset=march, champion=champion, task="classification",
        uri=history.uri("predictions"),
    )  # fmt: skip
    named_otherwise = Question(
        target="grade", task="classification", metric="log_loss", classes=("late", "on time", "early")
    )
    subject = Subject(
        RegisteredVersions(history.client, MODEL), history.uri("predictions"), Truth(march, named_otherwise)
    )
    [before] = judgements.judge(subject, month("2013-03"), month("2013-03"), [], Models(subject, []))
    assert before.classes == CLASSES
    history.client.delete_model_version(MODEL, champion.version)
    [kept] = judgements.judge(subject, month("2013-03"), month("2013-03"), [], Models(subject, [before]))
    assert kept.metrics == before.metrics
    [unknown] = judgements.judge(subject, month("2013-03"), month("2013-03"), [], Models(subject, []))
    assert (unknown.metrics, unknown.labelled) == ({}, march.rows)


def test_a_label_that_neither_of_two_classes_names_is_wrong_and_stops_nothing(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01", yes_or_no(rows_of("2013-01")))
    grades = yes_or_no(rows_of("2013-02"))
    february = history.publish("2013-02", grades)
    settings: dict[str, Any] = {"target": "grade", "features": FEATURES, "metric": "accuracy"}
    trained = history.train(february, candidate=LINEAR, **settings)
    champion = history.crown(trained, "2013-02")
    values = yes_or_no(rows_of("2013-03"))["grade"].to_pylist()
    column = grades.column_names.index("grade")
    stray = yes_or_no(rows_of("2013-03")).set_column(column, "grade", pa.array(["maybe", *values[1:]]))
    measured = {}
    for name, table in (("as they were", yes_or_no(rows_of("2013-03"))), ("with one stray", stray)):
        march = history.publish("2013-03", table)
        score.score(
            history.client, model=MODEL, dataset=march, champion=champion, task="classification",
            uri=history.uri("predictions"),
        )  # fmt: skip
        truth = Truth(march, Question(target="grade", task="classification", metric="accuracy"))
        found = performance.performance(
            history.client, truth=truth, champion=champion, policy=PerformancePolicy(min_rows=50),
            predictions_uri=history.uri("predictions"),
        )  # fmt: skip
        measured[name] = found.metrics["accuracy"] or 0
    assert 0 <= measured["as they were"] - measured["with one stray"] <= 1 / len(values) + 1e-12


def test_two_hundred_classes_are_learned_and_measured_as_scikit_learn_does() -> None:
    random = np.random.default_rng(0)
    rows = make_rows(4_000)
    put = random.integers(0, 200, rows.num_rows)
    names = np.array([f"product {code:03}" for code in range(200)])
    rows = rows.drop_columns(["late", "delay", "wind", "distance"])
    rows = rows.append_column("wind", pa.array(put % 20 + random.normal(0, 0.3, put.size)))
    rows = rows.append_column("distance", pa.array(put // 20 + random.normal(0, 0.3, put.size)))
    rows = rows.append_column("grade", pa.array(names[put]))
    recipe = make_recipe(
        rows, target="grade", features=Features(numeric=("wind", "distance")), metric="log_loss",
        candidate=Candidate(estimator="sklearn.naive_bayes.GaussianNB"),
    )  # fmt: skip
    fitted = train.fit(rows, recipe, {})
    assert len(label_classes.of(fitted).names) == 200
    held_out = rows.filter(pc.greater_equal(rows["departure"], recipe.split.cut))
    truth = np.array(held_out["grade"].to_pylist())
    codes = np.searchsorted(names, truth)
    predicted = models.predict(fitted, held_out, "classification", names.tolist())
    measured = measures.metrics(codes, predicted, "classification", ["balanced_accuracy", "top_3_accuracy"])
    put = predicted.argmax(axis=1)
    assert measured["accuracy"] == pytest.approx(sk.accuracy_score(codes, put))
    assert (measured["accuracy"] or 0) > 0.3
    assert measured["f1"] == pytest.approx(sk.f1_score(codes, put, average="macro"))
    assert measured["top_3_accuracy"] == sk.top_k_accuracy_score(codes, predicted, k=3, labels=[*range(200)])
    blocks = resampling.blocks(held_out["departure"].to_numpy(), "day", "month")
    drawn = resampling.resample([statistic("roc_auc", codes, predicted, blocks)], blocks.count)
    assert drawn.values[0] == pytest.approx(measured["roc_auc"], rel=1e-12)


def test_numbers_and_their_texts_are_the_same_classes_and_true_and_its_text_are_not(tmp_path: Path) -> None:
    """A champion that has learned 1, 2 and 3 predicts rows whose labels have become texts."""
    history = History(tmp_path)
    graded_as = {
        "2013-01": {"early": 1, "late": 2, "on time": 3},
        "2013-02": {"early": 1, "late": 2, "on time": 3},
        "2013-03": {"early": "1", "late": "2", "on time": "3"},
    }
    rows = {}
    for key, codes in graded_as.items():
        table = graded(rows_of(key))
        place = table.column_names.index("grade")
        labels_now = pa.array([codes[grade] for grade in table["grade"].to_pylist()])
        rows[key] = table.set_column(place, "grade", labels_now)
    for key in ("2013-01", "2013-02"):
        dataset = history.publish(key, rows[key])
    settings: dict[str, Any] = {"target": "grade", "features": FEATURES, "metric": "log_loss"}
    trained = history.train(dataset, candidate=LINEAR, **settings)
    assert trained.classes == ("1", "2", "3")
    ref = ModelRef(model=MODEL, version=trained.version, digest=trained.digest, run_id=trained.run_id)
    fitted = models.load_version(history.client, ref)
    _, truth = pipeline.labelled(rows["2013-03"], "grade", "classification", trained.classes)
    numbers = [int(text) - 1 for text in rows["2013-03"]["grade"].to_pylist()]
    assert truth.tolist() == numbers
    predicted = models.predict(fitted, rows["2013-03"], "classification")
    assert (measures.measure("accuracy", truth, predicted) or 0) > 0.4
    assert label_classes.in_order(np.array(["True", "true", "false"], dtype=object), "y") == (
        "True",
        "false",
        "true",
    )
