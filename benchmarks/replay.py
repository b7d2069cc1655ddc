"""Time to replay three policies together, compared with one after the other without anything shared."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import RUNS, Comparison
from benchmarks.processes import apart, warm

MONTHS = 5
ROWS = int(os.environ.get("BENCHMARK_ROWS", "20000"))
"""Rows of each month."""
PEER = "each policy alone, nothing shared"
FLOOR = "scikit-learn alone: as of each month, fit and predict the rows held out and the next month"

_MODULES = ["benchmarks.replay", "airflow_mlops.stages.replay.compare"]


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Replay `current`, `never` and `every_partition` over five months, in one process of one thread each time.

    :raises RuntimeError: if the two sides do not find the same.
    """
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    server = warm(_MODULES)
    together, alone, again, floor = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="benchmark-replay-") as folder:
        say("making the data")
        apart(server, publish, folder)
        for run in range(RUNS):
            say(f"together, {run + 1} of {RUNS}")
            seconds, expected = apart(server, _timed, folder, f"together-{run}", None)
            together.append(seconds)
            say(f"alone, {run + 1} of {RUNS}")
            replays = [apart(server, _timed, folder, f"{name}-{run}", name) for name in expected]
            alone.append(sum(seconds for seconds, _ in replays))
            if {name: points for _, policies in replays for name, points in policies.items()} != expected:
                raise RuntimeError("policies that are replayed together find something else than alone")
            say(f"again, {run + 1} of {RUNS}")
            again.append(apart(server, _timed, folder, f"together-{run}", None)[0])
            say(f"scikit-learn alone, {run + 1} of {RUNS}")
            floor.append(apart(server, bare, folder))
    yield Comparison("replay", "3 policies", together, alone, PEER, "s")
    yield Comparison("replay", "3 policies", together, floor, FLOOR, "s")
    yield Comparison("replay", "3 policies, gone on with", again, together, "the first time", "s")


def spec() -> Any:
    """Return the model that is replayed."""
    from airflow_mlops.domain.spec.model import ModelSpec

    return ModelSpec.from_dict(
        {
            "name": "benchmark",
            "task": "classification",
            "target": "y",
            "key": ["id"],
            "event_time": "at",
            "partition": "month",
            "source": {"files": "/data/{partition}.parquet"},
            "train": {"candidates": ["sklearn.ensemble.HistGradientBoostingClassifier"]},
            "retrain": {"when": {"every": 2}},
        }
    )


def publish(folder: str) -> None:
    """Publish months in which the rule that decides the label moves a little."""
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.stores.tables import tables

    random, model = np.random.default_rng(0), spec()
    uri = tables.uri_of(Path(folder, "storage").as_uri(), model.name, "data")
    for place, month in enumerate(_months(Partition.parse("2013-01", "month"))):
        values = random.normal(size=(10, ROWS))
        y = values[0] + 0.3 * place * values[1] + random.normal(size=ROWS) > 0
        step = (month.end - month.start) / ROWS
        columns = {
            "id": np.arange(place * ROWS, (place + 1) * ROWS),
            "at": pa.array([month.start + row * step for row in range(ROWS)], pa.timestamp("us", "UTC")),
            **{f"x{number}": column for number, column in enumerate(values)},
            "y": y,
        }
        tables.publish(
            uri, pa.table(columns), name=model.name, grain="month", partition=month.key, key=model.key,
            event_time=model.event_time, source="benchmark", run="benchmark",
        )  # fmt: skip


def bare(folder: str) -> float:
    """Return the seconds that every replay needs at least: reading, a fit as of each month, and predictions.

    Of each month's model, the latest fifth of the rows so far is held out.
    """
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    from airflow_mlops.stores.tables import tables

    began = time.perf_counter()
    rows = tables.read(tables.uri_of(Path(folder, "storage").as_uri(), spec().name, "data")).sort_by("at")
    values = np.column_stack([rows[f"x{number}"] for number in range(10)])
    truth = rows["y"].to_numpy()
    for end in range(ROWS, len(truth) + 1, ROWS):
        cut = end * 4 // 5
        fitted = HistGradientBoostingClassifier(random_state=0).fit(values[:cut], truth[:cut])
        for later in (slice(cut, end), slice(end, end + ROWS)):
            if len(truth[later]):
                roc_auc_score(truth[later], fitted.predict_proba(values[later])[:, 1])
    return time.perf_counter() - began


def _months(first: Any) -> Iterator[Any]:
    return first.through(first.shift(MONTHS - 1))  # type: ignore[no-any-return]


def _timed(folder: str, work: str, only: str | None) -> tuple[float, dict[str, Sequence[Any]]]:
    """Replay one policy, or all three, and return the seconds and what was decided."""
    from airflow_mlops.domain.spec.replay import BUILT_IN, built_in
    from airflow_mlops.stages.replay import compare as replay_compare
    from airflow_mlops.stages.replay import planning, workers

    began = time.perf_counter()
    plan = planning.make(spec(), Path(folder, "storage").as_uri(), Path(folder, work))
    policies = [built_in(name, plan.spec) for name in BUILT_IN if only in (None, name)]
    with workers.pool(1) as pool:
        comparison = replay_compare.compare(pool, plan, policies, oracle=False)
    seconds = time.perf_counter() - began
    return seconds, {
        name: [(point.partition, point.action.value, point.quality) for point in points]
        for name, points in comparison.points.items()
    }
