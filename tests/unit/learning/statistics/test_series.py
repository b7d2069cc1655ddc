from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from airflow_mlops.learning.statistics import series


class Part(NamedTuple):
    quality: dict[str, float | None]


def test_more_is_better_in_each_score_and_errors_are_squared() -> None:
    parts = [Part({"roc_auc": 0.7, "log_loss": 0.5, "rmse": 2.0}), Part({"roc_auc": None}), Part({})]
    assert series.values(parts, "roc_auc") == pytest.approx([0.7, np.nan, np.nan], nan_ok=True)
    assert series.values(parts, "log_loss")[0] == -0.5
    assert series.values(parts, "rmse")[0] == -4.0


def test_draws_are_of_whole_blocks_of_neighbours_and_the_same_each_time() -> None:
    drawn = series.draws(27)
    assert drawn.shape[1] == 27
    assert np.all((drawn[:, 1::3] - drawn[:, ::3]) % 27 == 1)
    assert np.array_equal(drawn, series.draws(27))
    counts = np.bincount(drawn.ravel(), minlength=27)
    # The first and the last partition as often as any.
    assert counts.min() > 0.9 * counts.mean()


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        values = random.normal(1.0, 1.0, 40)
        _, low, high = series.interval(values.mean(), values[series.draws(40)].mean(axis=1))
        covered += low <= 1.0 <= high
    assert covered >= 170
