"""What a policy came to on a stream: quality beside never training again and the best fixed policy, trainings and alarms."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.metrics import PROPER, Task
from airflow_mlops.domain.spec.replay import CURRENT, NEVER
from airflow_mlops.learning.statistics import series

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.replay import Point, Replay
    from benchmarks.streams.kinds import Stream

_TOLD_WITHIN = 2


@dataclass(frozen=True)
class Gap:
    """How much of the distance from never training again to the best fixed policy a policy has closed, in one score.

    :param best: name of that policy: the one of the best mean.
    :param distance: mean gain of the best policy over never, positive if better, with its 95 % interval over partitions.
    :param gain: mean gain of this policy over never, with its interval.
    :param closed: share of the distance that is closed, with its interval; None where the distance does not exceed its noise.
    :param worst: mean gain in the quarter of the partitions in which this policy is worst.
    """

    score: str
    best: str
    distance: tuple[float, float, float]
    gain: tuple[float, float, float]
    closed: tuple[float, float, float] | None
    worst: float


@dataclass(frozen=True)
class Outcome:
    """One policy on one stream of one length.

    :param trainings: partitions in which it trained.
    :param false_alarms: alarms of quality while nothing had become worse since the champion learned, and it was not worthless.
    :param delays: partitions from each change to the alarm of quality that followed; None where there was none before the champion
        had learned from rows after the change, or the next change came.
    :param worthless: partitions in which the champion was worse than the mean of the labels before it, in the proper score.
    :param untold: those of them for which there was no alarm of quality within two partitions.
    :param regret: mean loss to the oracle in the metric that models are ranked by, and in the proper score of the same models.
    """

    stream: str
    length: int
    held_out: bool
    policy: str
    trainings: int
    promotions: int
    alarms: int
    false_alarms: int
    delays: tuple[int | None, ...]
    worthless: int
    untold: int
    regret: tuple[float, float]
    ranking: Gap
    proper: Gap

    def line(self) -> str:
        """Return the outcome as a JSON object in one line."""
        return json.dumps({"work": "streams", **_rounded(asdict(self))})


def outcomes(stream: Stream, length: int, replay: Replay, naive: Sequence[float]) -> list[Outcome]:
    """Return what each policy came to.

    :param naive: mean of the labels through each partition, by the proper score's terms: see :func:`constants`.
    """
    scores = (replay.metric, PROPER[Task(stream.task)])
    gains = {
        name: [_gains(points, replay.points[NEVER], score) for score in scores]
        for name, points in replay.points.items()
    }
    oracle = [series.values(replay.oracle, score) for score in scores]
    return [_outcome(stream, length, name, replay, gains, oracle, naive) for name in replay.points]


def _outcome(
    stream: Stream,
    length: int,
    name: str,
    replay: Replay,
    gains: dict[str, list[np.ndarray]],
    oracle: list[np.ndarray],
    naive: Sequence[float],
) -> Outcome:
    points = replay.points[name]
    scores = (replay.metric, PROPER[Task(stream.task)])
    alarms = [point.performance is Verdict.FAIL for point in points]
    learned = [-1 if point.model is None else replay.partitions.index(point.model) for point in points]
    worse = _worse(stream, length, learned)
    losses = -series.values(points, scores[1])
    worthless = [bool(loss > naive[place]) for place, loss in enumerate(losses)]
    ranking, proper = (_gap(name, gains, place, score) for place, score in enumerate(scores))
    return Outcome(
        stream=stream.name,
        length=length,
        held_out=stream.held_out,
        policy=name,
        trainings=sum(point.retrain for point in points),
        promotions=sum(point.action is Action.PROMOTED for point in points),
        alarms=sum(alarms),
        false_alarms=sum(
            alarm and not bad and not useless
            for alarm, bad, useless in zip(alarms, worse, worthless, strict=True)
        ),
        delays=_delays(stream, length, learned, alarms),
        worthless=sum(worthless),
        untold=sum(
            bad and not any(alarms[place : place + _TOLD_WITHIN + 1]) for place, bad in enumerate(worthless)
        ),
        regret=tuple(
            float(np.nanmean(best - series.values(points, score)))
            for best, score in zip(oracle, scores, strict=True)
        ),  # type: ignore[arg-type]
        ranking=ranking,
        proper=proper,
    )


def constants(stream: Stream, labels: Sequence[Sequence[Any]]) -> list[float]:
    """Return, by partition, the proper loss of the mean of all labels before it: a model that has learned nothing else.

    :param labels: of each partition; None where there is none.
    """
    losses, before = [math.inf], [*_there(labels[0])]
    for later in labels[1:]:
        rows = _there(later)
        if stream.task == "regression":
            losses.append(float(np.mean((np.array(rows) - np.mean(before)) ** 2)))
        else:
            names, counts = np.unique([str(label) for label in before], return_counts=True)
            share = dict(zip(names, counts / counts.sum(), strict=True))
            losses.append(float(-np.mean([math.log(share.get(str(label), 1e-15)) for label in rows])))
        before.extend(rows)
    return losses


def _there(labels: Sequence[Any]) -> list[Any]:
    return [label for label in labels if label is not None]


def _gains(points: Sequence[Point], never: Sequence[Point], score: str) -> np.ndarray:
    gains: np.ndarray = series.values(points, score) - series.values(never, score)
    return gains


def _gap(name: str, gains: dict[str, list[np.ndarray]], place: int, score: str) -> Gap:
    there = ~np.isnan(gains[NEVER][place])
    by_policy = {policy: parts[place][there] for policy, parts in gains.items()}
    fixed = {policy: values for policy, values in by_policy.items() if policy != CURRENT}
    best = max(fixed, key=lambda policy: float(np.nan_to_num(fixed[policy]).mean()))
    own, ahead = np.nan_to_num(by_policy[name]), np.nan_to_num(by_policy[best])
    draws = series.draws(own.size)
    distances, means = ahead[draws].mean(axis=1), own[draws].mean(axis=1)
    distance, gain = (
        series.interval(float(ahead.mean()), distances),
        series.interval(float(own.mean()), means),
    )
    closed = None
    if distance[1] > 0:
        some = distances > 0
        closed = series.interval(gain[0] / distance[0], means[some] / distances[some])
    worst = float(np.sort(own)[: max(1, own.size // 4)].mean())
    return Gap(score, best, distance, gain, closed, worst)


def _changes(stream: Stream, length: int) -> list[int]:
    return [math.ceil(change * length) for change in stream.changes or ()]


def _worse(stream: Stream, length: int, learned: Sequence[int]) -> list[bool]:
    """Tell of each partition whether something had become worse since its model learned."""
    if stream.changes is None:
        return [True] * length
    changes = _changes(stream, length)
    return [any(through < change <= place for change in changes) for place, through in enumerate(learned)]


def _delays(
    stream: Stream, length: int, learned: Sequence[int], alarms: Sequence[bool]
) -> tuple[int | None, ...]:
    changes = _changes(stream, length)
    delays: list[int | None] = []
    for change, following in pairwise([*changes, length]):
        alarmed = (place for place in range(change, following) if alarms[place] and learned[place] < change)
        first = next(alarmed, None)
        delays.append(None if first is None else first - change)
    return tuple(delays)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return value
