"""A regression with bounds, from training to what production says of them, with labels that come late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops import predict_intervals
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.spec.intervals import PredictionIntervals
from airflow_mlops.domain.spec.model import Candidate, Features, Gates, PerformancePolicy
from airflow_mlops.exceptions import NotEnoughData
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import models
from airflow_mlops.reporting.card import card
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables
from history import MODEL, History, month

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]  # fits: seconds each

ROWS = 1500
FEATURES = Features(numeric=("distance",))
RIDGE = Candidate(estimator="sklearn.linear_model.Ridge")
BOOSTING = Candidate(estimator="sklearn.ensemble.HistGradientBoostingRegressor", params={"max_leaf_nodes": 8})
POLICY = PerformancePolicy(min_rows=50)


def flights(key: str, *, noise: float = 1.0, target: str = "minutes") -> pa.Table:
    """Return a month of flights whose time varies more, the further they go."""
    partition = month(key)
    random = np.random.default_rng(partition.start.month)
    distance = random.uniform(0, 10, ROWS)
    minutes = 20 + 5 * distance + noise * (0.5 + distance) * random.normal(size=ROWS)
    seconds = np.sort(random.integers(0, 28 * 86_400, ROWS))
    return pa.table(
        {
            "flight": pa.array(np.arange(ROWS) + ROWS * partition.start.month),
            "departure": pa.array([partition.start + timedelta(seconds=int(second)) for second in seconds]),
            "distance": pa.array(distance),
            target: pa.array(minutes),
        }
    )


def settings(method: str = "absolute", **changes: Any) -> dict[str, Any]:
    intervals = PredictionIntervals.from_dict({"method": method, **changes})
    return {
        "target": "minutes",
        "task": "regression",
        "metric": "mae",
        "features": FEATURES,
        "intervals": intervals,
    }


class Bounded(NamedTuple):
    """Two months of flights, two models of them with bounds, and March as the champion has predicted it.

    :param champion: a line with one margin.
    :param quantiles: gradient boosting with bounds of its own.
    :param evaluation: of the quantiles beside the champion.
    """

    history: History
    february: DatasetVersion
    march: DatasetVersion
    line: TrainedModel
    champion: ModelRef
    quantiles: TrainedModel
    evaluation: Evaluation


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Bounded:
    history = History(tmp_path_factory.mktemp("bounded"))
    history.publish("2013-01", flights("2013-01"))
    february = history.publish("2013-02", flights("2013-02"))
    line = history.train(february, candidate=RIDGE, **settings())
    champion = history.crown(line, "2013-02")
    quantiles = history.train(february, candidate=BOOSTING, **settings("quantile"))
    march = history.publish("2013-03", flights("2013-03"))
    scored(history, march, champion, ref_of(quantiles))
    evaluation = judged(history, quantiles, february, champion)
    return Bounded(history, february, march, line, champion, quantiles, evaluation)


def ref_of(trained: TrainedModel) -> ModelRef:
    return ModelRef(model=MODEL, version=trained.version, digest=trained.digest, run_id=trained.run_id)


def scored(
    history: History,
    dataset: DatasetVersion,
    champion: ModelRef,
    challenger: ModelRef | None = None,
    **changes: Any,
) -> None:
    score.score(
        history.client,
        model=MODEL,
        dataset=dataset,
        champion=champion,
        task="regression",
        uri=history.uri("predictions"),
        beside=score.Beside(challenger, history.uri("challenger")) if challenger else None,
        **changes,
    )


def judged(
    history: History,
    candidate: TrainedModel,
    dataset: DatasetVersion,
    champion: ModelRef | None = None,
) -> Evaluation:
    return evaluate.evaluate_candidates(
        [candidate],
        client=history.client,
        dataset=dataset,
        champion=champion,
        gates=Gates(),
        pictures=False,
    )


def produced(
    history: History, dataset: DatasetVersion, champion: ModelRef, uri: str | None = None
) -> performance.Performance:
    question = Question(target="minutes", task="regression", metric="mae", labels=uri is not None)
    return performance.performance(
        history.client,
        truth=Truth(dataset, question, uri),
        champion=champion,
        policy=POLICY,
        predictions_uri=history.uri("predictions"),
        performance_uri=history.uri("performance"),
    )


def named(checks: Any, name: str) -> Check:
    [check] = [check for check in checks if check.name == name]
    return check


def covered(rows: pa.Table, truth: np.ndarray) -> np.ndarray:
    low, high = (rows[name].to_numpy() for name in ("score_low", "score_high"))
    inside: np.ndarray = (low <= truth) & (truth <= high)
    return inside


def test_the_latest_training_rows_calibrate_and_are_not_fitted(world: Bounded) -> None:
    rows = flights("2013-01")
    fitted = models.load_version(world.history.client, world.champion)
    distance, minutes = rows["distance"].to_numpy(), rows["minutes"].to_numpy()
    line = np.polyfit(distance[:1200], minutes[:1200], 1)
    predicted = models.predict(fitted, rows, "regression")
    np.testing.assert_allclose(predicted, np.polyval(line, distance), rtol=2e-3)
    errors = np.sort(np.abs(predicted - minutes)[1200:])
    facts = world.line.intervals
    assert facts is not None
    assert (facts.coverage, facts.method, facts.rows) == (0.9, "absolute", 300)
    # ⌈301 · 0.9⌉ is 271.
    assert facts.margin == pytest.approx(errors[270], rel=1e-12)
    tags = registry.short_tags(world.history.client, world.champion)
    assert "0.9" in tags["mlops.intervals"]


@pytest.mark.parametrize("table", ["predictions", "challenger"])
def test_nine_of_ten_true_values_lie_between_their_bounds(world: Bounded, table: str) -> None:
    rows = tables.read(world.history.uri(table), partition="2013-03")
    assert rows["score_low"].null_count == rows["score_high"].null_count == 0
    truth = flights("2013-03")["minutes"].to_numpy()
    # Three standard errors of 1,500 rows and 300 that calibrated.
    assert np.mean(covered(rows, truth)) == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / 1500 + 0.09 / 300))


def test_a_loss_under_another_of_its_names_is_not_fitted_in_place_of_a_quantile(world: Bounded) -> None:
    params = {"application": "l1"}
    candidate = Candidate(estimator="lightgbm.LGBMRegressor", params=params)
    trained = world.history.train(world.february, candidate=candidate, **settings("quantile"))
    march = flights("2013-03")
    _, bounds = predict_intervals(models.load_version(world.history.client, ref_of(trained)), march)
    assert bounds is not None
    width, distance = bounds[1] - bounds[0], march["distance"].to_numpy()
    assert 2 * width[distance < 3].mean() < width[distance > 7].mean()


def test_bounds_of_quantiles_are_as_wide_as_the_data_is_uncertain(world: Bounded) -> None:
    distance, truth = (flights("2013-03")[name].to_numpy() for name in ("distance", "minutes"))
    near, far = distance < 3, distance > 7
    _, bounds = predict_intervals(
        models.load_version(world.history.client, ref_of(world.quantiles)), flights("2013-03")
    )
    assert bounds is not None
    shares = {}
    for table in ("predictions", "challenger"):
        rows = tables.read(world.history.uri(table), partition="2013-03")
        width = (rows["score_high"].to_numpy() - rows["score_low"].to_numpy()).round(9)
        shares[table] = (
            np.mean(width[near]) / np.mean(width[far]),
            [np.mean(covered(rows, truth)[part]) for part in (near, far)],
        )
    np.testing.assert_array_equal(bounds, [rows["score_low"].to_numpy(), rows["score_high"].to_numpy()])
    assert shares["predictions"][0] == pytest.approx(1)
    assert shares["challenger"][0] < 0.5
    # One margin for all covers too much where little is uncertain, and too little where much is.
    assert shares["predictions"][1][0] > 0.98
    assert shares["predictions"][1][1] < 0.82
    assert shares["challenger"][1] == pytest.approx([0.9, 0.9], abs=0.08)


def test_the_gate_judges_the_share_of_the_holdout(world: Bounded) -> None:
    metrics, check = world.evaluation.metrics, named(world.evaluation.checks, "intervals")
    assert check.verdict is Verdict.PASS
    assert check.observed == metrics["interval_coverage"]
    assert check.interval == world.evaluation.intervals["interval_coverage"]
    assert "interval_width" in world.evaluation.intervals


def test_rows_that_vary_more_than_those_that_calibrated_fail_the_gate(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01", flights("2013-01"))
    february = history.publish("2013-02", flights("2013-02", noise=2))
    trained = history.train(february, candidate=RIDGE, **settings())
    evaluation = judged(history, trained, february)
    check = named(evaluation.checks, "intervals")
    assert check.verdict is evaluation.verdict is Verdict.FAIL
    assert "lies below 0.85 to 0.95" in check.reason


def test_bounds_of_candidate_and_champion_stand_beside_each_other(world: Bounded) -> None:
    ours, theirs = world.evaluation.metrics, world.evaluation.champion_metrics
    facts = world.line.intervals
    assert facts is not None
    assert theirs["interval_width"] == pytest.approx(2 * facts.margin)
    assert theirs["interval_coverage"] == pytest.approx(0.9, abs=0.05)
    assert (ours["interval_width"] or 0) < (theirs["interval_width"] or 0)
    page = card.write(
        world.history.client,
        world.evaluation,
        validation_uri=world.history.uri("validation"),
        description="",
        owner="",
    )
    assert "interval_coverage" in page
    assert "for 0.9 of the values" in page


def test_production_measures_bounds_when_labels_have_come(world: Bounded) -> None:
    uri = world.history.uri("labels")
    rows = flights("2013-03").select(["flight", "departure", "minutes"])
    labels.write(
        uri,
        rows,
        month("2013-03"),
        key=["flight"],
        event_time="departure",
        target="minutes",
        task="regression",
    )
    measured = produced(world.history, world.march, world.champion, uri)
    check = named(measured.others, "intervals")
    predictions = tables.read(world.history.uri("predictions"), partition="2013-03")
    expected = np.mean(covered(predictions, rows["minutes"].to_numpy()))
    assert check.verdict is Verdict.PASS
    assert (check.observed, check.baseline, check.n) == (pytest.approx(expected), 0.9, ROWS)
    [judgement] = measured.history
    assert judgement.metrics["interval_coverage"].value == pytest.approx(expected)
    assert judgement.metrics["interval_width"].interval is not None


def test_bounds_that_hold_no_more_are_told(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01", flights("2013-01"))
    february = history.publish("2013-02", flights("2013-02"))
    champion = history.crown(history.train(february, candidate=RIDGE, **settings()), "2013-02")
    march = history.publish("2013-03", flights("2013-03", noise=2))
    scored(history, march, champion)
    check = named(produced(history, march, champion).others, "intervals")
    assert check.verdict is Verdict.FAIL


def test_champions_with_bounds_and_without_follow_each_other_in_one_table(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01", flights("2013-01"))
    february = history.publish("2013-02", flights("2013-02"))
    plain = history.train(february, candidate=RIDGE, **{**settings(), "intervals": None})
    assert plain.intervals is None
    assert "intervals" not in plain.to_dict()
    bounded = history.train(february, candidate=RIDGE, **settings())
    first = history.crown(plain, "2013-02")
    uri = history.uri("predictions")
    scored(history, history.publish("2013-03", flights("2013-03")), first)
    assert "score_low" not in tables.read(uri).column_names
    scored(history, history.publish("2013-04", flights("2013-04")), ref_of(bounded))
    last = history.publish("2013-05", flights("2013-05"))
    scored(history, last, first, ref_of(bounded), split=0.5)
    nulls = [tables.read(uri, partition=key)["score_low"].null_count for key in ("2013-03", "2013-04")]
    assert nulls == [ROWS, 0]
    shared = tables.read(uri, partition="2013-05")
    by_champion = np.array(shared["served_by"].to_pylist()) == "champion"
    assert (shared["score_low"].is_null().to_numpy() == by_champion).all()
    assert not [check for check in produced(history, last, first).others if check.name == "intervals"]
    assert named(produced(history, last, ref_of(bounded)).others, "intervals").n == (~by_champion).sum()


def test_a_version_with_bounds_is_made_again_byte_for_byte(world: Bounded) -> None:
    again = reproduce.reproduce(world.history.client, MODEL, world.quantiles.version)
    assert again.reproduced
    for name in ("digest", "mae", "interval_coverage", "interval_width"):
        assert named(again.outcome, name).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "needed"),
    [({"coverage": 0.999}, "the latest 300 to calibrate on; 50 and, for a coverage of 0.999, 999 are needed"),
     ({"calibration": 0.01}, "the latest 15 to calibrate on; 50 and, for a coverage of 0.9, 50 are needed")],
)  # fmt: skip
def test_too_few_rows_to_calibrate_on_are_told_with_how_many_it_needs(
    world: Bounded, changes: dict[str, Any], needed: str
) -> None:
    with pytest.raises(NotEnoughData, match=needed):
        world.history.train(world.february, candidate=RIDGE, **settings(**changes))


def test_rows_of_one_time_stay_together(tmp_path: Path) -> None:
    history = History(tmp_path)
    rows = flights("2013-01")
    times = [datetime(2013, 1, 1, tzinfo=UTC)] * ROWS
    history.publish("2013-01", rows.set_column(1, "departure", pa.array(times)))
    february = history.publish("2013-02", flights("2013-02"))
    with pytest.raises(NotEnoughData, match="0 are to fit and the latest 1,500 to calibrate on"):
        history.train(february, candidate=RIDGE, **settings())
