"""How often the champion gate promotes a candidate that is no better, and one that is better by a certain amount."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pyarrow as pa
from scipy.special import stdtrit

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies import gates
from airflow_mlops.domain.spec.model import ClassGates, VersusChampion
from airflow_mlops.learning.statistics import by_class, paired
from airflow_mlops.learning.statistics.resampling import Blocks
from airflow_mlops.learning.statistics.slices import Judged

TRIALS = int(os.environ.get("BENCHMARK_TRIALS", "2000"))
"""Evaluations of each case; a rate of 2.5 % is then known to within 0.7 %."""

_MARGIN, _CONFIDENCE = 0.0, 0.95
NOMINAL = round((1 - _CONFIDENCE) / 2, 4)
"""How often a candidate that is no better may pass: the interval leaves the same share below itself as above."""
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Case:
    """A kind of holdout, and a gate.

    :param gain: how much better the candidate is in truth, in units of its signal; 0 for no better.
    :param days: how many days the rows come from.
    :param swing: by how much each model's signal differs from day to day, on its own: 0 for independent rows.
    :param block: the gate's setting.
    :param positive_days: on how many of the days labels of 1 occur at all; None for each.
    :param heavy: share of the rows that the first day has; None for about as many as each other day.
    :param positive_share: how many of the rows have the label 1.
    :param classes: how many classes there are, the last of them rare; two have probabilities of one.
    :param echo: how much of a day's swing comes from the day before: 0 for days that are independent of each other.
    """

    name: str
    metric: str = "roc_auc"
    gain: float = 0.0
    rows: int = 5_000
    days: int = 28
    swing: float = 0.0
    block: str = "auto"
    positive_days: int | None = None
    heavy: float | None = None
    echo: float = 0.0
    positive_share: float = 0.25
    classes: int = 2


_DEPENDENT, _STRONG = 0.25, 0.5
CASES = (
    Case("no better, independent rows, DeLong", block="none"),
    Case("no better, independent rows, McNemar", "accuracy", block="none"),
    Case("no better, independent rows, bootstrap", "brier", block="none"),
    Case("no better, 28 dependent days", swing=_DEPENDENT),
    Case("no better, 28 dependent days, log_loss", "log_loss", swing=_DEPENDENT),
    Case("no better, 7 dependent days", days=7, swing=_DEPENDENT),
    Case("no better, 28 dependent days taken for independent rows", swing=_DEPENDENT, block="none"),
    *(
        Case(f"no better, labels of 1 on {days} of 28 days", rows=2_000, swing=_STRONG, positive_days=days)
        for days in (2, 3, 7, 10)
    ),
    *(
        Case(
            f"no better, one of 28 days has {share:.0%} of the rows",
            "brier",
            rows=2_000,
            swing=_STRONG,
            heavy=share,
        )
        for share in (0.3, 0.9)
    ),
    Case("no better, each of 28 days resembles the one before", "brier", rows=2_000, swing=_STRONG, echo=0.7),
    Case("no better, DeLong, 0.3 % have the label 1", rows=2_000, positive_share=0.003, block="none"),
    Case("no better, DeLong, 2 % have the label 1", rows=2_000, positive_share=0.02, block="none"),
    *(
        Case(f"no better, {classes} classes, 28 dependent days", metric, swing=_DEPENDENT, classes=classes)
        for classes in (5, 20)
        for metric in ("log_loss", "f1")
    ),
    Case("no better, 5 classes, independent rows", "accuracy", block="none", classes=5),
    *(
        Case("better, independent rows, DeLong", gain=0.1, rows=rows, block="none")
        for rows in (2_000, 5_000, 20_000)
    ),
    *(Case("better, 28 dependent days", gain=0.1, rows=rows, swing=_DEPENDENT) for rows in (5_000, 20_000)),
    Case("better, 112 dependent days", gain=0.1, rows=20_000, days=112, swing=_DEPENDENT),
)


@dataclass(frozen=True)
class Rate:
    """How often the gate of a case promoted, and how often it failed.

    :param gain: mean improvement that was measured, in units of the metric.
    """

    case: Case
    promoted: float
    failed: float
    gain: float

    def line(self) -> str:
        """Return a JSON object in one line."""
        return json.dumps(
            {
                "work": "gates",
                "case": self.case.name,
                "metric": self.case.metric,
                "rows": self.case.rows,
                "improvement": round(self.gain, 4),
                "promoted": round(self.promoted, 4),
                "nominal": NOMINAL if not self.case.gain else None,
                "failed": round(self.failed, 4),
                "inconclusive": round(1 - self.promoted - self.failed, 4),
                "evaluations": TRIALS,
            }
        )


@dataclass(frozen=True)
class Alarms:
    """How often the gate ``classes`` failed a candidate of which every class is as good as its floor, or as under the champion."""

    classes: int
    rows: int
    floor: float
    loss: float
    uncorrected: float
    evaluations: int

    def line(self) -> str:
        """Return a JSON object in one line."""
        rates = {name: round(getattr(self, name), 4) for name in ("floor", "loss", "uncorrected")}
        return json.dumps(
            {
                "work": "gates", "case": f"classes, {self.classes} as good as their floor and the champion's",
                "rows": self.rows, **rates, "nominal": round(1 - _CONFIDENCE, 4), "evaluations": self.evaluations,
            }
        )  # fmt: skip


def compare(say: Callable[[str], None]) -> Iterator[Rate | Alarms]:
    """Judge many simulated candidates case by case."""
    for case in CASES:
        yield rate(case, TRIALS, say)
    for classes in (3, 10, 30):
        yield alarms(classes, max(TRIALS // 5, 1), say)


def alarms(classes: int, trials: int, say: Callable[[str], None] = lambda _: None) -> Alarms:
    """Judge models whose every class has a recall of 0.8 on average, more on some days than on others."""
    random = np.random.default_rng(classes)
    rows, gate = (
        300 * classes,
        ClassGates(floor={"recall": 0.8}, loss={"recall": 0.0}, confidence=_CONFIDENCE),
    )
    names = [str(code) for code in range(classes)]
    failed = np.zeros(3)
    for trial in range(trials):
        if trial % 20 == 0:
            say(f"{classes} classes, {trial} of {trials}")
        day, truth = random.integers(0, 28, rows), random.integers(0, classes, rows)
        ours, theirs = (_recalled(random, day, truth, classes) for _ in range(2))
        judged = Judged(pa.table({}), truth, ours, Blocks(day, 28, "day"))
        floors = by_class.floors(gate, judged, names)
        losses = by_class.losses(gate, judged, theirs, names)
        failed += [_any_fails(floors), _any_fails(losses), any(_below(check) for check in floors)]
    return Alarms(classes, rows, *(failed / trials), evaluations=trials)


def _recalled(random: np.random.Generator, day: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    share = np.clip(0.8 + 0.08 * random.normal(size=28), 0, 1)
    put = np.where(random.random(truth.size) < share[day], truth, (truth + 1) % classes)
    return np.eye(classes)[put]


def _below(check: Check) -> bool:
    """Tell whether the upper end of an interval of 90 %, as one for each class alone would be, lies below the floor."""
    assert check.interval is not None
    assert check.observed is not None
    half = (check.interval[1] - check.observed) * stdtrit(27, 0.95) / stdtrit(27, 0.975)
    return bool(check.observed + half < 0.8)


def _any_fails(checks: Sequence[Check]) -> bool:
    return any(check.verdict is Verdict.FAIL for check in checks)


def rate(case: Case, trials: int, say: Callable[[str], None] = lambda _: None) -> Rate:
    """Judge simulated candidates of one case, and count what the gate says."""
    random = np.random.default_rng(crc32(case.name.encode()))
    gate = VersusChampion(margin=_MARGIN, confidence=_CONFIDENCE, block=case.block)  # type: ignore[arg-type]
    verdicts, gains = [], []
    for trial in range(trials):
        if trial % 100 == 0:
            say(f"{case.name}, {trial} of {trials}")
        times, truth, ours, theirs = (_holdout if case.classes == 2 else _of_many)(case, random)
        blocks = paired.blocks(gate, times, "month")
        comparison = paired.difference(
            truth, ours, theirs, case.metric, blocks=blocks, confidence=gate.confidence, test=gate.test
        )
        check = gates.versus_champion(case.metric, comparison, gate.margin, truth.size)
        verdicts.append(check.verdict)
        gains.append((comparison.observed or 0.0) - (comparison.baseline or 0.0))
    shares = [verdicts.count(verdict) / trials for verdict in (Verdict.PASS, Verdict.FAIL)]
    return Rate(case, *shares, gain=abs(float(np.mean(gains))))


def _holdout(
    case: Case, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return times, labels, and what candidate and champion predict: alike, each with some noise of its own."""
    day = np.sort(random.choice(case.days, case.rows, p=_weights(case)))
    start = np.datetime64("2013-03-01", "s")
    times = start + (day * _SECONDS_A_DAY + random.integers(0, _SECONDS_A_DAY, case.rows)).astype(
        "timedelta64[s]"
    )
    # Some days have more late flights than others.
    share = case.positive_share * np.clip(1 + 1.6 * case.swing * random.normal(size=case.days), 0.2, 2.4)
    if case.positive_days is not None:
        share[random.permutation(case.days)[case.positive_days :]] = 0
    truth = (random.random(case.rows) < share[day]).astype(int)
    common = random.normal(size=case.rows)
    predicted = []
    for gain in (case.gain, 0.0):
        signal = 1.0 + gain + case.swing * _days(case, random)
        score = signal[day] * (truth - 0.25) + 0.8 * common + 0.6 * random.normal(size=case.rows) - 1.2
        predicted.append(1 / (1 + np.exp(-score)))
    return times, truth, predicted[0], predicted[1]


