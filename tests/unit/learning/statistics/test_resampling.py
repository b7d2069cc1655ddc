from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.learning.statistics import resampling
from airflow_mlops.learning.statistics.resampling import Blocks, Estimate, Statistic, Support
from scores import make_times


def moments(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[us]")


@pytest.mark.parametrize(
    ("block", "grain", "unit"),
    [
        ("auto", "month", "day"),
        ("auto", "week", "day"),
        ("auto", "day", "hour"),
        ("auto", "hour", "minute"),
        ("week", "month", "week"),
        ("month", "month", "month"),
        ("none", "month", "row"),
    ],
)
def test_a_block_is_a_span_of_time_below_the_partition_unless_the_spec_names_one(
    block: str, grain: str, unit: str
) -> None:
    assert resampling.blocks(moments("2013-03-01T10:00"), block, grain).unit == unit


def test_weeks_begin_on_mondays() -> None:
    sunday, monday, next_sunday = "2013-03-03T23:59", "2013-03-04T00:00", "2013-03-10T23:59"
    found = resampling.blocks(moments(sunday, monday, next_sunday), "week", "month")
    assert found.codes.tolist() == [0, 1, 1]
    assert found.names == ("2013-02-25", "2013-03-04")


def test_days_are_those_of_the_partitions_time_zone() -> None:
    evening, midnight, morning = "2024-07-14T21:59", "2024-07-14T22:00", "2024-07-15T08:00"
    blocks = resampling.blocks(moments(evening, midnight, morning), "day", "month Europe/Berlin")
    assert blocks.codes.tolist() == [0, 1, 1]
    assert blocks.names == ("2024-07-14", "2024-07-15")


def test_times_before_1970_and_out_of_order_are_put_in_their_days() -> None:
    found = resampling.blocks(
        moments("1970-01-01T00:00", "1969-12-31T23:59", "1970-01-01T23:00"), "day", "month"
    )
    assert found.codes.tolist() == [1, 0, 1]
    assert str(found) == "2 days"


def mean_of(values: np.ndarray, blocks: Blocks) -> Statistic:
    sums = np.bincount(blocks.codes, weights=values, minlength=blocks.count)
    sizes = np.bincount(blocks.codes, minlength=blocks.count)
    return Statistic(
        lambda drawn: float((sums * drawn).sum() / (sizes * drawn).sum()),
        blocks.support([np.ones(values.size)]),
    )


def test_the_error_of_a_mean_of_independent_rows_is_the_one_of_the_textbook() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    rows = resampling.blocks(make_times(1000), "none", "month")
    found = resampling.resample([mean_of(values, rows)], rows.count).estimate(0)
    assert found.error == pytest.approx(values.std(ddof=1) / 1000**0.5, rel=0.15)


def test_rows_that_repeat_their_day_know_no_more_than_the_days() -> None:
    each_day = np.random.default_rng(0).normal(size=28)
    days = resampling.blocks(make_times(2800), "auto", "month")
    found = resampling.resample([mean_of(each_day[days.codes], days)], days.count).estimate(0)
    assert found.error == pytest.approx(each_day.std(ddof=1) / 28**0.5, rel=0.15)
    assert found.freedom == pytest.approx(27)


def test_six_days_are_too_few_for_an_interval_and_seven_are_enough() -> None:
    for days, known in ((6, False), (7, True)):
        blocks = resampling.blocks(make_times(700, days), "auto", "month")
        values = np.random.default_rng(0).normal(size=700)
        found = resampling.resample([mean_of(values, blocks)], blocks.count).estimate(0)
        assert found.value is not None
        assert (found.interval(0.95) is not None) is known


def test_few_days_make_a_wider_interval_than_the_normal_distribution() -> None:
    low, high = Estimate(0.0, 1.0, 6).interval(0.95) or (0, 0)
    assert (low, high) == pytest.approx((-2.447, 2.447), abs=0.001)


def test_an_interval_ends_at_the_bounds_of_its_metric() -> None:
    assert Estimate(0.99, 0.1, 20).interval(0.95, 0, 1)[1] == 1  # type: ignore[index]


def test_the_chance_of_a_value_is_small_on_the_far_side_of_its_bound_only() -> None:
    found = Estimate(0.5, 0.01, 27)
    assert found.chance(0.46) < 0.001 < 0.999 < found.chance(0.54)
    assert found.chance(0.54, -1) < 0.001
    assert Estimate(0.5, None, 2).chance(0.1) == 1
    assert (Estimate(0.5, 0.0, 9).chance(0.4), Estimate(0.5, 0.0, 9).chance(0.5)) == (0, 1)


def test_a_value_that_most_draws_leave_undefined_has_no_error() -> None:
    lonely = Statistic(lambda drawn: 1.0 if drawn[0] > 2 else float("nan"), Support(10, 10))
    assert resampling.resample([lonely], 10).estimate(0).error is None


@pytest.mark.parametrize(
    ("sizes", "even", "enough"),
    [
        ([10] * 28, 28.0, True),
        ([10] * 3 + [0] * 25, 3.0, False),
        ([900] + [100 / 27] * 27, 1.23, False),
        ([300] + [700 / 27] * 27, 9.25, True),
        ([20, 9, 12, 8, 15, 11, 9], 6.32, True),
        ([10] * 6, 6.0, False),
        ([0] * 9, 0.0, False),
    ],
)
def test_blocks_count_by_what_they_weigh(sizes: list[float], even: float, enough: bool) -> None:
    days = Blocks(np.arange(len(sizes)), len(sizes), "day")
    found = days.support([np.array(sizes)])
    assert (round(found.even, 2), found.enough) == (pytest.approx(even, abs=0.03), enough)


def test_thirty_independent_rows_are_needed_and_the_class_that_has_fewer_counts() -> None:
    for positives, enough in ((29, False), (30, True)):
        truth = (np.arange(200) < positives).astype(float)
        found = Blocks(np.arange(200), 200, "row").support([truth, 1 - truth])
        assert (found.even, found.enough) == (positives, enough)
