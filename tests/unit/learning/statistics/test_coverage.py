from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from airflow_mlops.learning.statistics import coverage, resampling


def rows(count: int, block: str) -> resampling.Blocks:
    times = np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(3600, "s")
    return resampling.blocks(times, block, "month")


def test_a_value_on_a_bound_lies_between_them() -> None:
    truth, low, high = np.array([1.0, 2, 3, 4]), np.array([1.0, 0, 4, 0]), np.array([2.0, 2, 5, 3])
    assert coverage.values(truth, low, high) == {"interval_coverage": 0.5, "interval_width": 1.75}
    assert coverage.values(truth[:0], low[:0], high[:0]) == {
        "interval_coverage": None,
        "interval_width": None,
    }


def test_of_independent_rows_the_interval_is_wilsons() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=5000)
    measured = coverage.measured(truth, np.full(5000, -1.645), np.full(5000, 1.645), rows(5000, "none"), 0.95)
    share = measured.values["interval_coverage"]
    assert share is not None
    expected = binomtest(round(share * 5000), 5000).proportion_ci(0.95, "wilson")
    assert measured.intervals["interval_coverage"] == pytest.approx((expected.low, expected.high), abs=0.0015)
    assert measured.intervals["interval_width"] == pytest.approx((3.29, 3.29))


def test_rows_of_days_that_differ_tell_less() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat(random.normal(size=60), 24) + random.normal(size=1440) / 4
    ends = np.full(1440, -1.0), np.full(1440, 1.0)
    by_day = coverage.measured(truth, *ends, rows(1440, "day"), 0.95).intervals["interval_coverage"]
    by_row = coverage.measured(truth, *ends, rows(1440, "none"), 0.95).intervals["interval_coverage"]
    assert by_day[1] - by_day[0] > 3 * (by_row[1] - by_row[0])


def test_where_every_value_lies_between_its_bounds_the_interval_still_has_a_length() -> None:
    truth = np.zeros(240)
    low, high = coverage.measured(truth, truth - 1, truth + 1, rows(240, "day"), 0.95).intervals[
        "interval_coverage"
    ]
    assert high == 1
    # Ten days are worth ten rows: with Student's t of nine degrees, Wilson's interval of 10 of 10.
    assert low == pytest.approx(1 / (1 + 2.262157**2 / 10), rel=1e-6)
    few = coverage.measured(truth[:72], truth[:72], truth[:72], rows(72, "day"), 0.95)
    assert few.intervals == {}
    assert few.values["interval_coverage"] == 1