def _of_many(
    case: Case, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return times, classes, and the probabilities of each that candidate and champion predict: alike, each with its own noise."""
    times, _, _, _ = _holdout(case, random)
    day = np.unique(times.astype("datetime64[D]"), return_inverse=True)[1]
    # Each class is as frequent as the others but for the last, which has a fifth of their rows.
    share = np.r_[np.full(case.classes - 1, 5.0), 1.0]
    truth = random.choice(case.classes, case.rows, p=share / share.sum())
    one_hot = np.eye(case.classes)[truth]
    common = random.normal(size=one_hot.shape)
    predicted = []
    for gain in (case.gain, 0.0):
        signal = 1.5 + gain + case.swing * random.normal(size=case.days)
        scores = signal[day, None] * one_hot + 0.8 * common + 0.6 * random.normal(size=one_hot.shape)
        likely = np.exp(scores)
        predicted.append(likely / likely.sum(axis=1, keepdims=True))
    return times, truth, predicted[0], predicted[1]


def _weights(case: Case) -> np.ndarray:
    weights = np.full(case.days, 1 / case.days)
    if case.heavy is not None:
        weights[0], weights[1:] = case.heavy, (1 - case.heavy) / (case.days - 1)
    return weights


def _days(case: Case, random: np.random.Generator) -> np.ndarray:
    """Return a deviation for each day, of which ``echo`` comes from the day before; all have the variance 1."""
    deviations = random.normal(size=case.days)
    for place in range(1, case.days):
        deviations[place] = case.echo * deviations[place - 1] + (1 - case.echo**2) ** 0.5 * deviations[place]
    return deviations
