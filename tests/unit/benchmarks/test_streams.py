from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks.streams import figures, replays, table
from benchmarks.streams.catalogue import LENGTHS, STREAMS
from benchmarks.streams.kinds import Stream

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.replay import Point, Replay, Served
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.spec.model import ModelSpec

JUMP = Stream("jump", lambda random, over, count: {}, (0.5,))
MONTHS = tuple(month.key for month in replays.partitions(8))


def point(month: str, model: str | None, auc: float, alarm: bool = False, **facts: Any) -> Point:
    return Point(
        partition=month,
        model=model,
        quality={"roc_auc": auc, "log_loss": 1 - auc} if model else {},
        degraded=False,
        drift=Verdict.PASS,
        performance=Verdict.FAIL if alarm else Verdict.PASS,
        health=Verdict.PASS,
        why="",
        reason="",
        **{"retrain": False, "action": Action.KEPT, **facts},
    )


def replay_of(**points: list[Point]) -> Replay:
    return Replay(
        model="stream",
        metric="roc_auc",
        floor={},
        grain="month",
        partitions=MONTHS,
        summaries=(),
        points={name: tuple(of_policy) for name, of_policy in points.items()},
        oracle=tuple(
            Served(partition=month, model="m", quality={"roc_auc": 0.9, "log_loss": 0.1}) for month in MONTHS
        ),
    )


def quality(values: list[float], learned: list[int], alarms: tuple[int, ...] = ()) -> list[Point]:
    models = [MONTHS[place] if place >= 0 else None for place in learned]
    return [
        point(month, model, value, place in alarms)
        for place, (month, model, value) in enumerate(zip(MONTHS, models, values, strict=True))
    ]


FIRST = [-1, 0, 0, 0, 0, 0, 0, 0]


def test_the_share_of_the_gap_is_that_to_the_best_fixed_policy() -> None:
    never = quality([0.8] * 4 + [0.6] * 4, FIRST)
    best = quality([0.8] * 4 + [0.6, 0.8, 0.8, 0.8], [-1, 0, 0, 0, 0, 4, 5, 6])
    half = quality([0.8] * 4 + [0.6, 0.7, 0.7, 0.7], [-1, 0, 0, 0, 0, 4, 4, 4])
    replay = replay_of(never=never, every_partition=best, current=half)
    by_policy = {outcome.policy: outcome for outcome in figures.outcomes(JUMP, 8, replay, [np.inf] * 8)}
    ranking = by_policy["current"].ranking
    assert ranking.best == "every_partition"
    assert ranking.distance[0] == pytest.approx(0.6 / 7)
    assert ranking.gain[0] == pytest.approx(0.3 / 7)
    assert by_policy["current"].proper.gain[0] == pytest.approx(0.3 / 7)
    if ranking.closed:
        assert ranking.closed == pytest.approx((0.5, 0.5, 0.5))
    assert by_policy["never"].ranking.gain == (0, 0, 0)
    assert by_policy["never"].regret[0] == pytest.approx((3 * 0.1 + 4 * 0.3) / 7)


def test_a_gap_that_does_not_exceed_its_noise_is_no_claim() -> None:
    random = np.random.default_rng(0)
    never = quality([0.8] * 8, FIRST)
    noisy = quality([0.8 + value for value in random.normal(0, 0.05, 8)], FIRST)
    ranking = figures.outcomes(JUMP, 8, replay_of(never=never, current=noisy), [np.inf] * 8)[1].ranking
    assert ranking.closed is None


def test_alarms_count_as_false_only_while_nothing_has_become_worse() -> None:
    alarmed = quality([0.8] * 8, [-1, 0, 0, 0, 0, 0, 5, 5], alarms=(2, 5, 7))
    [outcome] = figures.outcomes(JUMP, 8, replay_of(never=alarmed), [np.inf] * 8)
    assert (outcome.alarms, outcome.false_alarms, outcome.delays) == (3, 2, (1,))
    silent = quality([0.8] * 8, FIRST, alarms=(1,))
    [outcome] = figures.outcomes(JUMP, 8, replay_of(never=silent), [np.inf] * 8)
    assert outcome.delays == (None,)


def test_a_stream_in_which_nothing_changes_has_no_delays_and_its_alarms_are_false() -> None:
    quiet = Stream("quiet", lambda random, over, count: {}, ())
    points = quality([0.8] * 8, FIRST, alarms=(3, 5))
    [outcome] = figures.outcomes(quiet, 8, replay_of(never=points), [1.0] * 8)
    assert (outcome.alarms, outcome.false_alarms, outcome.delays) == (2, 2, ())
    # One that is worse than the mean of the labels is worth an alarm, whatever has changed.
    [outcome] = figures.outcomes(quiet, 8, replay_of(never=points), [0.1] * 8)
    assert (outcome.alarms, outcome.false_alarms) == (2, 0)


def test_a_model_that_is_worse_than_a_constant_is_told_within_two_partitions_or_counted() -> None:
    points = quality([0.8, 0.8, 0.2, 0.8, 0.8, 0.2, 0.2, 0.2], FIRST, alarms=(4,))
    [outcome] = figures.outcomes(JUMP, 8, replay_of(never=points), [0.5] * 8)
    assert (outcome.worthless, outcome.untold) == (4, 3)


def test_the_table_has_a_row_of_the_defaults_for_each_stream() -> None:
    trained = [{"retrain": True, "action": Action.PROMOTED}, *([{}] * 7)]
    every = [point(month, month, 0.8, retrain=True) for month in MONTHS]
    never = quality([0.8] * 4 + [0.5] * 4, FIRST)
    current = [
        point(month, MONTHS[0], 0.8, place == 5, **facts)
        for place, (month, facts) in enumerate(zip(MONTHS, trained, strict=True))
    ]
    replay = replay_of(never=never, every_partition=every, current=current, former_defaults=never)
    lines = ["a word", *(outcome.line() for outcome in figures.outcomes(JUMP, 8, replay, [0.3] * 8))]
    [row] = table.rows(lines)
    assert row[:3] == ("jump", "8", "1 of 8 (12%)")
    assert row[3].startswith("1.00 [1.00, 1.00] of 0.1714")
    assert row[6:] == ("0", "1", "0, 0", "4")


def test_the_constant_has_learned_from_the_partitions_before() -> None:
    losses = figures.constants(JUMP, [[True, False], [True, None], [False, False]])
    assert losses == [np.inf, pytest.approx(np.log(2)), pytest.approx(-np.log(1 / 3))]
    numbers = Stream("numbers", JUMP.draw, task="regression")
    assert figures.constants(numbers, [[1.0, 3.0], [2.0, 5.0]]) == [np.inf, pytest.approx(4.5)]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_each_partition_is_drawn_alike_whatever_was_drawn_before(stream: Stream) -> None:
    length = LENGTHS[0]
    later = replays.drawn(stream, length, 7)
    replays.drawn(stream, length, 0)
    again = replays.drawn(stream, length, 7)
    assert {len(column) for column in later.values()} == {len(later["y"])}
    assert all((np.asarray(later[name]) == np.asarray(again[name])).mean() > 0.09 for name in later)
    assert len({str(label) for label in later["y"]}) > 1
    ModelSpec.from_dict(replays.spec_of(stream))
    assert [policy.name for policy in replays.policies(stream)][:3] == ["current", "never", "every_partition"]


def test_half_of_the_streams_are_held_out() -> None:
    assert len(STREAMS) >= 12
    assert sum(stream.held_out for stream in STREAMS) * 2 == len(STREAMS)
