"""Time to search for parameters: ours, kept in MLflow and resumable, compared with Optuna and scikit-learn alone."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.comparison import RUNS, Comparison
from benchmarks.processes import apart, warm

BARE = "bare Optuna"
"""The same parameters, in a study in memory, each fitted by scikit-learn and measured by its roc_auc_score."""

ROWS = int(os.environ.get("BENCHMARK_ROWS", "100000"))
"""Rows to search on."""
TRIALS = 12

_NUMBERS = [f"number_{place}" for place in range(17)]
_WORDS = [f"word_{place}" for place in range(3)]
_ESTIMATORS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "boosting": (
        "sklearn.ensemble.HistGradientBoostingClassifier",
        {"max_iter": 40},
        {"learning_rate": {"low": 0.03, "high": 0.5, "log": True}, "max_leaf_nodes": {"low": 7, "high": 63}},
    ),
    "linear": (
        "sklearn.linear_model.LogisticRegression",
        {"max_iter": 200},
        {"C": {"low": 0.01, "high": 10.0, "log": True}},
    ),
}


def compare(say: Callable[[str], None]) -> Iterator[Comparison]:
    """Search 12 trials on 100,000 rows × 20 columns, with one fold.

    :raises RuntimeError: if the two sides do not find the same.
    """
    server = warm(["benchmarks.preloaded", "airflow_mlops.stages.train.tune", "optuna"])
    for name in _ESTIMATORS:
        ours, theirs = [], []
        for run in range(RUNS):
            say(f"{name}, run {run + 1} of {RUNS}")
            with tempfile.TemporaryDirectory(prefix="benchmark-tuning-") as folder:
                seconds, best, tried = apart(server, _ours, Path(folder), name)
            ours.append(seconds)
            seconds, reference = apart(server, _theirs, name, tried)
            theirs.append(seconds)
            if abs(reference - best) > 1e-12:
                raise RuntimeError(f"{name}: ours found {best}, and Optuna {reference}")
        yield Comparison("tuning", f"{name}, {TRIALS} trials of {ROWS:,} rows", ours, theirs, BARE, "s")


def _rows() -> Any:
    import numpy as np
    import pyarrow as pa

    random = np.random.default_rng(0)
    numbers = {name: random.normal(size=ROWS) for name in _NUMBERS}
    words = {name: np.array(list("abcd"))[random.integers(0, 4, ROWS)] for name in _WORDS}
    strength = sum(numbers[name] for name in _NUMBERS[:5]) + (words["word_0"] == "a")
    seconds = np.sort(random.integers(0, 28 * 86_400, ROWS)).astype("timedelta64[s]")
    moments = pa.array(np.datetime64("2013-01-01T00:00:00", "us") + seconds).cast(pa.timestamp("us", "UTC"))
    label = strength + random.normal(size=ROWS) > 0
    return pa.table({"id": np.arange(ROWS), "at": moments, "label": label, **numbers, **words})


def _recipe(name: str, rows: Any) -> Any:
    from datetime import UTC, datetime

    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.domain.facts.results import DatasetVersion, Split
    from airflow_mlops.domain.spec.model import Budget, Candidate, Features

    estimator, params, search = _ESTIMATORS[name]
    dataset = DatasetVersion(
        name="tuning", uri="file:///nowhere", version=0, grain="month", partition="2013-01", rows=ROWS, digest="0",
        columns={field.name: str(field.type) for field in rows.schema}, key=("id",), event_time="at",
    )  # fmt: skip
    start, end = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)
    return Recipe(
        model="tuning",
        candidate=Candidate(estimator=estimator, params=params, search=search),
        task="classification",
        target="label",
        features=Features(numeric=tuple(_NUMBERS), categorical=tuple(_WORDS)),
        metric="roc_auc",
        dataset=dataset,
        split=Split(start=start, cut=end, end=end, train_rows=ROWS, holdout_rows=0),
        budget=Budget(trials=TRIALS, seconds=3600),
    )


def _ours(folder: Path, name: str) -> tuple[float, float, list[dict[str, Any]]]:
    """Return seconds, the best score, and the parameters of each trial."""
    import json

    from mlflow import MlflowClient

    from airflow_mlops.stages.train import fitting, trials, tune
    from airflow_mlops.stores.registry import tracking

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    rows = _rows()
    recipe = _recipe(name, rows)
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = tracking.experiment(client, "tuning")
    data = fitting.data(rows, recipe)
    began = time.perf_counter()
    store = trials.Store(client, client.create_run(experiment), "tuning", "roc_auc")
    best = tune.search(recipe, data, store)
    seconds = time.perf_counter() - began
    kept = client.search_runs([experiment], f"tags.`{trials.SEARCH}` = 'tuning'", order_by=["start_time"])
    assert best.score is not None
    return seconds, best.score, [json.loads(run.data.tags[trials.TRIAL])["params"] for run in kept]


def _theirs(name: str, tried: list[dict[str, Any]]) -> tuple[float, float]:
    """Return seconds and the best value."""
    import optuna
    from sklearn.base import clone
    from sklearn.metrics import roc_auc_score

    from airflow_mlops.stages.train import fitting

    rows = _rows()
    recipe = _recipe(name, rows)
    data = fitting.data(rows, recipe)
    # The same pipeline, so that what differs is the search alone.
    unfitted = fitting.build(recipe, {}, fitting.categories(recipe, data))
    cut = ROWS * 4 // 5
    space = _ESTIMATORS[name][2]

    def objective(trial: optuna.Trial) -> float:
        values = {
            key: (trial.suggest_int if isinstance(ends["low"], int) else trial.suggest_float)(key, **ends)
            for key, ends in space.items()
        }
        model = clone(unfitted).set_params(**{f"model__{key}": value for key, value in values.items()})
        model.fit(data.frame[:cut], data.labels[:cut])
        return float(roc_auc_score(data.labels[cut:], model.predict_proba(data.frame[cut:])[:, 1]))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    began = time.perf_counter()
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, multivariate=True)
    )
    for params in tried:
        study.enqueue_trial(params)
    study.optimize(objective, n_trials=len(tried))
    return time.perf_counter() - began, study.best_value
