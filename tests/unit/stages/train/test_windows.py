"""Which of several windows a candidate learns from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.facts.decision import HALF
from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import ModelRef, TrainedModel
from airflow_mlops.domain.facts.retraining import training_data
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.learning import provenance
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.learning.statistics import measures
from airflow_mlops.reporting import sentences
from airflow_mlops.reporting.words import windows as windows_in_words
from airflow_mlops.stages.train import fitting, jobs, split, train, windows
from synthetic import LOGISTIC, make_client, make_dataset, make_recipe, make_rows, make_split

pytestmark = pytest.mark.slow  # fits

PARTITION = "2013-09"
SHORT = 3


def months(turned: int | None = None, *, rare: bool = False) -> pa.Table:
    """Return ten months of flights; from a month on, wind has the opposite effect."""
    rows = make_rows(3000, months=11)
    if turned is not None:
        since = pc.greater_equal(rows["departure"], datetime(2013, turned, 1, tzinfo=UTC))
        wind = pc.if_else(since, pc.negate(rows["wind"]), rows["wind"])
        rows = rows.set_column(rows.column_names.index("wind"), "wind", wind)
    if rare:
        late = np.zeros(rows.num_rows, dtype=bool)
        late[::40] = True
        rows = rows.set_column(rows.column_names.index("late"), "late", pa.array(late))
    return rows


def make_windowed(rows: pa.Table, *spans: Any, **changes: Any) -> Recipe:
    """Say how to train as of September, held out, with several windows to choose from."""
    bounds = make_split(rows, partition=Partition.parse(PARTITION, "month"))
    dataset = make_dataset(rows, partition=PARTITION)
    starts = split.starts(dataset, bounds, 1, spans)
    return make_recipe(rows, split=bounds, dataset=dataset, starts=starts, **changes)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


def trained_of(client: Any, rows: pa.Table, recipe: Recipe, key: str) -> TrainedModel:
    return train.train(rows, client=client, recipe=recipe, key=key, tags={}, pictures=False)


def quality(client: Any, trained: TrainedModel, rows: pa.Table, key: str) -> float:
    """Return the ROC AUC of a version on a month."""
    month = Partition.parse(key, "month")
    times = rows["departure"]
    later = rows.filter(pc.and_(pc.greater_equal(times, month.start), pc.less(times, month.end)))
    ref = ModelRef(model=trained.model, version=trained.version, digest=trained.digest, run_id=trained.run_id)
    later, truth = pipeline.labelled(later, "late", trained.task)
    predicted = models.predict(models.load_version(client, ref), later, trained.task)
    value = measures.measure("roc_auc", truth, predicted)
    assert value is not None
    return value


def test_two_partitions_after_a_jump_the_short_window_is_chosen_and_predicts_the_next_better(
    client: Any,
) -> None:
    # July is the first month of another relation, August the newest to train on, September is held out.
    rows = months(turned=7)
    chosen = trained_of(client, rows, make_windowed(rows, "all", SHORT), "short")
    whole = trained_of(client, rows, make_windowed(rows), "whole")
    assert chosen.window is not None
    assert (chosen.window.chosen, chosen.window.partition) == (SHORT, "2013-08")
    assert chosen.window.scores["3"] > chosen.window.scores["all"]  # type: ignore[operator]
    assert quality(client, chosen, rows, "2013-10") > quality(client, whole, rows, "2013-10") + 0.1


def test_where_nothing_changes_all_rows_are_chosen_and_the_model_is_that_of_all(client: Any) -> None:
    rows = months()
    chosen = trained_of(client, rows, make_windowed(rows, "all", SHORT), "quiet")
    whole = trained_of(client, rows, make_windowed(rows), "quiet whole")
    assert chosen.window is not None
    assert chosen.window.chosen == "all"
    assert chosen.digest == whole.digest
    assert whole.window is None
    assert "window" not in whole.to_dict()


def test_what_is_recorded_is_that_of_the_rows_that_were_fitted(client: Any) -> None:
    rows = months(turned=7)
    recipe = make_windowed(rows, "all", SHORT)
    trained = trained_of(client, rows, recipe, "recorded")
    june = datetime(2013, 6, 1, tzinfo=UTC)
    times = rows["departure"]
    count = pc.sum(pc.and_(pc.greater_equal(times, june), pc.less(times, recipe.split.cut))).as_py()
    assert (trained.split.start, trained.split.train_rows) == (june, count)
    assert (trained.split.cut, trained.split.holdout_rows) == (recipe.split.cut, recipe.split.holdout_rows)
    assert training_data(trained).start == june
    tags = client.get_model_version(trained.model, trained.version).tags
    kept = Recipe.model_validate_json(tags[jobs.RECIPE])
    assert (kept.split, kept.starts) == (trained.split, recipe.starts)
    params = client.get_run(trained.run_id).data.params
    assert (params["window"], params["train_rows"]) == ("3", str(count))
    assert params[provenance.START] == june.isoformat()
    assert f"learned from the last 3 partitions, {count} rows before 2013-09-01" in sentences.trained(trained)
    assert windows_in_words(trained).startswith(
        "the last 3 partitions: roc_auc of each window on 2013-08, fitted to"
    )
    # The recipe of the version alone gives the same model again, and a retry adopts it.
    again = train.fit(rows, kept, trained.params)
    alone = train.fit(rows, make_recipe(rows, split=trained.split, dataset=recipe.dataset), {})
    assert predictions(again, rows) == predictions(alone, rows)
    assert trained_of(client, rows, recipe, "recorded").version == trained.version


def predictions(model: Any, rows: pa.Table) -> list[float]:
    found: list[float] = models.predict(model, rows.slice(0, 50), "classification").tolist()
    return found


def test_the_parameters_are_those_of_the_search_on_all_rows(client: Any) -> None:
    rows = months(turned=7)
    search = Candidate(estimator=LOGISTIC.estimator, search={"C": [1e-6, 1.0]})
    trained = trained_of(client, rows, make_windowed(rows, "all", SHORT, candidate=search), "search")
    assert trained.window is not None
    assert trained.window.chosen == SHORT
    assert trained.trials == 2
    plain = trained_of(client, rows, make_windowed(rows, candidate=search), "search whole")
    assert (trained.params, trained.score) == (plain.params, plain.score)


def choice_of(recipe: Recipe, rows: pa.Table) -> Any:
    return windows.choose(recipe, fitting.data(rows, recipe), {})


def test_a_window_with_too_few_rows_of_a_class_is_not_measured() -> None:
    rows = months(rare=True)
    choice = choice_of(make_windowed(rows, "all", 2), rows)
    assert choice.chosen == "all"
    assert choice.scores["all"] is not None
    assert choice.scores["2"] is None


def test_a_window_with_too_few_rows_is_not_measured() -> None:
    rows = months(turned=7)
    # Of the window, July alone is before the newest month.
    july = pc.equal(pc.month(rows["departure"]), 7)
    few = rows.filter(pc.or_(pc.invert(july), pa.array(np.arange(rows.num_rows) % 10 == 0)))
    choice = choice_of(make_windowed(few, "all", 2), few)
    assert (choice.chosen, choice.scores["2"]) == ("all", None)


def test_all_is_chosen_where_nothing_can_be_measured() -> None:
    rows = months()
    newest = pc.greater_equal(rows["departure"], datetime(2013, 8, 1, tzinfo=UTC))
    late = pc.if_else(newest, True, rows["late"])
    same = rows.set_column(rows.column_names.index("late"), "late", late)
    choice = choice_of(make_windowed(same, "all", SHORT), same)
    assert (choice.chosen, choice.scores) == ("all", {"all": None, "3": None})


def test_a_smaller_error_is_better(tmp_path: Path) -> None:
    rows = months(turned=7)
    ridge = Candidate(estimator="sklearn.linear_model.Ridge")
    changes = {"task": "regression", "target": "delay", "metric": "rmse", "candidate": ridge}
    choice = choice_of(make_windowed(rows, "all", SHORT, **changes), rows)
    assert choice.chosen == SHORT
    assert choice.scores["3"] < choice.scores["all"]


@pytest.mark.parametrize(
    ("unlike", "better"),
    [
        (0.0, False),
        # As far apart as two models of a quiet stream: better by 0.002 or so, which chance explains.
        (0.1, False),
        (1.0, True),
    ],
)
def test_a_shorter_window_wins_by_more_than_chance_explains(unlike: float, better: bool) -> None:
    rows = months()
    recipe = make_windowed(rows, "all", SHORT)
    later = fitting.data(rows, recipe)
    chance = np.random.default_rng(2)
    truth = later.labels + chance.normal(0, 1, later.labels.size)
    short, long = ((truth + factor * chance.normal(size=truth.size)) for factor in (0.0, unlike))
    sides = {"all": (long, HALF), "3": (short, HALF)}
    areas = {
        name: measures.measure("roc_auc", later.labels, _as_probability(values))
        for name, (values, _) in sides.items()
    }
    assert areas["3"] is not None
    assert areas["all"] is not None
    assert areas["3"] >= areas["all"]
    predicted = {name: (_as_probability(values), rule) for name, (values, rule) in sides.items()}
    assert windows._best(predicted, later, recipe) == ("3" if better else "all")


def _as_probability(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_a_window_without_other_rows_than_a_longer_one_is_left_out() -> None:
    rows = months()
    assert [*make_windowed(rows, "all", 12, SHORT).starts] == ["all", "3"]
    assert [*make_windowed(rows, 24, 12).starts] == ["24"]
    assert make_windowed(rows, 12).starts == {}


def test_a_share_that_is_held_out_is_part_of_the_window() -> None:
    rows = months()
    dataset = make_dataset(rows, partition=PARTITION)
    bounds = make_split(rows, partition=Partition.parse(PARTITION, "month"), holdout=0.1)
    starts = split.starts(dataset, bounds, 0.1, ("all", 4))
    single = make_split(rows, partition=Partition.parse(PARTITION, "month"), holdout=0.1, window=4)
    assert starts == {"all": bounds.start, "4": single.start}


def test_bounds_are_calibrated_on_the_latest_rows_of_the_window(client: Any) -> None:
    rows = months(turned=7)
    ridge = Candidate(estimator="sklearn.linear_model.Ridge")
    bounds = {"coverage": 0.8, "calibration": 0.3}
    changes = {
        "task": "regression",
        "target": "delay",
        "metric": "rmse",
        "candidate": ridge,
        "intervals": bounds,
    }
    trained = trained_of(client, rows, make_windowed(rows, "all", SHORT, **changes), "bounds")
    assert trained.window is not None
    assert trained.window.chosen == SHORT
    assert trained.intervals is not None
    assert trained.intervals.rows == pytest.approx(0.3 * trained.split.train_rows, abs=2)
    assert np.isfinite(trained.intervals.margin)


def test_a_window_that_cannot_be_fitted_after_all_gives_way_to_the_longest(client: Any) -> None:
    rows = months(turned=7)
    ridge = Candidate(estimator="sklearn.linear_model.Ridge")
    # Of three months, 5 % are too few to calibrate on.
    bounds = {"coverage": 0.8, "calibration": 0.05}
    changes = {
        "task": "regression",
        "target": "delay",
        "metric": "rmse",
        "candidate": ridge,
        "intervals": bounds,
    }
    trained = trained_of(client, rows, make_windowed(rows, "all", SHORT, **changes), "gives way")
    assert trained.window is not None
    assert trained.window.chosen == "all"
    assert "The window 3 was best and could not be fitted" in trained.remarks[-1]
