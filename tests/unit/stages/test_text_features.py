"""Three classes told apart by the words of a complaint, from training to late labels; and gaps that say something."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import (
    DatasetVersion,
    Evaluation,
    ModelRef,
    TrainedModel,
    TrainingData,
)
from airflow_mlops.domain.spec.data import TextFeature
from airflow_mlops.domain.spec.model import Candidate, DriftPolicy, Features, Gates, PerformancePolicy, Skew
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.stages.drift import drift
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import train
from airflow_mlops.stages.validate import skew
from airflow_mlops.stages.validate.suggest import suggest
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, month, rows_of
from synthetic import make_recipe, make_rows

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]  # fits: seconds each

CLASSES = ("billing", "delivery", "other")
WORDS = {
    "billing": ("invoice", "charged", "refund", "card", "twice"),
    "delivery": ("parcel", "late", "courier", "address", "lost"),
    "other": ("password", "account", "login", "question", "opening"),
}
FILLER = ("the", "my", "please", "was", "again", "and", "hello", "still", "it", "not")
FEATURES = Features(numeric=("wind",), text=(TextFeature(column="comment", max_features=2048),))
BOOSTING = Candidate(
    estimator="sklearn.ensemble.HistGradientBoostingClassifier", params={"max_iter": 15}, name="Boosting"
)
LINEAR = Candidate(estimator="sklearn.linear_model.LogisticRegression", params={"max_iter": 300})


def complaints(rows: pa.Table, *, with_topic: bool = True) -> pa.Table:
    """Return rows with a comment of filler and of words that its topic has more often than others; some have none."""
    numbers = rows["flight"].to_numpy()
    topics, comments = [], []
    for number in numbers:
        random = np.random.default_rng(int(number))
        topic = CLASSES[random.integers(0, 3)]
        own = topic if random.random() < 0.9 else CLASSES[random.integers(0, 3)]
        words = [*random.choice(WORDS[own], 3), *random.choice(FILLER, random.integers(4, 12))]
        topics.append(topic)
        comments.append(None if random.random() < 0.05 else " ".join(random.permutation(words)))
    table = rows.drop_columns(["late", "delay"]).append_column("comment", pa.array(comments, pa.string()))
    return table.append_column("topic", pa.array(topics)) if with_topic else table


class Complaints(NamedTuple):
    history: History
    february: DatasetVersion
    march: DatasetVersion
    champion: ModelRef
    boosting: TrainedModel
    linear: TrainedModel
    evaluation: Evaluation


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Complaints:
    history = History(tmp_path_factory.mktemp("complaints"))
    history.publish("2013-01", complaints(rows_of("2013-01")))
    february = history.publish("2013-02", complaints(rows_of("2013-02")))
    settings: dict[str, Any] = {"target": "topic", "features": FEATURES, "metric": "log_loss"}
    boosting = history.train(february, candidate=BOOSTING, **settings)
    champion = history.crown(boosting, "2013-02")
    linear = history.train(february, candidate=LINEAR, **settings)
    evaluation = evaluate.evaluate_candidates(
        [linear],
        client=history.client,
        dataset=february,
        champion=champion,
        gates=Gates(floor={"accuracy": 0.7}),
    )
    march = history.publish("2013-03", complaints(rows_of("2013-03"), with_topic=False))
    score.score(
        history.client,
        model=MODEL,
        dataset=march,
        champion=champion,
        task="classification",
        uri=history.uri("predictions"),
    )
    return Complaints(history, february, march, champion, boosting, linear, evaluation)


def named(checks: Any, name: str) -> Check:
    [check] = [check for check in checks if check.name == name]
    return check


def test_words_tell_the_classes_apart_with_sparse_columns_and_with_dense_ones(world: Complaints) -> None:
    metrics, theirs = world.evaluation.metrics, world.evaluation.champion_metrics
    assert (metrics["accuracy"] or 0) > 0.75
    assert (theirs["accuracy"] or 0) > 0.6
    assert named(world.evaluation.checks, "floor.accuracy").verdict is Verdict.PASS


def test_a_fresh_process_predicts_the_same(world: Complaints) -> None:
    assert named(world.evaluation.checks, "blessing").verdict is Verdict.PASS


def test_no_text_gives_the_topic_away_and_the_model_relies_on_it(world: Complaints) -> None:
    from airflow_mlops.learning.pictures.pictures import FOLDER, IMPORTANCE
    from airflow_mlops.stores.registry import artifacts

    assert named(world.evaluation.checks, "leakage.features").verdict is Verdict.PASS
    content = artifacts.read(world.history.client, world.linear.run_id, f"{FOLDER}/{IMPORTANCE}")
    assert content is not None
    assert content.startswith(b'{"comment"')


def test_a_model_keeps_no_word_of_anybody(world: Complaints, tmp_path: Path) -> None:
    fitted = models.load_version(world.history.client, world.champion)
    models.save(fitted, tmp_path / "model.skops")
    assert b"courier" not in (tmp_path / "model.skops").read_bytes()
    assert pipeline.features_of(fitted).names == ("wind", "comment")


def test_late_labels_are_measured_as_scikit_learn_does(world: Complaints) -> None:
    history, uri = world.history, world.history.uri("labels")
    rows = complaints(rows_of("2013-03"))
    settings: dict[str, Any] = {"key": ["flight"], "event_time": "departure", "target": "topic"}
    labels.write(
        uri,
        rows.select(["flight", "departure", "topic"]),
        month("2013-03"),
        task="classification",
        **settings,
    )
    question = Question(target="topic", task="classification", metric="log_loss", labels=True)
    measured = performance.performance(
        history.client,
        truth=Truth(world.march, question, uri),
        champion=world.champion,
        policy=PerformancePolicy(min_rows=50),
        predictions_uri=history.uri("predictions"),
    )
    served = tables.read(history.uri("predictions"), partition="2013-03").sort_by("flight")
    truth = rows.sort_by("flight")["topic"].to_pylist()
    probabilities = np.array(served["probabilities"].to_pylist())
    assert measured.metrics["log_loss"] == pytest.approx(
        sk.log_loss(truth, probabilities, labels=list(CLASSES))
    )
    assert measured.metrics["accuracy"] == pytest.approx(
        sk.accuracy_score(truth, served["prediction"].to_pylist())
    )


def drift_of(world: Complaints, dataset: DatasetVersion) -> dict[str, Check]:
    compared = drift.drift(
        world.history.client,
        dataset=dataset,
        champion=world.champion,
        policy=DriftPolicy(min_rows=50),
        summaries_uri=world.history.uri("summaries"),
        predictions_uri=None,
        target="topic",
        delay=timedelta(0),
        page=False,
    )
    return {check.name: check for check in compared.columns}


def test_texts_drift_by_their_length_and_by_how_many_are_empty(world: Complaints) -> None:
    assert drift_of(world, world.march)["drift.comment"].verdict is Verdict.PASS
    rows = complaints(rows_of("2013-03"), with_topic=False)
    long = pa.array([f"{text} {text} {text}" if text else text for text in rows["comment"].to_pylist()])
    checks = drift_of(world, world.history.publish("2013-03", changed(rows, comment=long)))
    assert checks["drift.comment"].verdict is Verdict.FAIL
    empty = pa.array(["" if place % 2 else text for place, text in enumerate(rows["comment"].to_pylist())])
    checks = drift_of(world, world.history.publish("2013-03", changed(rows, comment=empty)))
    assert Verdict.FAIL in {
        check.verdict for name, check in checks.items() if name.startswith("drift.comment")
    }
    world.history.publish("2013-03", rows)


def test_texts_are_skewed_by_their_length_and_not_because_all_differ(
    world: Complaints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skew, "MIN_ROWS", 50)
    split, trained = world.boosting.split, world.boosting
    assert trained.texts == ("comment",)
    data = TrainingData(
        dataset=trained.dataset,
        start=split.start,
        cut=split.cut,
        features=trained.features,
        texts=trained.texts,
    )
    for texts, verdict in ((("comment",), "PASS"), ((), "FAIL")):
        reference = skew.SkewReference("1", data.model_copy(update={"texts": texts}))
        [result] = [
            result for result in skew.compare(world.march, reference, Skew()) if result.column == "comment"
        ]
        assert result.outcome.value == verdict, result


def test_a_version_that_reads_texts_is_reproduced(world: Complaints) -> None:
    for version in (world.linear.version, world.boosting.version):
        again = reproduce.reproduce(world.history.client, MODEL, version)
        assert again.reproduced, again.outcome


def test_suggest_proposes_long_texts_for_their_words(world: Complaints) -> None:
    suite = " ".join(suggest(world.history.uri("data")).replace("#", " ").split())
    assert "comment: texts of 11 words on average; as a feature list it under features.text" in suite
    assert suite.count("features.text") == 1


def test_a_model_reads_what_mlflow_hands_it(world: Complaints) -> None:
    import pandas as pd

    fitted = models.load_version(world.history.client, world.champion)
    frame = pd.DataFrame({"wind": [0.1, 0.2], "comment": ["refund my card", None]})
    ours = models.predict(fitted, pa.Table.from_pandas(frame), "classification")
    np.testing.assert_allclose(fitted.predict_proba(frame), ours)
    assert ours[0].argmax() == CLASSES.index("billing")


def test_a_column_of_numbers_is_no_text(world: Complaints) -> None:
    rows = complaints(rows_of("2013-01"))
    with pytest.raises(SchemaMismatch, match=r"'distance' is double, which is no text: features\.text"):
        pipeline.frame(rows, Features(text=("distance",)))


ROWS = make_rows(600)


def test_gaps_are_told_to_estimators_that_cannot_see_them() -> None:
    # What is missing says all, and its median says nothing.
    wind = np.where(np.arange(600) % 2, np.nan, 0.0)
    rows = changed(ROWS, wind=pa.array(wind, from_pandas=True), late=pa.array(np.arange(600) % 2 == 1))
    scores = {}
    for missing in (None, "indicate"):
        recipe = make_recipe(rows, features=Features(numeric=("wind", "distance"), missing=missing))
        fitted = train.fit(rows, recipe, {})
        scores[missing] = sk.roc_auc_score(rows["late"], models.predict(fitted, rows, "classification"))
    assert scores["indicate"] == 1
    assert scores[None] < 0.7


def test_estimators_that_see_gaps_get_no_further_columns() -> None:
    features = {"numeric": ("wind", "distance"), "categorical": ("carrier",)}
    widths = []
    for missing in (None, "indicate"):
        recipe = make_recipe(ROWS, candidate=BOOSTING, features=Features(**features, missing=missing))
        widths.append(train.fit(ROWS, recipe, {})["model"].n_features_in_)
    assert widths == [3, 3]


def test_gaps_that_come_later_than_training_are_filled() -> None:
    whole = changed(ROWS, wind=ROWS["wind"].fill_null(0.0))
    recipe = make_recipe(whole, features=Features(numeric=("wind", "distance"), missing="indicate"))
    predicted = models.predict(train.fit(whole, recipe, {}), ROWS, "classification")
    assert np.isfinite(predicted).all()


def test_features_without_texts_and_gaps_are_written_as_before() -> None:
    plain = Features(numeric=("wind",))
    assert plain.to_dict() == {"numeric": ["wind"], "categorical": [], "dates": []}
    written = Features(text=("comment", {"column": "title", "ngrams": 2}), missing="indicate")
    assert written.to_dict()["text"] == ["comment", {"column": "title", "ngrams": 2}]
    assert Features.from_dict(written.to_dict()) == written
