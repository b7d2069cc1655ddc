from __future__ import annotations

import time

import numpy as np
import pytest

from airflow_mlops.domain.policies.gates import Comparison
from airflow_mlops.domain.spec.model import VersusChampion
from airflow_mlops.exceptions import SpecError
from airflow_mlops.learning.statistics import paired, resampling
from scores import make_scores, make_times


def compared(
    truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray, metric: str, *, block: str = "none", days: int = 28, **changes: object
) -> Comparison:  # fmt: skip
    blocks = resampling.blocks(make_times(truth.size, days), block, "month")
    settings = {"blocks": blocks, "confidence": 0.95, **changes}
    return paired.difference(truth, ours, theirs, metric, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", ["none", "auto"])
@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "average_precision", "accuracy"])
def test_the_interval_is_positive_where_ours_is_better_in_either_direction_of_the_metric(
    metric: str, block: str
) -> None:
    truth, good = make_scores(signal=2.0)
    noise = np.random.default_rng(1).permutation(good)
    low, high = compared(truth, good, noise, metric, block=block).interval or (0, 0)
    assert 0 < low < high
    low, high = compared(truth, noise, good, metric, block=block).interval or (0, 0)
    assert low < high < 0


def test_the_interval_covers_the_normal_approximation_of_a_paired_mean() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    ours, theirs = truth + random.normal(size=4000), truth + random.normal(0, 1.05, 4000)
    gains = np.abs(theirs - truth) - np.abs(ours - truth)
    half = 1.96 * gains.std() / 4000**0.5
    found = compared(truth, ours, theirs, "mae")
    assert found.interval == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.15 * half)


def test_delong_and_the_bootstrap_agree_on_independent_rows() -> None:
    truth, ours = make_scores(signal=1.5)
    theirs = make_scores(seed=0, signal=1.0)[1]
    closed, drawn = (compared(truth, ours, theirs, "roc_auc", test=test) for test in ("delong", "bootstrap"))
    assert (closed.how, drawn.how) == ("DeLong", "bootstrap over 2,000 rows")
    assert closed.interval == pytest.approx(drawn.interval, abs=0.003)


def test_delongs_variance_is_that_of_its_pairs() -> None:
    truth, ours = make_scores(200)
    theirs = make_scores(200, seed=1)[1]
    positive, negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)

    def wins(scores: np.ndarray) -> np.ndarray:
        ahead = scores[positive][:, None] - scores[negative][None, :]
        return (ahead > 0) + 0.5 * (ahead == 0)

    gains = wins(ours) - wins(theirs)
    variance = gains.mean(1).var(ddof=1) / positive.size + gains.mean(0).var(ddof=1) / negative.size
    half = 1.959964 * variance**0.5
    found = compared(truth, ours, theirs, "roc_auc").interval
    assert found == pytest.approx((gains.mean() - half, gains.mean() + half), abs=1e-6)


def test_mcnemar_counts_the_rows_that_one_of_the_two_gets_right() -> None:
    truth = np.ones(100)
    ours, theirs = np.ones(100), np.ones(100)
    ours[:5], theirs[5:20] = 0, 0
    found = compared(truth, ours, theirs, "accuracy")
    won, lost = 16 / 102, 6 / 102
    half = 1.959964 * ((won + lost - (won - lost) ** 2) / 102) ** 0.5
    assert (found.how, found.observed, found.baseline) == ("McNemar", 0.95, 0.85)
    assert found.interval == pytest.approx((won - lost - half, won - lost + half), abs=1e-6)


@pytest.mark.parametrize(
    ("metric", "block", "how"),
    [
        ("roc_auc", "none", "DeLong"),
        ("accuracy", "none", "McNemar"),
        ("brier", "none", "bootstrap over 500 rows"),
        ("roc_auc", "auto", "bootstrap over 28 days"),
        ("accuracy", "week", "bootstrap over 5 weeks"),
    ],
)
def test_a_closed_form_is_taken_where_rows_are_independent_and_the_metric_has_one(
    metric: str, block: str, how: str
) -> None:
    truth, ours = make_scores(500)
    assert compared(truth, ours, make_scores(500, seed=1)[1], metric, block=block).how == how


def test_rows_that_depend_on_each_other_tell_less_than_their_number() -> None:
    days = np.random.default_rng(0).normal(0, 0.5, 28)
    rows = resampling.blocks(make_times(2800), "auto", "month")
    truth = np.zeros(2800)
    ours, theirs = np.ones(2800), 1 + days[rows.codes]
    by_row, by_day = (
        compared(truth, ours, theirs, "mae", block=block).interval or (0, 0) for block in ("none", "auto")
    )
    assert by_day[1] - by_day[0] > 3 * (by_row[1] - by_row[0])


