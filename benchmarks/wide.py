"""What a column costs, whether a table has a hundred of them or thousands: to publish, to read and to score."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import training

RUNS = int(os.environ.get("BENCHMARK_RUNS", "3"))
"""Calls of each kind; narrow and wide tables take turns."""
COLUMNS = (100, 500, 1_500, 5_000)
ROWS = 300
LIMIT = 2.5
"""How much more a column may cost in the widest table than in the one of 500, where a call's own cost hardly counts."""

_ESTIMATOR = "sklearn.linear_model.LogisticRegression"


@dataclass(frozen=True)
class Width:
    """Seconds of the fastest call on a table: whatever else the machine does only adds to it.

    :param column: milliseconds a column.
    :param ratio: of a column to one of the table that is compared with.
    """

    work: str
    case: str
    columns: int
    seconds: float
    column: float
    ratio: float

    def line(self) -> str:
        """Return the figures as a JSON object in one line."""
        return json.dumps(asdict(self))


class Table(NamedTuple):
    """A wide table, and a model of it."""

    folder: Path
    work: training.Work

    def publish(self) -> Any:
        """Stage, check and publish the rows, as the tasks do; each call to tables of its own."""
        from airflow_mlops.domain.partitions import Partition
        from airflow_mlops.stages.ingest import ingest
        from airflow_mlops.stores.sources.python import PythonSource

        place = f"file://{self.folder}/{time.monotonic_ns()}"
        staged = ingest.stage(
            PythonSource(lambda partition: self.work.table),
            Partition.parse("2013-01", "month"),
            uri=f"{place}/staging",
            published=f"{place}/data",
            name="benchmark",
            key=["id"],
            event_time="at",
            run="benchmark",
        )
        return ingest.publish(staged, uri=f"{place}/data", run="benchmark")

    def calls(self) -> dict[str, Callable[[], Any]]:
        """Return what is measured, by its name."""
        published = self.publish()
        return {
            "publish": self.publish,
            "read": partial(_read, published),
            "score": partial(self._score, published),
        }

    def _score(self, published: Any) -> None:
        from airflow_mlops.stages.score import score
        from airflow_mlops.stores.registry import registry

        score.score(
            self.work.client,
            model="benchmark",
            dataset=published,
            champion=registry.version(self.work.client, "benchmark", "1"),
            task="classification",
            uri=f"file://{self.folder}/{time.monotonic_ns()}/predictions",
        )


def compare(say: Callable[[str], None]) -> Iterator[Width]:
    """Publish, read and score 300 rows of 100 to 5,000 columns.

    :raises RuntimeError: if a column of the widest table costs much more than one of the second.
    """
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    slow: list[str] = []
    with tempfile.TemporaryDirectory(prefix="benchmark-wide-") as folder:
        calls: dict[int, dict[str, Callable[[], Any]]] = {}
        for width in COLUMNS:
            say(f"a model of {width:,} columns")
            calls[width] = make(Path(folder) / str(width), width).calls()
        for case in calls[COLUMNS[0]]:
            say(case)
            took = _take_turns({width: calls[width][case] for width in COLUMNS})
            for width in COLUMNS:
                column, other = took[width] / width, took[COLUMNS[1]] / COLUMNS[1]
                ratio = round(column / other, 2)
                yield Width("wide", case, width, round(took[width], 3), round(1000 * column, 3), ratio)
            if ratio > LIMIT:
                slow.append(f"{case}: {ratio} times")
    if slow:
        raise RuntimeError(
            f"a column of {COLUMNS[-1]:,} costs more than {LIMIT} times one of {COLUMNS[1]}: {'; '.join(slow)}"
        )


def make(folder: Path, width: int) -> Table:
    """Make a table, and train a model that does not take long."""
    from airflow_mlops.domain.spec.train import Candidate

    folder.mkdir()
    work = training.make(folder, ROWS, width)
    candidate = Candidate(estimator=_ESTIMATOR, params={"max_iter": 20})
    work = training.Work(work.table, work.recipe.model_copy(update={"candidate": candidate}), work.client)
    work.train("model")
    return Table(folder, work)


def _read(published: Any) -> None:
    from airflow_mlops.stores.tables import tables

    tables.read(published.uri, version=published.version, partition=published.partition)


def _take_turns(calls: dict[int, Callable[[], Any]]) -> dict[int, float]:
    took: dict[int, list[float]] = {}
    for _ in range(RUNS):
        for width, call in calls.items():
            began = time.perf_counter()
            call()
            took.setdefault(width, []).append(time.perf_counter() - began)
    return {width: min(seconds) for width, seconds in took.items()}
