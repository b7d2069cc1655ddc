"""How often drift is found where there is none, and where there is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

RUNS = int(os.environ.get("BENCHMARK_RUNS", "200"))
"""Comparisons of two samples in each case; fewer of many columns, or of many rows, see :func:`compare`."""

_NOMINAL = 0.05
_CLASSES = (3, 10, 50, 200, 1_000)
# With this many rows or more, each sample is also the reference of the next, which halves the work to draw and sort.
_LARGE = 100_000


@dataclass(frozen=True)
class Alarms:
    """How often the verdict on a table was FAIL.

    :param shift: of every column, in standard deviations.
    :param tails: whether every column is of categories with a long tail, most of which have a row or two.
    :param classes: whether every column is of classes as a model predicts them, from 3 to 1,000.
    :param any_column: share of comparisons in which any column failed.
    :param interval: Wilson's 95 % interval of ``any_column``.
    :param table: share of them in which the table did, with the policy's default share of columns as its limit.
    """

    work: str
    columns: int
    rows: int
    shift: float
    any_column: float
    interval: tuple[float, float]
    table: float
    comparisons: int
    tails: bool = False
    classes: bool = False

    def line(self) -> str:
        """Return the shares as a JSON object in one line."""
        return json.dumps(asdict(self))


def compare(say: Callable[[str], None]) -> Iterator[Alarms]:
    """Compare samples of the same distribution, then of shifted ones; of numbers, heavy tails, counts and categories.

    :raises RuntimeError: if drift is found where there is none more often than the significance level of 0.05 allows.
    """
    mixed = (
        *((columns, rows, RUNS) for columns in (5, 50) for rows in (100, 1_000, 10_000)),
        *((columns, 100_000, max(RUNS // 10, 1)) for columns in (5, 50)),
        (500, 100, max(RUNS // 2, 1)),
        (500, 1_000, max(RUNS // 4, 1)),
        (500, 10_000, max(RUNS // 20, 1)),
        (500, 100_000, max(RUNS // 10, 1)),
        *((columns, 1_000_000, max(RUNS // 20, 1)) for columns in (5, 50)),
        (500, 1_000_000, max(RUNS // 40, 1)),
    )
    categories = ((5, 1_000, RUNS), (5, 10_000, RUNS), (5, 100_000, max(RUNS // 5, 1)))
    for columns, rows, runs, of in (
        *((*case, {}) for case in mixed),
        *((*case, {"tails": True}) for case in categories),
        *((*case, {"classes": True}) for case in categories),
    ):
        say(f"{columns} columns{''.join(f' of {kind}' for kind in of)}, {rows} rows")
        alarm_rates = alarms(columns, rows, 0.0, runs, **of)
        # Three standard errors of a share of that many.
        limit = _NOMINAL + 3 * (_NOMINAL * (1 - _NOMINAL) / runs) ** 0.5
        if max(alarm_rates.any_column, alarm_rates.table) > limit:
            raise RuntimeError(f"nothing has changed, and drift is found too often: {alarm_rates}")
        yield alarm_rates
    for rows in (100, 500, 1_000, 10_000):
        for shift in (0.1, 0.15, 0.2, 0.3, 0.5):
            say(f"shift {shift}, {rows} rows")
            yield alarms(5, rows, shift, max(RUNS // 2, 1))


def alarms(
    columns: int, rows: int, shift: float, runs: int, *, tails: bool = False, classes: bool = False
) -> Alarms:
    """Compare pairs of samples, and count the alarms."""
    import numpy as np
    from scipy.stats import binomtest

    from airflow_mlops.domain.checks import Verdict
    from airflow_mlops.domain.spec.model import DriftPolicy
    from airflow_mlops.stages.drift import compare as drift

    policy = DriftPolicy(min_rows=min(rows, 500))
    random = np.random.default_rng([columns, rows])
    some = table = 0
    # With a shift, all columns are of normal numbers, on both sides.
    kinds = -1 if classes else 0 if tails else 1 if shift else 5
    before = _sample(random, columns, rows, kinds)
    for run in range(runs):
        now = _sample(random, columns, rows, kinds, shift)
        comparison = drift.compare(before, now, policy=policy, title="", page=False)
        some += any(check.verdict is Verdict.FAIL for check in comparison.columns)
        table += comparison.overall.verdict is Verdict.FAIL
        if run + 1 < runs:
            before = now if rows >= _LARGE and not shift else _sample(random, columns, rows, kinds)
    low, high = binomtest(some, runs).proportion_ci(method="wilson")
    interval = round(float(low), 4), round(float(high), 4)
    rates = some / runs, interval, table / runs
    return Alarms("drift_alarms", columns, rows, shift, *rates, runs, tails, classes)


def _sample(random: Any, columns: int, rows: int, kinds: int, shift: float = 0.0) -> dict[str, Any]:
    """Return the summaries of a sample, whose columns are drawn one by one: the rows of 500 would fill the memory.

    :param kinds: of columns, 1 to 5, 0 for categories with a long tail, or -1 for classes; see :func:`_column`.
    """
    import pyarrow as pa

    from airflow_mlops.learning.summaries import build

    made: dict[str, Any] = {}
    for place in range(columns):
        name, values = _column(random, place, rows, kinds, shift)
        role = {"numeric": (), "categorical": ()} | {"categorical" if name[0] == "c" else "numeric": (name,)}
        made |= build.summarise([pa.table({name: values})], **role)
    return made


def _column(random: Any, place: int, rows: int, kinds: int, shift: float) -> tuple[str, Any]:
    import numpy as np

    if kinds < 0:
        # The second most frequent class has half the rows of the first, the third one a third: Zipf's law.
        weights = 1 / np.arange(1, _CLASSES[place % len(_CLASSES)] + 1)
        return f"class {place}", random.choice(weights.size, rows, p=weights / weights.sum()).astype(str)
    if not kinds:
        # From 2,000 alike to a tail without an end, of which nearly every category is new in each sample.
        tail = (
            random.integers(0, 2_000, rows) if place % 5 == 0 else random.zipf(1.1 + 0.2 * (place % 5), rows)
        )
        return f"category {place}", tail.astype(str)
    match place % kinds:
        case 0 | 1:
            return f"normal {place}", random.normal(shift, 1, rows)
        case 2:
            return f"pareto {place}", random.pareto(1.5, rows)
        case 3:
            return f"poisson {place}", random.poisson(2, rows)
        case _:
            labels = np.array(["a", "b", "c", "d", "e"])
            return f"category {place}", labels[random.choice(5, rows, p=[0.5, 0.3, 0.15, 0.04, 0.01])]
