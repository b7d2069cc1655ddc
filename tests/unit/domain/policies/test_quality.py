"""The budget of error of a stream: how it is spent, what is said, and what it holds, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtr

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.policies import quality
from airflow_mlops.domain.policies.quality import CALIBRATION, DECAY, WORTHLESS, QualityTest
from airflow_mlops.learning.statistics import jackknife

BUDGET = 0.05
STREAMS = 1500


def test_all_looks_and_tests_together_spend_the_budget_and_no_more() -> None:
    looks = sum(8 * quality.level(BUDGET, look, 8) for look in range(1, 10_000))
    assert looks == pytest.approx(BUDGET, rel=1e-3)
    assert looks < BUDGET


def judgement(scored: str, as_of: str, labelled: int, version: str = "1") -> Judgement:
    return Judgement(
        scored=scored, as_of=as_of, model_version=version, model_digest=version, predicted=500, labelled=labelled,
        content="",
    )  # fmt: skip


def test_a_look_is_a_partition_that_brought_labels_whoever_predicted_them() -> None:
    history = [
        judgement("2013-01", "2013-01", 0),
        # A month later there are labels, and in March those of a second version; late labels count too.
        judgement("2013-01", "2013-02", 400),
        judgement("2013-02", "2013-02", 0),
        judgement("2013-01", "2013-03", 410),
        judgement("2013-02", "2013-03", 390, "2"),
        judgement("2013-02", "2013-04", 400, "2"),
    ]
    looks = [quality.look(history, run) for run in ("2013-01", "2013-02", "2013-03", "2013-04", "2013-05")]
    assert looks == [1, 1, 2, 3, 4]
    assert [quality.look(reversed(history), run) for run in ("2013-04", "2013-05")] == [3, 4]


def make_test(chance: float | None, kind: str = DECAY, **changes: object) -> QualityTest:
    facts = {"metric": "log_loss", "beside": "its evaluation at training", "n": 400, "observed": 1.17}
    facts |= {"baseline": 0.36, "worse": 0.81, "chance": chance}
    return QualityTest(kind, **facts | changes)


def test_what_is_shown_says_by_how_much_beside_what_at_which_level_and_look() -> None:
    (check,) = quality.checks([make_test(1e-9)], BUDGET, 3)
    assert (check.name, check.verdict) == ("decay.log_loss", Verdict.FAIL)
    assert check.reason == (
        "log_loss 1.17 is 0.81 worse than the 0.36 of its evaluation at training; p 1e-09 is below 0.0034, the level of look "
        "3 of a budget of 0.05"
    )


def test_of_two_constants_the_one_that_shows_more_is_told_and_both_have_a_part_of_the_level() -> None:
    tests = [make_test(0.02, WORTHLESS, beside="one"), make_test(0.016, WORTHLESS, beside="another")]
    (check,) = quality.checks(tests, BUDGET, 1)
    assert (check.verdict, "of another" in check.reason) == (Verdict.PASS, True)
    assert quality.checks(tests[1:], BUDGET, 1)[0].verdict is Verdict.FAIL


def test_a_small_gain_of_a_recalibration_passes_however_sure_it_is() -> None:
    verdicts = [
        quality.checks([make_test(0.0, CALIBRATION, share=share)], BUDGET, 1)[0].verdict
        for share in (0.02, 0.021)
    ]
    assert verdicts == [Verdict.PASS, Verdict.FAIL]


def bounds(verdict: Verdict) -> Check:
    return Check(name="performance", verdict=verdict, expected="floor", reason="by the bounds")


@pytest.mark.parametrize(
    ("by_bounds", "chances", "bounded", "expected"),
    [
        (Verdict.PASS, [0.5, 1e-9], False, Verdict.FAIL),
        (Verdict.PASS, [0.5, None], False, Verdict.PASS),
        (Verdict.PASS, [None, None], False, Verdict.INCONCLUSIVE),
        (Verdict.PASS, [None, None], True, Verdict.PASS),
        (Verdict.FAIL, [0.5, 0.5], True, Verdict.FAIL),
        (Verdict.INCONCLUSIVE, [0.5, 1e-9], True, Verdict.FAIL),
        (Verdict.INCONCLUSIVE, [], True, Verdict.INCONCLUSIVE),
    ],
)
def test_the_verdict_is_of_the_bounds_and_of_what_could_be_tested(
    by_bounds: Verdict, chances: list[float | None], bounded: bool, expected: Verdict
) -> None:
    kinds = (DECAY, WORTHLESS)
    tests = [make_test(chance, kind, problem="few") for chance, kind in zip(chances, kinds, strict=False)]
    check = quality.performance(bounds(by_bounds), quality.checks(tests, BUDGET, 1), bounded=bounded)
    assert check.verdict is expected
    if expected is Verdict.FAIL and 1e-9 in chances:
        assert "worthless.log_loss: log_loss 1.17 is 0.81 worse than" in check.reason


def dependent_days(
    random: np.random.Generator, shape: tuple[int, ...], remains: float, rows: int = 20
) -> np.ndarray:
    """Return the mean loss of days: squares of errors of rows, with what a day's rows have in common, part of which remains."""
    shared = random.standard_normal(shape)
    for day in range(1, shape[-1]):
        fresh = math.sqrt(1 - remains**2) * shared[..., day]
        shared[..., day] = remains * shared[..., day - 1] + fresh
    return (0.3 * shared + random.chisquare(rows, shape) / rows) / 2


