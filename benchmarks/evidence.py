"""How often evidence that adds up promotes a candidate that is no better, and one that is better, beside a gate of single looks.

Streams of partitions with known truth: a candidate and a champion predict rows of days that depend on each other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy.stats import t as student

from airflow_mlops.learning.statistics import sequential
from airflow_mlops.learning.statistics.sequential import Gains

DAYS = 30
"""Days of a partition."""
STREAMS = int(os.environ.get("BENCHMARK_TRIALS", "400"))
"""Streams of each case; a rate of 2.5 % is then known to within 1.6 %."""
_CONFIDENCE = 0.95
_WITHIN = (1, 3, 6, 12)


class Case(NamedTuple):
    """A kind of stream.

    :param gain: share of the error in the champion's signal that the candidate does not make: 0 for no better.
    :param rows: of a day.
    :param partitions: that are looked at.
    :param since: look at which it begins to be better.
    """

    name: str
    gain: float
    partitions: int = 12
    rows: int = 100
    since: int = 0


CASES = (
    Case("no better", 0.0, 48, 20),
    *(Case("better", gain) for gain in (0.05, 0.1, 0.2, 0.3)),
    Case("better from the seventh look on", 0.2, 18, since=6),
)


class Rates(NamedTuple):
    """Shares of the streams of a case in which the candidate was promoted.

    :param gain: by how much its Brier score is better, where it is.
    :param sequence: within some looks, by evidence that adds up.
    :param alone: within as many, by single looks at the full error each.
    """

    case: Case
    gain: float
    sequence: dict[int, float]
    alone: dict[int, float]

    def line(self) -> str:
        """Return a line of JSON."""
        case = self.case._asdict()
        facts = {"gain_in_brier": round(self.gain, 5), "adds_up": self.sequence, "single_looks": self.alone}
        return json.dumps({"work": "evidence", "case": case.pop("name"), **case, **facts})


def compare(progress: Callable[[str], object]) -> Iterator[Rates]:
    """Yield the rates of each case."""
    for case in CASES:
        progress(f"{case.name}, {case.gain:g}")
        yield rates(case, STREAMS)


def rates(case: Case, streams: int) -> Rates:
    """Return how often candidates of a case are promoted."""
    random = np.random.default_rng(crc32(repr(case).encode()))
    promoted, alone, gains = [], [], []
    for _ in range(streams):
        before = looks(random, 0.0, case.since, rows=case.rows)
        better = list(looks(random, case.gain, case.partitions - case.since, rows=case.rows))
        stream = [*before, *better]
        gains.append(np.mean([look.rows.gains.mean() for look in better]))
        promoted.append(promoted_at(stream) or np.inf)
        alone.append(next((place for place, hit in enumerate(looked_at_once(stream), 1) if hit), np.inf))
    within = sorted({look for look in _WITHIN if look <= case.partitions} | {case.partitions})
    sequence, single = (
        {look: round(float(np.mean(np.array(first) <= look)), 3) for look in within}
        for first in (promoted, alone)
    )
    return Rates(case, float(np.mean(gains)), sequence, single)


class Look(NamedTuple):
    """The rows of one partition: what the candidate gains, and the day of each."""

    rows: Gains
    days: np.ndarray

    @property
    def chance(self) -> float:
        """One-sided p-value of the mean difference of a day, as a single look has it."""
        sums = np.bincount(self.days, weights=self.rows.gains)
        return float(student.sf(sums.mean() / (sums.std(ddof=1) / np.sqrt(DAYS)), DAYS - 1))


def looks(
    random: np.random.Generator, gain: float, count: int, *, rows: float = 10, swing: float = 0.3
) -> Iterator[Look]:
    """Yield partitions of :data:`DAYS` days.

    :param gain: share of the error in the champion's signal that the candidate does not make: 0 for no better.
    :param rows: of a day.
    :param swing: by how much the signal, and the error of each model, differ from day to day.
    """
    days = np.repeat(np.arange(DAYS), int(rows))
    for _ in range(count):
        signal, ours, theirs = (
            random.normal(scale=scale, size=days.size) + random.normal(scale=swing, size=DAYS)[days]
            for scale in (1.0, 0.5, 0.5)
        )
        truth = random.random(days.size) < _sigmoid(1.2 * signal - 1)
        candidate = _sigmoid(signal + (1 - gain) * ours - 1)
        yield Look(sequential.brier(truth, candidate, _sigmoid(signal + theirs - 1)), days)


def promoted_at(stream: Sequence[Look]) -> int | None:
    """Return the look at which the gate promotes whose evidence adds up; None if none of them does."""
    evidence, share = 1.0, (1 - _CONFIDENCE) / 4
    for place, look in enumerate(stream):
        evidence = sequential.added(evidence, place, [sequential.factor(look.rows, look.days)])
        if evidence >= sequential.needed(_CONFIDENCE) or (place == 0 and look.chance < share):
            return place + 1
    return None


def looked_at_once(stream: Sequence[Look]) -> list[bool]:
    """Return for each look whether it would promote by itself, as the gate does whose evidence does not add up."""
    return [look.chance < (1 - _CONFIDENCE) / 2 for look in stream]


def _sigmoid(values: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray = 1 / (1 + np.exp(-values))
    return probabilities
