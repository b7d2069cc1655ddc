"""Time and memory to score a partition, compared with the model's own predict on a frame in memory."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import training
from benchmarks.comparison import RUNS, Comparison
from benchmarks.processes import apart, warm

ROWS = int(os.environ.get("BENCHMARK_ROWS", "1000000"))
"""Rows of the small partition; the large one has :data:`TIMES` as many."""
TIMES = 4
LEARNED = 50_000

BARE = "bare predict_proba on the frame in memory"
PANDAS = "pandas: read Parquet, predict_proba, write Parquet"
_SMALL, _LARGE = "2013-01", "2013-02"


class Took(NamedTuple):
    """Seconds, the peak of the process in MB, and the sum of the probabilities."""

    seconds: float
    peak: float
    total: float


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Score 10⁶ rows × 20 columns with gradient boosting of 100 trees, and four times as many.

    :raises RuntimeError: if the two sides do not predict the same.
    """
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    server = warm(["benchmarks.preloaded", "airflow_mlops.stages.score.score"])
    with tempfile.TemporaryDirectory(prefix="benchmark-scoring-") as folder:
        say("training a model and writing the data")
        apart(server, prepare, Path(folder), ROWS)
        took: dict[str, list[Took]] = {}
        for run in range(RUNS):
            for name, function, key in (
                ("ours", ours, _SMALL),
                ("bare", bare, _SMALL),
                ("pandas", pandas, _SMALL),
                ("large", ours, _LARGE),
                ("large pandas", pandas, _LARGE),
            ):
                say(f"{name}, {run + 1} of {RUNS}")
                took.setdefault(name, []).append(apart(server, function, Path(folder), key))
            agree(took["ours"][-1].total, took["bare"][-1].total)
        many = Path(folder, "many")
        many.mkdir()
        apart(server, prepare, many, ROWS // 10, training.CLASSES)
        for run in range(RUNS):
            for name, function in (("ours of many", ours), ("bare of many", bare)):
                say(f"{name}, {run + 1} of {RUNS}")
                took.setdefault(name, []).append(apart(server, function, many, _SMALL))
            agree(took["ours of many"][-1].total, took["bare of many"][-1].total)

    def figures(name: str, what: str) -> list[float]:
        return [getattr(measurement, what) for measurement in took[name]]

    for case, one, other, peer in (
        ("partition", "ours", "bare", BARE),
        (f"partition, {training.CLASSES} classes", "ours of many", "bare of many", BARE),
        ("partition, end to end", "ours", "pandas", PANDAS),
        (f"{TIMES} times the rows", "large", "large pandas", PANDAS),
    ):
        yield Comparison("scoring", case, figures(one, "seconds"), figures(other, "seconds"), peer, "s")
        if peer != BARE:
            memory = figures(one, "peak"), figures(other, "peak")
            yield Comparison("scoring", f"{case}/memory", *memory, peer, "MB")


def agree(ours: float, theirs: float) -> None:
    """Raise unless both sides predict the same.

    :raises RuntimeError: if the sums of the probabilities differ by more than rounding.
    """
    if abs(ours - theirs) > 1e-9 * abs(theirs):
        raise RuntimeError(f"the probabilities add up to {theirs} of scikit-learn alone, and {ours} of ours")


def prepare(folder: Path, count: int, classes: int = 2) -> None:
    """Train a model on some rows, and publish a small and a large partition; of many classes a small one alone."""
    import pyarrow as pa

    from airflow_mlops.stores.tables import tables

    learned = training.make(folder, min(LEARNED, count), classes=classes)
    learned.train("model")
    rows = training.make(folder, count, classes=classes).table
    for key, times in ((_SMALL, 1), (_LARGE, TIMES))[: 2 if classes == 2 else 1]:
        tables.publish(
            f"file://{folder}/data", pa.concat_tables([rows] * times), name="benchmark", grain="month",
            partition=key, key=["id"], event_time="at", source="benchmark", run="benchmark",
        )  # fmt: skip


def ours(folder: Path, key: str) -> Took:
    """Score a partition from and to Delta, as a task does: the model is fetched and verified, too."""
    from airflow_mlops.stages.score import score

    dataset, client, version = _inputs(folder, key)
    uri = f"file://{folder}/predictions-{time.monotonic_ns()}"
    began = time.perf_counter()
    score.score(client, model="benchmark", dataset=dataset, champion=version, task="classification", uri=uri)
    seconds = time.perf_counter() - began
    peak = _peak()
    import pyarrow.compute as pc

    from airflow_mlops.stores.tables import tables

    return Took(seconds, peak, float(pc.sum(tables.read(uri, columns=["score"])["score"]).as_py()))


def bare(folder: Path, key: str) -> Took:
    """Predict a frame that is in memory with a model that is loaded."""
    from airflow_mlops.learning.models import models, pipeline
    from airflow_mlops.stores.tables import tables

    dataset, client, version = _inputs(folder, key)
    fitted = models.load_version(client, version)
    rows = tables.read(dataset.uri, version=dataset.version, partition=key)
    frame = pipeline.frame(rows, pipeline.features_of(fitted))
    began = time.perf_counter()
    scores = fitted.predict_proba(frame)
    # Ours writes the probability of the second of two classes, or of the chosen one of many.
    scores = scores[:, 1] if scores.shape[1] == 2 else scores.max(axis=1)
    return Took(time.perf_counter() - began, _peak(), float(scores.sum()))


def pandas(folder: Path, key: str) -> Took:
    """Do with pandas what scripts do: everything at once, no digests, no provenance."""
    import pandas as pd

    from airflow_mlops.learning.models import models
    from airflow_mlops.stores.tables import tables

    dataset, client, version = _inputs(folder, key)
    files = [path.removeprefix("file://") for path in tables.open_table(dataset.uri).file_uris()]
    began = time.perf_counter()
    fitted = models.load_version(client, version)
    frame = pd.concat([pd.read_parquet(path) for path in files if f"_partition={key}" in path])
    scores = fitted.predict_proba(frame)[:, 1]
    frame[["id", "at"]].assign(score=scores).to_parquet(folder / f"pandas-{key}.parquet")
    return Took(time.perf_counter() - began, _peak(), float(scores.sum()))


def _inputs(folder: Path, key: str) -> tuple[Any, Any, Any]:
    from mlflow import MlflowClient

    from airflow_mlops.stores.registry import registry
    from airflow_mlops.stores.tables import tables

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    dataset = tables.published(f"file://{folder}/data", key)
    return dataset, client, registry.version(client, "benchmark", "1")


def _peak() -> float:
    # Of this process alone; getrusage would return that of the process that it was forked from.
    [peak] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(peak) * 1024 / 1e6
