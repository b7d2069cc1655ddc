from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.domain.metrics import METRICS
from airflow_mlops.learning.statistics import measures, resampling
from airflow_mlops.learning.statistics.statistic import statistic
from scores import make_scores, make_times

ROWS = 600
DAYS = resampling.blocks(make_times(ROWS, 10), "auto", "month")


def predictions(metric: str, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = make_scores(ROWS)
    truth = truth if METRICS[metric].task == "classification" else 1000 + make_scores(ROWS, seed=1)[1]
    return truth, np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_a_draw_of_blocks_has_the_metric_of_the_rows_drawn(metric: str, ties: bool) -> None:
    truth, predicted = predictions(metric, ties)
    drawn = np.array([0, 3, 1, 0, 1, 2, 0, 1, 1, 1])
    rows = np.concatenate([np.flatnonzero(DAYS.codes == day) for day in np.repeat(np.arange(10), drawn)])
    computed = statistic(metric, truth, predicted, DAYS).compute
    for times, chosen in ((np.ones(10), np.arange(ROWS)), (drawn, rows)):
        value = measures.measure(metric, truth[chosen], predicted[chosen])
        # What rows do not define, such as a deviance with predictions of 0, is not a number as a statistic.
        expected = np.nan if value is None else value
        assert computed(times) == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "f1"])
def test_a_draw_without_a_positive_leaves_the_metric_undefined(metric: str) -> None:
    truth, scores = make_scores(ROWS)
    truth[DAYS.codes == 4] = 0
    assert np.isnan(statistic(metric, truth, scores, DAYS).compute(np.eye(10)[4]))


def test_rates_have_the_values_computed_by_hand() -> None:
    truth, scores = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.1, 0.8, 0.2, 0.3])
    rows = resampling.blocks(make_times(5), "none", "month")
    found = {
        rate: statistic(rate, truth, scores, rows).compute(np.ones(5))
        for rate in ("selection_rate", "true_positive_rate", "false_positive_rate")
    }
    assert found == {
        "selection_rate": 0.4,
        "true_positive_rate": 0.5,
        "false_positive_rate": pytest.approx(1 / 3),
    }


def test_probabilities_that_are_too_high_by_a_tenth_are_badly_calibrated_by_a_tenth() -> None:
    random = np.random.default_rng(0)
    honest = random.uniform(0.1, 0.8, 50_000)
    truth = (random.random(honest.size) < honest).astype(int)
    rows = resampling.blocks(make_times(honest.size), "auto", "month")
    errors = [
        statistic("calibration", truth, honest + extra, rows).compute(np.ones(rows.count))
        for extra in (0, 0.1)
    ]
    assert errors == pytest.approx([0.0, 0.1], abs=0.01)


def test_the_calibration_of_one_constant_prediction_is_its_distance_to_the_share() -> None:
    truth, _ = make_scores(ROWS)
    error = statistic("calibration", truth, np.full(ROWS, 0.5), DAYS).compute(np.ones(10))
    assert error == pytest.approx(abs(0.5 - truth.mean()))
