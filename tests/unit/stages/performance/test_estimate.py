from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.spec.costs import CostMatrix
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.models import models
from airflow_mlops.learning.statistics import decisions, measures
from airflow_mlops.stages.performance import estimate, estimate_classes, estimates
from airflow_mlops.stages.performance.calibration import Calibration, calibrate
from airflow_mlops.stores.registry import artifacts, registry
from airflow_mlops.stores.tables import tables
from history import History
from synthetic import make_rows

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


CODING = Coding("late", "classification", BINARY, BINARY)


def rows_of(scores: np.ndarray) -> pa.Table:
    return pa.table({"score": scores})


def draw(seed: int, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and the scores of a model that is too sure of itself."""
    random = np.random.default_rng(seed)
    known = random.normal(shift, 1.0, rows)
    likely = 1 / (1 + np.exp(-(1.2 * known - 0.8)))
    return (random.random(rows) < likely).astype(float), 1 / (1 + np.exp(-(2 * known + 0.3)))


@pytest.fixture(scope="module", params=[3000, 20_000], ids=["logistic", "isotonic"])
def calibration(request: pytest.FixtureRequest) -> Calibration:
    return calibrate(*draw(0, request.param))


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_what_labels_will_say_is_estimated_without_them(calibration: Any, shift: float) -> None:
    truth, scores = draw(1, 4000, shift)
    found = estimate.estimate(scores, calibration)
    later = measures.metrics(truth, scores, "classification")
    assert found.keys() == later.keys()
    for name, guess in found.items():
        assert guess.value == pytest.approx(later[name], abs=0.1 if name == "log_loss" else 0.05), name
        assert guess.low < guess.value < guess.high


def test_a_model_that_knows_nothing_is_estimated_as_one() -> None:
    random = np.random.default_rng(0)
    calibrated = calibrate((random.random(4000) < 0.3).astype(float), random.random(4000))
    found = estimate.estimate(random.random(2000), calibrated)
    assert found["roc_auc"].value == pytest.approx(0.5, abs=0.05)


def test_equal_rows_give_equal_estimates() -> None:
    one, two = (estimate.estimate(draw(1, 500)[1], calibrate(*draw(0, 500))) for _ in range(2))
    assert one == two


def test_too_few_rows_calibrate_nothing() -> None:
    assert not calibrate(*draw(0, 200)).scores.size
    assert not calibrate(np.zeros(5000), np.random.default_rng(0).random(5000)).scores.size


def test_a_version_is_calibrated_once_and_does_not_need_its_data_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path)
    rows = make_rows(1200, months=2)
    first = rows.filter([moment.month == 1 for moment in rows["departure"].to_pylist()])
    history.publish("2013-01", first)
    second = rows.filter([moment.month == 2 for moment in rows["departure"].to_pylist()])
    trained = history.train(history.publish("2013-02", second))
    ref = registry.version(history.client, trained.model, trained.version)
    training = registry.training(history.client, ref)
    scores = models.predict(models.load_version(history.client, ref), second, "classification")
    once = estimates.of(history.client, ref, training, CODING, rows_of(scores))
    truth = second["late"].to_numpy(zero_copy_only=False)
    later = measures.measure("roc_auc", truth, scores)
    assert once["roc_auc"].value == pytest.approx(later, abs=0.05)
    monkeypatch.delattr(tables, "read")
    assert estimates.of(history.client, ref, training, CODING, rows_of(scores)) == once


def test_without_training_data_nothing_is_estimated_and_nothing_fails(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01")
    trained = history.train(history.publish("2013-02"))
    ref = registry.version(history.client, trained.model, trained.version)
    training = registry.training(history.client, ref)
    gone = training._replace(dataset=training.dataset.model_copy(update={"uri": history.uri("gone")}))
    assert estimates.of(history.client, ref, gone, CODING, rows_of(np.array([0.5]))) == {}


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", '{"scores": [0.5]}', '{"scores": [0.1, 0.9], "shares": [[0.5]]}']
)
def test_a_damaged_calibration_is_made_again(tmp_path: Path, kept: str) -> None:
    history = History(tmp_path)
    rows = make_rows(1200, months=2)
    half = [moment.month == 1 for moment in rows["departure"].to_pylist()]
    history.publish("2013-01", rows.filter(half))
    trained = history.train(history.publish("2013-02", rows.filter([not each for each in half])))
    ref = registry.version(history.client, trained.model, trained.version)
    training, scores = registry.training(history.client, ref), np.linspace(0.01, 0.99, 500)
    once = estimates.of(history.client, ref, training, CODING, rows_of(scores))
    assert once
    (file,) = tmp_path.rglob(estimates.CALIBRATION)
    whole = file.read_text()
    file.write_text(kept)
    assert estimates.of(history.client, ref, training, CODING, rows_of(scores)) == once
    assert file.read_text() == whole


def draw_many(seed: int, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels of five classes, the probabilities of a model that is too sure of itself, and the true ones."""
    random = np.random.default_rng(seed)
    logits = random.normal([0.0, 0.0, 0.0, 0.0, -1.5 + shift], 1.0, (rows, 5))
    true, sure = (np.exp(scale * logits) for scale in (1.0, 2.0))
    true, sure = true / true.sum(axis=1, keepdims=True), sure / sure.sum(axis=1, keepdims=True)
    return (true.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1), sure, true


@pytest.mark.parametrize(("rows", "shift"), [(8000, 0.0), (12_000, 0.7)])
def test_what_labels_of_many_classes_will_say_is_estimated_without_them(rows: int, shift: float) -> None:
    truth, scores, _ = draw_many(0, rows)
    calibration = estimate_classes.calibrate(truth, scores)
    truth, scores, _ = draw_many(1, 4000, shift)
    measured = measures.metrics(truth, scores, "classification")
    estimated = estimate_classes.estimate(scores, calibration)
    for name, value in measured.items():
        close = 0.06 if name == "log_loss" else 0.03
        assert estimated[name].value == pytest.approx(value, abs=close), name
        assert estimated[name].low < estimated[name].value < estimated[name].high
    assert set(estimated) == set(measured)


@pytest.mark.parametrize("rows", [9000, 12_000])
def test_the_accuracy_of_many_classes_is_not_estimated_too_high(rows: int) -> None:
    truth, scores, _ = draw_many(0, rows)
    calibration = estimate_classes.calibrate(truth, scores)
    _, scores, true = draw_many(100, 3000)
    expected = true[np.arange(len(true)), scores.argmax(axis=1)].mean()
    # With each class calibrated apart it is 0.009 too high.
    assert estimate_classes.estimate(scores, calibration)["accuracy"].value == pytest.approx(
        expected, abs=0.004
    )


def blurred(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities of whole votes of 20 trees, flat and with zeros, as a random forest gives them."""
    flat = np.sqrt(probabilities)
    votes = np.round(20 * flat / flat.sum(axis=1, keepdims=True) - 0.6).clip(0)
    votes[votes.sum(axis=1) == 0] = 1
    return votes / votes.sum(axis=1, keepdims=True)


def test_scores_of_any_form_are_estimated_on_their_own_rows_as_they_were_measured() -> None:
    truth, sure, _ = draw_many(0, 6000)
    scores = blurred(sure)
    assert (scores == 0).any()
    calibration = estimate_classes.calibrate(truth, scores)
    probabilities, chosen = calibration(scores), scores.argmax(axis=1)
    hits = probabilities[np.arange(truth.size), chosen].mean()
    assert hits == pytest.approx((chosen == truth).mean(), abs=0.001)
    logs = np.log(np.clip(scores, np.finfo(float).eps, 1))
    log_loss = -logs[np.arange(truth.size), truth].mean()
    assert -(probabilities * logs).sum(axis=1).mean() == pytest.approx(log_loss, abs=0.01)
    one_hot = np.eye(5)[truth]
    assert (probabilities * scores).sum() == pytest.approx((one_hot * scores).sum(), rel=0.001)


def test_classes_chosen_by_costs_are_estimated_on_their_own_rows_as_they_were_measured() -> None:
    truth, scores, _ = draw_many(0, 3000)
    costs = np.ones((5, 5)) - np.eye(5)
    costs[4] *= 12
    rule = DecisionRule(matrix=tuple(map(tuple, costs.tolist())), places=tuple(range(5)))
    chosen = decisions.chosen(scores, rule)
    assert (chosen != scores.argmax(axis=1)).mean() > 0.1
    calibration = estimate_classes.calibrate(truth, scores, rule=rule)
    hits = calibration(scores)[np.arange(truth.size), chosen].mean()
    assert hits == pytest.approx((chosen == truth).mean(), abs=0.0002)


def test_a_class_with_few_rows_is_calibrated_by_what_holds_for_the_others() -> None:
    truth, scores, _ = draw_many(0, 1000)
    calibration = estimate_classes.calibrate(truth, scores)
    hits = calibration(scores)[np.arange(truth.size), scores.argmax(axis=1)].mean()
    for count in (20, 1, 0):
        rows = (truth != 4) | ((truth == 4).cumsum() <= count)
        fewer = estimate_classes.calibrate(truth[rows], scores[rows])
        assert np.isfinite(fewer.coefficients).all()
        likely = fewer(scores)[np.arange(truth.size), scores.argmax(axis=1)].mean()
        assert likely == pytest.approx(hits, abs=0.05)


def test_a_model_of_many_classes_without_any_mistake_is_estimated_as_one() -> None:
    truth = np.arange(600) % 3
    certain = np.eye(3)[truth]
    calibration = estimate_classes.calibrate(truth, certain)
    assert np.isfinite(calibration.coefficients).all()
    assert estimate_classes.estimate(certain, calibration)["accuracy"].value == pytest.approx(1, abs=0.001)


def test_too_few_rows_of_many_classes_or_rows_of_one_calibrate_nothing() -> None:
    truth, scores, _ = draw_many(0, 1000)
    assert estimate_classes.calibrate(truth[:200], scores[:200]) is None
    assert estimate_classes.calibrate(np.zeros(1000), scores) is None


def test_equal_rows_of_many_classes_give_equal_calibrations() -> None:
    one, two = (estimate_classes.calibrate(*draw_many(0, 500)[:2]) for _ in range(2))
    assert (one.coefficients == two.coefficients).all()


def test_a_calibration_of_many_classes_that_a_former_build_kept_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    history, rows = History(tmp_path), make_rows(1200, months=2)
    delay, second = rows["delay"].to_numpy(), [moment.month == 2 for moment in rows["departure"].to_pylist()]
    grade = np.where(delay < -10, "early", np.where(delay < 15, "on time", "tardy"))
    rows = rows.drop_columns(["late", "delay"]).append_column("grade", pa.array(grade))
    history.publish("2013-01", rows.filter([not held_out for held_out in second]))
    features = Features(numeric=("wind", "distance"))
    dataset = history.publish("2013-02", rows.filter(second))
    trained = history.train(dataset, target="grade", features=features, metric="log_loss")
    ref = registry.version(history.client, trained.model, trained.version)
    training = registry.training(history.client, ref)
    probabilities = models.predict(
        models.load_version(history.client, ref), rows.filter(second), "classification"
    )
    predictions = pa.table({"score": probabilities.max(axis=1), "probabilities": [*probabilities]})
    coding = Coding("grade", "classification", training.classes, training.classes)
    former = {"of_each": [{"scores": [0.0, 1.0], "shares": [[0.0, 1.0]]}] * 3}
    artifacts.write_json(history.client, ref.run_id, estimates.OF_CLASSES, former)
    once = estimates.of(history.client, ref, training, coding, predictions)
    truth = np.searchsorted(training.classes, rows.filter(second)["grade"].to_pylist())
    assert once["accuracy"].value == pytest.approx(
        measures.measure("accuracy", truth, probabilities), abs=0.03
    )
    assert "is made again" in caplog.text
    caplog.clear()
    assert estimates.of(history.client, ref, training, coding, predictions) == once
    assert not caplog.text
    # A calibration is of one way to decide.
    size = len(training.classes)
    matrix = tuple(
        tuple(float(true != other) * (9 if true == 2 else 1) for other in range(size)) for true in range(size)
    )
    costly = coding._replace(decision=DecisionRule(matrix=matrix, places=tuple(range(size))))
    assert (
        estimates.of(history.client, ref, training, costly, predictions)["accuracy"].value
        < once["accuracy"].value
    )


def weighed(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, scores and weights; of rows of one score, those with the label count more."""
    truth, scores = draw(seed, rows)
    random = np.random.default_rng(seed + 100)
    return truth, scores, random.gamma(1.0, size=rows) * np.where(truth == 1, 3.0, 1.0)


@pytest.mark.parametrize("rows", [3000, 12_000], ids=["logistic", "isotonic"])
def test_weighted_rows_are_estimated_as_labels_will_say_with_their_weights(rows: int) -> None:
    truth, scores, weights = weighed(0, rows)
    calibrated = calibrate(truth, scores, weights=weights)
    later, now, counted = weighed(1, 6000)
    found = estimate.estimate(now, calibrated, counted=counted)
    expected = measures.metrics(later, now, "classification", weights=counted)
    blind = estimate.estimate(now, calibrate(truth, scores))
    for name, guess in found.items():
        assert guess.value == pytest.approx(expected[name], abs=0.1 if name == "log_loss" else 0.05), name
        assert guess.low < guess.value < guess.high
    # What takes every row for equal is far from it.
    assert abs(blind["f1"].value - (expected["f1"] or 0)) > 0.1


def test_weights_that_are_all_alike_change_no_estimate() -> None:
    truth, scores = draw(0, 3000)
    ones = np.ones(3000)
    alike = estimate.estimate(scores, calibrate(truth, scores, weights=2 * ones), counted=2 * ones)
    for name, guess in estimate.estimate(scores, calibrate(truth, scores)).items():
        assert alike[name].value == pytest.approx(guess.value, abs=1e-4), name


def of_three(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    likely = random.dirichlet([3, 2, 1], rows)
    truth = (likely.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
    sure = likely**1.7
    return truth, sure / sure.sum(axis=1, keepdims=True), np.where(truth == 2, 4.0, 1.0)


@pytest.mark.parametrize("rows", [3000, 12_000], ids=["few", "many"])
def test_weights_and_costs_of_many_classes_are_estimated_too(rows: int) -> None:
    truth, scores, weights = of_three(0, rows)
    calibrated = estimate_classes.calibrate(truth, scores, weights=weights)
    later, now, counted = of_three(1, 4000)
    costs = CostMatrix(rows=((0, 1, 2), (4, 0, 1), (30, 8, 0)))
    matrix = ((0.0, 1.0, 2.0), (4.0, 0.0, 1.0), (30.0, 8.0, 0.0))
    rule = DecisionRule(costs=costs, matrix=matrix, places=(0, 1, 2))
    found = estimate_classes.estimate(now, calibrated, rule=rule, counted=counted)
    expected = measures.metrics(later, now, "classification", ["expected_cost"], rule=rule, weights=counted)
    assert found.keys() == expected.keys()
    for name, guess in found.items():
        size = 0.1 * (expected[name] or 0) if name == "expected_cost" else 0.05
        assert guess.value == pytest.approx(expected[name], abs=size), name
