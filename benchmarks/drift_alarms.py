"""How often drift is found where there is none, and where there is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

RUNS = int(os.environ.get("BENCHMARK_RUNS", "200"))
"""Comparisons of two samples in each case; a tenth of them where they have 100,000 rows or more."""

_NOMINAL = 0.05


@dataclass(frozen=True)
class Alarms:
    """How often the verdict on a table was FAIL.

    :param shift: of every column, in standard deviations.
    :param any_column: share of comparisons in which any column failed.
    :param table: share of them in which the table did, with a third of the columns as its limit.
    """

    work: str
    columns: int
    rows: int
    shift: float
    any_column: float
    table: float
    comparisons: int

    def line(self) -> str:
        """Return the shares as a JSON object in one line."""
        return json.dumps(asdict(self))


def compare(say: Callable[[str], None]) -> Iterator[Alarms]:
    """Compare samples of the same distribution, then of shifted ones; of numbers, heavy tails, counts and categories.

    :raises RuntimeError: if drift is found where there is none more often than the significance level of 0.05 allows.
    """
    for columns, rows, runs in (
        *((columns, rows, RUNS) for columns in (5, 50) for rows in (100, 1_000, 10_000)),
        *((columns, 100_000, max(RUNS // 10, 1)) for columns in (5, 50)),
        (500, 100, max(RUNS // 2, 1)),
        (500, 1_000, max(RUNS // 4, 1)),
        (500, 10_000, max(RUNS // 20, 1)),
        (5, 1_000_000, max(RUNS // 20, 1)),
    ):
        say(f"{columns} columns, {rows} rows")
        found = alarms(columns, rows, 0.0, runs)
        # Three standard errors of a share of that many.
        limit = _NOMINAL + 3 * (_NOMINAL * (1 - _NOMINAL) / runs) ** 0.5
        if max(found.any_column, found.table) > limit:
            raise RuntimeError(f"nothing has changed, and drift is found too often: {found}")
        yield found
    for rows in (100, 500, 1_000, 10_000):
        for shift in (0.1, 0.15, 0.2, 0.3, 0.5):
            say(f"shift {shift}, {rows} rows")
            yield alarms(5, rows, shift, max(RUNS // 2, 1))


def alarms(columns: int, rows: int, shift: float, runs: int) -> Alarms:
    """Compare pairs of samples, and count the alarms."""
    import numpy as np

    from airflow_mlops.domain.checks import Verdict
    from airflow_mlops.domain.spec import DriftPolicy
    from airflow_mlops.engines import drift

    policy = DriftPolicy(min_rows=min(rows, 500))
    random = np.random.default_rng([columns, rows])
    some = table = 0
    for _ in range(runs):
        before, now = _sample(random, columns, rows, 0.0), _sample(random, columns, rows, shift)
        numeric = [name for name in before.column_names if name[0] != "c"]
        categorical = [name for name in before.column_names if name[0] == "c"]
        found = drift.measure(
            before, now, numeric=numeric, categorical=categorical, policy=policy, title="", page=False
        )
        some += any(check.verdict is Verdict.FAIL for check in found.columns)
        table += found.overall.verdict is Verdict.FAIL
    return Alarms("drift_alarms", columns, rows, shift, some / runs, table / runs, runs)


def _sample(random: Any, columns: int, rows: int, shift: float) -> Any:
    import numpy as np
    import pyarrow as pa

    made: dict[str, Any] = {}
    for place in range(columns):
        match place % 5 if not shift else 0:
            case 0 | 1:
                made[f"normal {place}"] = random.normal(shift, 1, rows)
            case 2:
                made[f"pareto {place}"] = random.pareto(1.5, rows)
            case 3:
                made[f"poisson {place}"] = random.poisson(2, rows)
            case _:
                labels = np.array(["a", "b", "c", "d", "e"])
                made[f"category {place}"] = labels[random.choice(5, rows, p=[0.5, 0.3, 0.15, 0.04, 0.01])]
    return pa.table(made)
