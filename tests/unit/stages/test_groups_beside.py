"""Groups beside what learns from rows of its own: bounds of numbers, and thresholds; and decisions that a person adopts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.spec.costs import Costs
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.intervals import PredictionIntervals
from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.learning.models import intervals, models, pipeline, thresholds
from airflow_mlops.learning.statistics import decisions
from airflow_mlops.stages.promote import adopt
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import train
from airflow_mlops.stores.registry import champions
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, rows_of
from synthetic import FEATURES, LOGISTIC, make_recipe, make_rows, make_split

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]  # fits: seconds each

RIDGE = Candidate(estimator="sklearn.linear_model.Ridge")
COSTED = Decision(costs=Costs(false_positive=1, false_negative=6))


def of_customers() -> pa.Table:
    """Return flights, of which three in ten are of customers that flew before, and late where others are on time."""
    rows = make_rows(2400, seed=3)
    random, number = np.random.default_rng(0), np.arange(rows.num_rows)
    earlier = random.random(rows.num_rows) < 0.3
    customer = np.where(earlier, random.integers(0, 1 + number // 6), number // 3)
    late = rows["late"].to_numpy(zero_copy_only=False) != earlier
    return changed(rows, late=pa.array(late)).append_column("customer", pa.array(customer))


ROWS = of_customers()


def trained_rows() -> pa.Table:
    """Return the training rows in order of time."""
    split, times = make_split(ROWS), ROWS["departure"].to_numpy()
    start, cut = (np.datetime64(bound.replace(tzinfo=None), "us") for bound in (split.start, split.cut))
    inside = ROWS.filter(pa.array((times >= start) & (times < cut)))
    return inside.sort_by([("departure", "ascending"), ("flight", "ascending")])


def of_new_customers(rows: pa.Table, cut: int) -> np.ndarray:
    """Return the positions from a cut on of rows whose customer no earlier row is of."""
    customers = rows["customer"].to_numpy()
    return cut + np.flatnonzero(~np.isin(customers[cut:], customers[:cut]))


def fitted_to(rows: pa.Table, candidate: Candidate, target: str, task: str) -> Any:
    labelled, labels = pipeline.labelled(rows, target, task)
    return pipeline.build(candidate, FEATURES, task, 0).fit(pipeline.frame(labelled, FEATURES), labels)


def test_bounds_are_calibrated_on_customers_that_the_model_has_not_met() -> None:
    section = PredictionIntervals.from_dict({"coverage": 0.8, "calibration": 0.3})
    recipe = make_recipe(
        ROWS,
        candidate=RIDGE,
        target="delay",
        task="regression",
        metric="mae",
        groups="customer",
        intervals=section,
    )
    bounds = intervals.of(train.fit(ROWS, recipe, {}))
    assert bounds is not None
    rows = trained_rows()
    cut = int(rows.num_rows * 0.7)
    new = of_new_customers(rows, cut)
    assert 50 < new.size < rows.num_rows - cut
    early = fitted_to(rows.slice(0, cut), RIDGE, "delay", "regression")
    later = rows.take(pa.array(new))
    errors = np.sort(np.abs(later["delay"].to_numpy() - models.predict(early, later, "regression")))
    assert bounds.facts.rows == new.size
    expected = errors[math.ceil((new.size + 1) * 0.8) - 1]
    assert bounds.facts.margin == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("folds", [1, 2])
def test_a_threshold_is_chosen_on_customers_that_the_model_has_not_met(folds: int) -> None:
    recipe = make_recipe(ROWS, candidate=LOGISTIC, groups="customer", decision=COSTED, folds=folds)
    kept = thresholds.of(train.fit(ROWS, recipe, {}))
    rows = trained_rows()
    cuts = [rows.num_rows * (5 - folds + fold) // 5 for fold in range(folds)]
    truth, scores = [], []
    for cut, end in zip(cuts, [*cuts[1:], rows.num_rows], strict=True):
        new = of_new_customers(rows, cut)
        later = rows.take(pa.array(new[new < end]))
        assert 0 < later.num_rows < end - cut
        early = fitted_to(rows.slice(0, cut), LOGISTIC, "late", "classification")
        truth.append(later["late"].to_numpy(zero_copy_only=False).astype(int))
        scores.append(models.predict(early, later, "classification"))
    by_new = decisions.best(np.concatenate(truth), np.concatenate(scores), COSTED)
    assert kept.threshold == pytest.approx(by_new.threshold, rel=1e-9)
    # All rows would have chosen another one.
    everyone = make_recipe(ROWS, candidate=LOGISTIC, decision=COSTED, folds=folds)
    assert thresholds.of(train.fit(ROWS, everyone, {})).threshold != kept.threshold


def test_a_version_that_is_adopted_decides_by_its_threshold(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01")
    february = history.publish("2013-02")
    first = history.crown(history.train(february), "2013-02")
    costed = history.train(february, decision=COSTED)
    assert costed.decision is not None
    assert costed.decision.threshold < 0.45
    adopt.adopt(
        history.client, ledger_uri=history.uri("ledger"), model=MODEL, version=costed.version, reason="costs",
        key="a", actor="anna",
    )  # fmt: skip
    champion = champions.current(history.client, history.uri("ledger"), MODEL).champion
    assert champion is not None
    assert champion.version == costed.version != first.version
    march = history.publish("2013-03", rows_of("2013-03").drop_columns(["late", "delay"]))
    score.score(
        history.client, model=MODEL, dataset=march, champion=champion, task="classification",
        uri=history.uri("predictions"),
    )  # fmt: skip
    served = tables.read(history.uri("predictions"), partition="2013-03")
    scores = served["score"].to_numpy()
    called = np.where(scores >= costed.decision.threshold, "1", "0")
    assert served["prediction"].to_pylist() == called.tolist()
    assert (called != np.where(scores >= 0.5, "1", "0")).any()
