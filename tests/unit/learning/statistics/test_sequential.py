from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from benchmarks.evidence import DAYS, looked_at_once, looks, promoted_at
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.learning.statistics import measures, sequential
from airflow_mlops.learning.statistics.sequential import Gains

EACH = st.floats(0, 1)


@given(st.lists(st.tuples(EACH, EACH, st.booleans()), min_size=1, max_size=30))
def test_gains_are_differences_of_the_brier_score(rows: list[tuple[float, float, bool]]) -> None:
    ours, theirs, truth = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    gains = sequential.brier(truth, ours, theirs).gains
    our_score, their_score = (
        measures.measure("brier", truth, predicted) or 0.0 for predicted in (ours, theirs)
    )
    assert gains.mean() == pytest.approx(their_score - our_score, abs=1e-12)


def test_two_classes_and_their_columns_gain_the_same() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 50)
    ours, theirs = random.random(50), random.random(50)
    columns = [np.stack([1 - positive, positive], axis=1) for positive in (ours, theirs)]
    for one, other in zip(
        sequential.brier(truth, ours, theirs), sequential.brier(truth, *columns), strict=True
    ):
        assert one == pytest.approx(other)


def test_an_error_of_a_value_counts_up_to_a_clip() -> None:
    truth, ours, theirs = np.array([0.0, 0.0]), np.array([1.0, 5.0]), np.array([2.0, 1000.0])
    rows = sequential.squared(truth, ours, theirs, spread=2.0)
    assert rows.gains.tolist() == [4 - 1, 36 - 25]


def test_models_that_predict_the_same_neither_win_nor_lose() -> None:
    predicted = np.full(40, 0.3)
    rows = sequential.brier(np.ones(40), predicted, predicted)
    assert sequential.factor(rows, np.arange(40)) == 1.0
    assert sequential.added(1.0, 0, [1.0, 1.0]) == 1.0


@given(
    gains=st.lists(st.floats(-1, 1), min_size=1, max_size=8),
    variance=st.floats(0.001, 1),
)
def test_a_fair_block_is_a_fair_bet(gains: list[float], variance: float) -> None:
    """Whatever the blocks before were, one that may be as good as it may be bad multiplies by 1 in the mean."""
    before, variances = np.array(gains), np.full(len(gains) + 1, variance)
    codes = np.arange(len(gains) + 1)
    ends = [sequential.factor(Gains(np.append(before, last), variances), codes) for last in (0.25, -0.25)]
    without = sequential.factor(Gains(before, variances[1:]), codes[1:] - 1)
    assert np.mean(ends) == pytest.approx(without, rel=1e-9)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=20))
def test_what_is_kept_back_is_never_lost(factors: list[float]) -> None:
    assert sequential.added(1.0, 0, factors) >= 1 / (len(factors) + 1)
    # In pieces as at once.
    first = sequential.added(1.0, 0, factors[:1])
    assert sequential.added(first, 1, factors[1:]) == pytest.approx(sequential.added(1.0, 0, factors))


def test_a_recipe_that_was_worse_for_long_makes_up_for_it_once_it_is_better() -> None:
    worse = sequential.added(1.0, 0, [0.1] * 12)
    assert sequential.added(worse, 12, [50.0, 50.0, 50.0]) > 80


@pytest.mark.parametrize(("confidence", "expected"), [(0.95, 80), (0.9, 40)])
def test_half_of_the_error_is_left_to_the_first_look(confidence: float, expected: float) -> None:
    assert sequential.needed(confidence) == pytest.approx(expected)


def test_evidence_stays_a_number_however_many_blocks_speak_for_it() -> None:
    rows = Gains(np.full(5000, 0.5), np.full(5000, 0.2))
    assert sequential.factor(rows, np.arange(5000)) == pytest.approx(sequential.MOST)
    assert sequential.added(1.0, 0, [1e9] * 3) == sequential.MOST


def test_row_weights_count() -> None:
    random = np.random.default_rng(1)
    truth, codes = random.integers(0, 2, 300), np.repeat(np.arange(30), 10)
    rows = sequential.brier(truth, random.random(300), random.random(300))
    twice = sequential.factor(rows, codes, np.full(300, 2.0))
    assert twice == pytest.approx(sequential.factor(rows, codes))
    none = np.where(codes < 15, 1.0, 0.0)
    half = codes < 15
    kept = sequential.factor(Gains(rows.gains[half], rows.variances[half]), codes[half])
    assert sequential.factor(rows, codes, none) == pytest.approx(kept)


def outcomes(
    gain: float, count: int, streams: int, **changes: float
) -> Iterator[tuple[int | None, list[bool]]]:
    random = np.random.default_rng(7)
    for _ in range(streams):
        stream = list(looks(random, gain, count, **changes))
        yield promoted_at(stream), looked_at_once(stream)


@pytest.mark.slow
def test_in_48_looks_no_more_than_the_nominal_share_of_candidates_that_are_no_better_is_promoted() -> None:
    measured = list(outcomes(0.0, 48, 250))
    sequence = np.mean([at is not None for at, _ in measured])
    assert sequence <= 0.025
    # What looking again and again by the interval of one look comes to.
    assert np.mean([any(single) for _, single in measured]) > 0.3


@pytest.mark.slow
def test_evidence_of_several_looks_has_more_power_than_one_look_and_little_less_at_the_first() -> None:
    measured = list(outcomes(0.2, 6, 200, rows=100))
    first = np.mean([at == 1 for at, _ in measured])
    by_six = np.mean([at is not None for at, _ in measured])
    once = np.mean([single[0] for _, single in measured])
    assert once - 0.15 < first <= once < 0.6
    assert by_six > once + 0.3


def test_blocks_without_a_row_are_no_bets() -> None:
    rows = Gains(np.full(20, 0.1), np.full(20, 0.2))
    far = np.where(np.arange(20) < 10, 0, DAYS)
    near = np.where(np.arange(20) < 10, 0, 1)
    assert sequential.factor(rows, far) == sequential.factor(rows, near)
