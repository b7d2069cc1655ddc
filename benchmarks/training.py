"""What it takes to train, log, register and judge a model, beside scikit-learn alone."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.comparison import RUNS, Comparison

ROWS = int(os.environ.get("BENCHMARK_ROWS", "500000"))
"""Rows, a fifth of which are held out."""
COLUMNS = 20

BARE = "bare scikit-learn: fit, predict, metrics"
PREDICTED = "bare scikit-learn: predict, metrics"
AUTOLOG = "the same with MLflow's autolog"
DEFAULTS = "MLflow's log_model with an input example and inferred requirements"

_ESTIMATOR = "sklearn.ensemble.HistGradientBoostingClassifier"
_PARAMS = {"max_iter": 100, "early_stopping": False}


@dataclass(frozen=True)
class Work:
    """What both sides are given.

    :param table: rows in order of time.
    :param client: MLflow on SQLite.
    """

    table: Any
    recipe: Any
    client: Any

    def bare(self, fitted: Any = None) -> tuple[Any, dict[str, float | None]]:
        """Fit, unless a model is given, predict the holdout, and compute every metric; all in memory."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        from airflow_mlops.engines import performance

        frame = self.table.select(self.recipe.features["numeric"]).to_pandas()
        truth, cut = self.table["y"].to_numpy(), self.recipe.split.train_rows
        if fitted is None:
            fitted = HistGradientBoostingClassifier(random_state=0, **_PARAMS).fit(frame[:cut], truth[:cut])
        predicted = fitted.predict_proba(frame[cut:])[:, 1]
        return fitted, performance.metrics(truth[cut:], predicted, "classification")

    def train(self, key: str, pictures: bool = False) -> Any:
        """Fit, log and register, as a task does."""
        from airflow_mlops.engines import train

        return train.train(
            self.table, client=self.client, recipe=self.recipe, key=key, tags={}, pictures=pictures
        )

    def evaluate(self, trained: Any, pictures: bool = False) -> Any:
        """Judge against a floor, a fresh process and pictures included or not, as a task does."""
        from airflow_mlops.domain.spec import Gates
        from airflow_mlops.engines import evaluate

        cut = self.recipe.split.train_rows
        return evaluate.evaluate(
            self.table.slice(cut), seen=self.table.slice(0, cut).select(["id", "at"]), client=self.client,
            candidates=[trained], champion=None, gates=Gates(floor={"roc_auc": 0.5}), partition="2013-01", pictures=pictures,
        )  # fmt: skip


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Train on 400,000 of 500,000 rows × 20 columns, and judge on the rest.

    :raises RuntimeError: if the two sides do not find the same.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-training-") as folder:
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        say("importing, and making MLflow's tables")
        small = make(Path(folder), 2_000)
        small.evaluate(small.train("warm", pictures=True), pictures=True)
        small.bare()
        work = make(Path(folder), ROWS)
        yield from _compared(work, say)
        yield from _others(work, say)


def _compared(work: Work, say: Callable[[str], None]) -> Iterator[Comparison]:
    took: dict[str, list[float]] = {}

    def timed(what: str, run: int, function: Callable[..., Any], *arguments: Any) -> Any:
        say(f"{what}, {run + 1} of {RUNS}")
        began = time.perf_counter()
        found = function(*arguments)
        took.setdefault(what, []).append(time.perf_counter() - began)
        return found

    for run in range(RUNS):
        fitted, expected = timed("bare", run, work.bare)
        trained = timed("train", run, work.train, f"{run}")
        timed("train with pictures", run, work.train, f"{run} with pictures", True)
        timed("bare predict", run, work.bare, fitted)
        evaluation = timed("evaluate", run, work.evaluate, trained)
        timed("evaluate with pictures", run, work.evaluate, trained, True)
        agree(expected, evaluation.metrics)
    yield Comparison("training", "train", took["train"], took["bare"], BARE, "s")
    both = [sum(pair) for pair in zip(took["train"], took["evaluate"], strict=True)]
    yield Comparison("training", "train and evaluate", both, took["bare"], BARE, "s")
    yield Comparison("training", "evaluate", took["evaluate"], took["bare predict"], PREDICTED, "s")
    for case in ("train", "evaluate"):
        pictured = f"{case} with pictures"
        yield Comparison("training", pictured, took[pictured], took[case], "ours without pictures", "s")


