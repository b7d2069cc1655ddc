"""Time to train, log, register and judge a model, compared with scikit-learn alone."""

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
from benchmarks.processes import apart, warm

ROWS = int(os.environ.get("BENCHMARK_ROWS", "500000"))
"""Rows, a fifth of which are held out."""
COLUMNS = 20
CLASSES = 10
"""Classes of the cases that say so, with a fifth of the rows: gradient boosting fits a tree for each."""

BARE = "bare scikit-learn: fit, predict, metrics"
PREDICTED = "bare scikit-learn: predict, metrics"
AUTOLOG = "the same with MLflow's autolog"
DEFAULTS = "MLflow's log_model with an input example and inferred requirements"

_ESTIMATOR = "sklearn.ensemble.HistGradientBoostingClassifier"
_PARAMS = {"max_iter": 100, "early_stopping": False}


@dataclass(frozen=True)
class Work:
    """The inputs of both sides.

    :param table: rows in order of time.
    :param client: MLflow on SQLite.
    """

    table: Any
    recipe: Any
    client: Any

    def bare(self, fitted: Any = None) -> tuple[Any, dict[str, float | None]]:
        """Fit, unless a model is given, predict the holdout, and compute every metric; all in memory."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        from airflow_mlops.learning.statistics import measures

        frame = self.table.select(list(self.recipe.features.numeric)).to_pandas()
        truth, cut = self.table["y"].to_numpy(zero_copy_only=False), self.recipe.split.train_rows
        if fitted is None:
            fitted = HistGradientBoostingClassifier(random_state=0, **_PARAMS).fit(frame[:cut], truth[:cut])
        predicted, codes = fitted.predict_proba(frame[cut:]), fitted.classes_.searchsorted(truth[cut:])
        predicted = predicted[:, 1] if predicted.shape[1] == 2 else predicted
        return fitted, measures.metrics(codes, predicted, "classification")

    def train(self, key: str, pictures: bool = False) -> Any:
        """Fit, log and register, as a task does."""
        from airflow_mlops.stages.train import train

        return train.train(
            self.table, client=self.client, recipe=self.recipe, key=key, tags={}, pictures=pictures
        )

    def evaluate(self, trained: Any, pictures: bool = False) -> Any:
        """Judge against a floor and bless in a fresh process, with or without pictures, as a task does."""
        from airflow_mlops.domain.spec.model import Gates
        from airflow_mlops.stages.evaluate import evaluate

        cut = self.recipe.split.train_rows
        return evaluate.evaluate(
            self.table.slice(cut), seen=self.table.slice(0, cut).select(["id", "at"]), client=self.client,
            candidates=[trained], champion=None, gates=Gates(floor={"roc_auc": 0.5}), partition="2013-01", pictures=pictures,
        )  # fmt: skip

    def prepared(self) -> tuple[Any, ...]:
        """Return a model that is fitted to few rows, and the run to log it to."""
        import mlflow

        from airflow_mlops.stages.train import train

        mlflow.set_tracking_uri(self.client.tracking_uri)
        experiment = self.client.get_experiment_by_name("benchmark").experiment_id
        mlflow.set_experiment(experiment_id=experiment)
        fitted = train.fit(self.table.slice(0, 10_000), self.recipe, {})
        return fitted, self.client.create_run(experiment)

    def log(self, fitted: Any, run: Any) -> None:
        """Log a model as a training does."""
        from airflow_mlops.learning.models import models

        models.log(self.client, run, "benchmark", fitted, self.recipe.features, "classification")

    def log_defaults(self, fitted: Any, run: Any) -> None:
        """Log a model as MLflow's examples do."""
        import mlflow

        from airflow_mlops.learning.models import models

        example = self.table.select(list(self.recipe.features.numeric)).slice(0, 5).to_pandas()
        with mlflow.start_run(run_id=run.info.run_id):
            mlflow.sklearn.log_model(
                fitted, name="model", input_example=example, skops_trusted_types=models.trusted_types()
            )

    def autolog(self) -> None:
        """Do what :meth:`bare` does while MLflow logs it all by itself."""
        import mlflow

        mlflow.set_tracking_uri(self.client.tracking_uri)
        mlflow.set_experiment("autolog")
        mlflow.sklearn.autolog(silent=True)
        self.bare()


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Train on 400,000 of 500,000 rows × 20 columns, and judge on the rest.

    :raises RuntimeError: if the two sides do not find the same.
    """
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    server = warm(
        ["benchmarks.preloaded", "airflow_mlops.stages.train.train", "airflow_mlops.stages.evaluate.evaluate"]
    )
    with tempfile.TemporaryDirectory(prefix="benchmark-training-") as folder:
        say("making MLflow's tables")
        apart(server, _timed, folder, 2, "train", "warm")

        def timed(method: str, *arguments: Any, classes: int = 2) -> tuple[float, Any]:
            say(f"{method}, {run + 1} of {RUNS}")
            timing: tuple[float, Any] = apart(server, _timed, folder, classes, method, *arguments)
            return timing

        took: dict[str, list[float]] = {}
        for run in range(RUNS):
            bare, (fitted, expected) = timed("bare")
            train, trained = timed("train", f"{run}")
            evaluated, evaluation = timed("evaluate", trained)
            agree(expected, evaluation.metrics)
            for what, seconds in {
                "bare": bare,
                "train": train,
                "evaluate": evaluated,
                "bare predict": timed("bare", fitted)[0],
                "train with pictures": timed("train", f"{run} with pictures", True)[0],
                "evaluate with pictures": timed("evaluate", trained, True)[0],
            }.items():
                took.setdefault(what, []).append(seconds)
        yield Comparison("training", "train", took["train"], took["bare"], BARE, "s")
        both = [sum(pair) for pair in zip(took["train"], took["evaluate"], strict=True)]
        yield Comparison("training", "train and evaluate", both, took["bare"], BARE, "s")
        yield Comparison("training", "evaluate", took["evaluate"], took["bare predict"], PREDICTED, "s")
        for case in ("train", "evaluate"):
            pictured = f"{case} with pictures"
            yield Comparison("training", pictured, took[pictured], took[case], "ours without pictures", "s")
        many: dict[str, list[float]] = {}
        for run in range(RUNS):
            bare, (_, expected) = timed("bare", classes=CLASSES)
            train, trained = timed("train", f"{run} of many", classes=CLASSES)
            evaluated, evaluation = timed("evaluate", trained, classes=CLASSES)
            agree(expected, evaluation.metrics)
            for what, seconds in (("bare", bare), ("train", train), ("both", train + evaluated)):
                many.setdefault(what, []).append(seconds)
        yield Comparison("training", f"train, {CLASSES} classes", many["train"], many["bare"], BARE, "s")
        yield Comparison(
            "training", f"train and evaluate, {CLASSES} classes", many["both"], many["bare"], BARE, "s"
        )
        logged = [timed("log")[0] for run in range(RUNS)]
        yield Comparison("training", "log a model", logged, [timed("log_defaults")[0]], DEFAULTS, "s")
        yield Comparison("training", "MLflow's autolog", [timed("autolog")[0]], [timed("bare")[0]], BARE, "s")


def _timed(folder: str, classes: int, method: str, *arguments: Any) -> tuple[float, Any]:
    """Run a method as a task does: as the first computation of its process, with the libraries imported."""
    rows = ROWS if classes == 2 else ROWS // 5
    work = make(Path(folder), 2_000 if arguments == ("warm",) else rows, classes=classes)
    work.client.search_experiments()  # opens MLflow's database
    prepared = work.prepared() if method.startswith("log") else ()
    began = time.perf_counter()
    outcome = getattr(work, method)(*prepared, *arguments)
    return time.perf_counter() - began, outcome


def agree(theirs: dict[str, float | None], ours: dict[str, float | None]) -> None:
    """Raise unless both sides have the same metrics.

    :raises RuntimeError: if they differ by more than rounding.
    """
    for name, value in theirs.items():
        other = ours[name]
        if value is None or other is None or abs(value - other) > 1e-9:
            raise RuntimeError(f"{name} is {value} of scikit-learn alone, and {other} of ours")


def make(folder: Path, count: int, width: int = COLUMNS, classes: int = 2) -> Work:
    """Make rows of a month, a recipe for them, and MLflow's tables.

    :param width: number of features.
    :param classes: number of classes: two are 0 and 1, more are texts.
    """
    import numpy as np
    import pyarrow as pa
    from mlflow import MlflowClient

    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.domain.facts.results import DatasetVersion
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.spec.model import Budget, Candidate, Features
    from airflow_mlops.stages.train.split import place_bounds

    random = np.random.default_rng(0)
    names = [f"x{place}" for place in range(width)]
    values = random.normal(size=(width, count))
    chance = values[0] + values[1] * values[2] + random.normal(size=count)
    labels = (chance > 0).astype(np.int64)
    if classes > 2:
        quantiles = np.quantile(chance, np.linspace(0, 1, classes + 1)[1:-1])
        labels = np.array([f"class {code}" for code in range(classes)])[np.searchsorted(quantiles, chance)]
    start = np.datetime64(datetime(2013, 1, 1, tzinfo=UTC).replace(tzinfo=None), "us")
    times = start + np.linspace(0, 30 * 86_400e6, count).astype("timedelta64[us]")
    columns = {
        "id": np.arange(count), "at": pa.array(times).cast(pa.timestamp("us", "UTC")),
        **dict(zip(names, values, strict=True)), "y": pa.array(labels),
    }  # fmt: skip
    table = pa.table(columns)
    dataset = DatasetVersion(
        name="benchmark", uri=f"file://{folder}/data", version=0, grain="month", partition="2013-01", rows=count,
        digest="0" * 64, columns={field.name: str(field.type) for field in table.schema}, key=("id",), event_time="at",
    )  # fmt: skip
    split = place_bounds(
        table["at"], holdout=0.2, partition=Partition.parse("2013-01", "month"), window="all", delay=timedelta(0)
    )  # fmt: skip
    recipe = Recipe(
        model="benchmark", candidate=Candidate(estimator=_ESTIMATOR, params=_PARAMS), task="classification",
        target="y", features=Features(numeric=tuple(names)), metric="roc_auc", dataset=dataset, split=split,
        budget=Budget(), ranked=False,
    )  # fmt: skip
    return Work(table, recipe, MlflowClient(f"sqlite:///{folder}/mlflow.db"))