def chances(losses: np.ndarray, beside: np.ndarray | None = None) -> np.ndarray:
    """Return the p-values that mean losses of days are above zero, or above those of other days."""
    parts = []
    for days in (losses,) if beside is None else (losses, beside):
        count = days.shape[-1]
        left_out = (days.sum(axis=-1, keepdims=True) - days) / (count - 1)
        parts.append((days.mean(axis=-1), *jackknife.spread(left_out, count)))
    if beside is None:
        value, error, freedom = parts[0]
    else:
        (now, error, freedom), (then, other, others) = parts
        value, both = now - then, error**2 + other**2
        error, freedom = np.sqrt(both), both**2 / (error**4 / freedom + other**4 / others)
    return stdtr(freedom, -value / error)


@pytest.mark.parametrize("partitions", [12, 24, 48])
@pytest.mark.parametrize(("days", "remains"), [(30, 0.0), (30, 0.3), (24, 0.3), (7, 0.0)])
def test_of_quiet_streams_whose_days_depend_at_most_the_budget_has_any_false_alarm(
    partitions: int, days: int, remains: float
) -> None:
    random = np.random.default_rng(partitions * days)
    shape = (STREAMS, partitions, days)
    # What is worst for the budget: two metrics and a recalibration that are exactly as good as what they are held to.
    held_out = [dependent_days(random, (STREAMS, 1, days), remains) for _ in range(2)]
    losses = [dependent_days(random, shape, remains) for _ in range(2)]
    gains = dependent_days(random, shape, remains) - dependent_days(random, shape, remains)
    chances_by_test = [chances(now, then) for now, then in zip(losses, held_out, strict=True)] + [
        chances(gains)
    ]
    levels = np.array([quality.level(BUDGET, look, 8) for look in range(1, partitions + 1)])
    alarmed = np.any([(chance < levels).any(axis=1) for chance in chances_by_test], axis=0).mean()
    assert alarmed <= BUDGET + 2 * math.sqrt(BUDGET * (1 - BUDGET) / STREAMS)


@pytest.mark.parametrize("since", [1, 6, 24])
def test_a_model_worse_than_a_constant_is_told_within_two_partitions_where_that_excess_has_power(
    since: int,
) -> None:
    random = np.random.default_rng(since)
    noise = dependent_days(random, (STREAMS, 2, 30), 0.0) - dependent_days(random, (STREAMS, 2, 30), 0.0)
    levels = np.array([quality.level(BUDGET, look, 8) for look in (since, since + 1)])
    # The excess at which a normal mean of thirty days is above its bound in 90 % of cases; days are few, hence a fifth more.
    from scipy.special import stdtrit

    error = noise.std() / math.sqrt(30)
    excess = 1.2 * error * (stdtrit(29, 1 - levels[0]) + stdtrit(29, 0.9))
    share_told = (chances(noise + excess) < levels).any(axis=1).mean()
    assert share_told >= 0.9