def agree(theirs: dict[str, float | None], ours: dict[str, float | None]) -> None:
    """Raise unless both sides have the same metrics.

    :raises RuntimeError: if they differ by more than rounding.
    """
    for name, value in theirs.items():
        other = ours[name]
        if value is None or other is None or abs(value - other) > 1e-9:
            raise RuntimeError(f"{name} is {value} of scikit-learn alone, and {other} of ours")


def _others(work: Work, say: Callable[[str], None]) -> Iterator[Comparison]:
    """Yield what MLflow's own ways of logging take, once each."""
    import mlflow

    from airflow_mlops.domain.spec import Features
    from airflow_mlops.engines import models

    mlflow.set_tracking_uri(work.client.tracking_uri)
    experiment = work.client.get_experiment_by_name("benchmark").experiment_id
    mlflow.set_experiment(experiment_id=experiment)
    fitted, _ = work.bare()
    ours = []
    for _ in range(RUNS):
        say("logging a model")
        run, began = work.client.create_run(experiment), time.perf_counter()
        models.log(
            work.client,
            run,
            "benchmark",
            pipeline_of(work),
            Features(**work.recipe.features),
            "classification",
        )
        ours.append(time.perf_counter() - began)
    say(DEFAULTS)
    example = work.table.select(work.recipe.features["numeric"]).slice(0, 5).to_pandas()
    with mlflow.start_run():
        began = time.perf_counter()
        mlflow.sklearn.log_model(
            fitted, name="model", input_example=example, skops_trusted_types=models.trusted_types()
        )
        yield Comparison("training", "log a model", ours, [time.perf_counter() - began], DEFAULTS, "s")
    say(AUTOLOG)
    began = time.perf_counter()
    work.bare()
    alone = time.perf_counter() - began
    mlflow.sklearn.autolog(silent=True)
    began = time.perf_counter()
    work.bare()
    yield Comparison("training", "MLflow's autolog", [time.perf_counter() - began], [alone], BARE, "s")
    mlflow.sklearn.autolog(disable=True)


def pipeline_of(work: Work) -> Any:
    """Return the pipeline that a task logs, fitted."""
    from airflow_mlops.engines import train

    return train.fit(work.table.slice(0, min(10_000, work.table.num_rows)), work.recipe, {})


def make(folder: Path, count: int) -> Work:
    """Make rows of a month, a recipe for them, and MLflow's tables."""
    import numpy as np
    import pyarrow as pa
    from mlflow import MlflowClient

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.recipe import Recipe
    from airflow_mlops.domain.results import DatasetVersion
    from airflow_mlops.domain.spec import Budget, Candidate, Features
    from airflow_mlops.engines import train

    random = np.random.default_rng(0)
    names = [f"x{place}" for place in range(COLUMNS)]
    values = random.normal(size=(COLUMNS, count))
    chance = values[0] + values[1] * values[2] + random.normal(size=count)
    start = np.datetime64(datetime(2013, 1, 1, tzinfo=UTC).replace(tzinfo=None), "us")
    times = start + np.linspace(0, 30 * 86_400e6, count).astype("timedelta64[us]")
    columns = {
        "id": np.arange(count), "at": pa.array(times).cast(pa.timestamp("us", "UTC")),
        **dict(zip(names, values, strict=True)), "y": (chance > 0).astype(np.int64),
    }  # fmt: skip
    table = pa.table(columns)
    dataset = DatasetVersion(
        name="benchmark", uri=f"file://{folder}/data", version=0, grain="month", partition="2013-01", rows=count,
        digest="0" * 64, columns={field.name: str(field.type) for field in table.schema}, key=("id",), event_time="at",
    )  # fmt: skip
    split = train.split(
        table["at"], holdout=0.2, partition=Partition.parse("2013-01", "month"), window="all", delay=timedelta(0)
    )  # fmt: skip
    recipe = Recipe(
        model="benchmark", candidate=Candidate(estimator=_ESTIMATOR, params=_PARAMS).to_dict(), task="classification",
        target="y", features=Features(numeric=tuple(names)).to_dict(), metric="roc_auc", dataset=dataset, split=split,
        budget=Budget().to_dict(), ranked=False,
    )  # fmt: skip
    return Work(table, recipe, MlflowClient(f"sqlite:///{folder}/mlflow.db"))