def test_too_few_days_give_no_interval_and_say_what_to_do() -> None:
    truth, ours = make_scores(600)
    found = compared(truth, ours, make_scores(600, seed=1)[1], "roc_auc", block="auto", days=3)
    assert found.interval is None
    assert found.observed is not None
    assert "3 days cannot tell" in found.problem
    assert "hold out more" in found.problem


def test_equal_predictions_have_no_difference_at_all() -> None:
    truth, scores = make_scores()
    for metric, block in (("brier", "none"), ("roc_auc", "none"), ("roc_auc", "auto")):
        assert compared(truth, scores, scores, metric, block=block).interval == (0.0, 0.0)


def test_equal_seeds_give_equal_intervals_and_more_confidence_a_wider_one() -> None:
    truth, ours = make_scores(500)
    theirs = make_scores(500, seed=1)[1]
    narrow, again, other, wide = (
        compared(truth, ours, theirs, "brier", **settings).interval or (0, 0)
        for settings in (
            {"confidence": 0.8},
            {"confidence": 0.8},
            {"confidence": 0.8, "seed": 1},
            {"confidence": 0.99},
        )
    )
    assert narrow == again != other
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("labels", [[0, 0, 0], [1], []])
def test_an_undefined_metric_has_no_interval(labels: list[int]) -> None:
    truth = np.array(labels)
    found = compared(truth, np.full(truth.shape, 0.5), np.full(truth.shape, 0.5), "roc_auc")
    assert (found.observed, found.interval) == (None, None)


@pytest.mark.parametrize(
    ("metric", "rows", "positives", "known"),
    [
        ("roc_auc", 1000, 29, False),
        ("roc_auc", 1000, 30, True),
        ("roc_auc", 1000, 971, False),
        ("accuracy", 29, 10, False),
        ("accuracy", 30, 10, True),
        ("brier", 29, 10, False),
        ("brier", 30, 10, True),
        ("average_precision", 1000, 29, False),
    ],
)
def test_thirty_independent_rows_are_needed_of_each_class_where_the_metric_tells_two_apart(
    metric: str, rows: int, positives: int, known: bool
) -> None:
    truth = (np.arange(rows) < positives).astype(int)
    ours, theirs = np.random.default_rng(0).uniform(0.1, 0.9, (2, rows))
    found = compared(truth, ours, theirs, metric)
    assert (found.interval is not None) is known
    assert ("30 are needed" in found.problem) is not known


def test_days_without_a_positive_do_not_count_for_a_curve() -> None:
    truth, ours = make_scores(2800)
    theirs = make_scores(2800, seed=1)[1]
    days = resampling.blocks(make_times(2800), "auto", "month").codes
    for last, known in ((3, False), (7, True)):
        found = compared(np.where(days < last, truth, 0), ours, theirs, "roc_auc", block="auto")
        assert (found.interval is not None) is known
        assert ("of 28 days, the 3 that inform roc_auc cannot tell" in found.problem) is not known


def test_a_day_that_holds_nearly_all_rows_is_not_twenty_eight() -> None:
    truth, ours = make_scores(2000)
    theirs = make_scores(2000, seed=1)[1]
    codes = np.r_[np.zeros(1800, int), 1 + np.arange(200) % 27]
    blocks = resampling.Blocks(codes, 28, "day")
    found = paired.difference(truth, ours, theirs, "brier", blocks=blocks, confidence=0.95)
    assert found.interval is None
    assert "they are worth 1.2 even ones, 5 are needed" in found.problem


@pytest.mark.parametrize(("test", "metric"), [("delong", "brier"), ("mcnemar", "roc_auc")])
def test_a_closed_form_of_another_metric_is_refused_with_the_one_that_it_is_for(
    test: str, metric: str
) -> None:
    truth, scores = make_scores(100)
    with pytest.raises(
        SpecError, match=f"{test} compares (roc_auc|accuracy), and candidates are ranked by {metric}"
    ):
        compared(truth, scores, scores, metric, test=test)


def test_a_closed_form_takes_rows_for_independent_unless_the_spec_names_a_block() -> None:
    times = make_times(100)
    assert paired.blocks(VersusChampion(test="delong"), times, "month").unit == "row"
    assert paired.blocks(VersusChampion(), times, "month").unit == "day"
    with pytest.raises(SpecError, match="write test: bootstrap, or leave block out"):
        paired.blocks(VersusChampion(test="delong", block="day"), times, "month")


def test_thirty_thousand_rows_take_seconds_of_one_processor_at_most() -> None:
    truth, ours = make_scores(30_000)
    theirs = make_scores(30_000, seed=1)[1]
    start = time.process_time()
    compared(truth, ours, theirs, "roc_auc", block="auto")
    assert time.process_time() - start < 3
