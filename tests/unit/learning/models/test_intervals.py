from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.pipeline import Pipeline

from airflow_mlops.domain.facts.intervals import CalibratedIntervals
from airflow_mlops.learning.models import intervals, skops_file


@pytest.mark.parametrize(
    ("coverage", "rows"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.975, 39), (0.99, 99), (0.999, 999)]
)
def test_a_coverage_needs_so_many_rows(coverage: float, rows: int) -> None:
    assert intervals.least_rows(coverage) == rows


@pytest.mark.parametrize(
    ("rows", "coverage", "rank"), [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (99, 0.55, 55), (99, 0.9, 90), (100, 0.9, 91)]
)  # fmt: skip
def test_the_margin_is_the_error_of_its_rank(rows: int, coverage: float, rank: int) -> None:
    errors = np.random.default_rng(0).permutation(np.arange(1.0, rows + 1))
    truth, zero = errors * np.where(errors % 2, -1, 1), np.zeros(rows)
    assert intervals.margin(truth, (zero, zero), coverage) == rank


def test_bounds_that_are_too_wide_are_made_narrower() -> None:
    truth, wide = np.linspace(-1, 1, 99), np.full(99, 10.0)
    margin = intervals.margin(truth, (-wide, wide), 0.9)
    assert margin == pytest.approx(-10 + np.sort(np.abs(truth))[89])


def conformal(margin: float, low: Any = None, high: Any = None) -> intervals.Conformal:
    facts = CalibratedIntervals(
        coverage=0.9, method="quantile" if low else "absolute", rows=99, margin=margin
    )
    return intervals.Conformal(facts, low, high)


def constant(value: float) -> Pipeline:
    frame = pd.DataFrame({"x": [0.0, 1.0]})
    return Pipeline([("model", DummyRegressor(strategy="constant", constant=value))]).fit(frame, [0.0, 1.0])


def test_bounds_lie_around_the_prediction_or_the_quantiles() -> None:
    frame, values = pd.DataFrame({"x": [0.0, 1.0]}), np.array([5.0, 7.0])
    low, high = conformal(2).bounds(frame, values)
    assert (low.tolist(), high.tolist()) == ([3, 5], [7, 9])
    low, high = conformal(0.5, constant(4), constant(1)).bounds(frame, values)
    assert (low.tolist(), high.tolist()) == ([0.5, 0.5], [4.5, 4.5])
    low, high = conformal(-4, constant(1), constant(4)).bounds(frame, values)
    assert low.tolist() == high.tolist() == [2.5, 2.5]


def test_bounds_are_stored_with_the_model_and_part_of_its_digest(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(20.0)})
    digests = []
    for margin in (1.0, 1.0, 2.0):
        fitted = Pipeline([("model", LinearRegression())]).fit(frame, np.arange(20.0))
        assert intervals.of(fitted) is None
        assert not intervals.has_bounds(fitted)
        intervals.keep(fitted, conformal(margin, constant(0), constant(9)))
        skops_file.save(fitted, tmp_path / "model.skops")
        digests.append(skops_file.digest(tmp_path / "model.skops"))
    assert digests[0] == digests[1] != digests[2]
    loaded = skops_file.load(tmp_path / "model.skops", digests[2])
    value, bounds = intervals.predict(loaded, frame)
    assert value == pytest.approx(np.arange(20.0))
    assert bounds is not None
    assert (set(bounds[0]), set(bounds[1])) == ({-2.0}, {11.0})


def test_calibrated_bounds_take_the_place_of_those_an_estimator_tells_itself() -> None:
    frame = pd.DataFrame({"x": np.arange(30.0)})
    fitted = Pipeline([("model", BayesianRidge())]).fit(frame, np.random.default_rng(0).normal(size=30))
    _, told = intervals.predict(fitted, frame)
    intervals.keep(fitted, conformal(0.25))
    value, bounds = intervals.predict(fitted, frame)
    assert told is not None
    assert bounds is not None
    np.testing.assert_allclose(bounds[1] - value, 0.25)
    assert not np.allclose(told[1], bounds[1])


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_on_average_so_many_new_values_lie_between_the_bounds(coverage: float) -> None:
    """The share is that of the theory: at least the coverage, and at most 1 / (n + 1) more."""
    random, rows, draws = np.random.default_rng(0), 19, 20_000
    scores = random.exponential(size=(draws, rows + 1))
    zero = np.zeros(rows)
    margins = np.array([intervals.margin(row[:-1], (zero, zero), coverage) for row in scores])
    share = np.mean(scores[:, -1] <= margins)
    # Three standard errors.
    slack = 3 * np.sqrt(coverage * (1 - coverage) / draws)
    assert coverage - slack <= share <= coverage + 1 / (rows + 1) + slack
