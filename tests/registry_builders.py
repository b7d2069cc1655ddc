"""Real models in a real registry, for tests of what moves the champion."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from mlflow import MlflowClient

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import DatasetVersion, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import Budget, Candidate, Features
from airflow_mlops.stages.train import split, train

JANUARY = Partition.parse("2013-01", "month")


def make_rows(rows: int = 200) -> pa.Table:
    random = np.random.default_rng(0)
    x = random.normal(size=rows)
    times = pa.array(
        np.linspace(0, 30 * 86400, rows).astype("int64") * 1_000_000 + _START, pa.timestamp("us", "UTC")
    )
    return pa.table({"id": [str(i) for i in range(rows)], "at": times, "x": x, "y": (x > 0).astype("int64")})


_START = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)


def make_dataset(rows: pa.Table) -> DatasetVersion:
    columns = {field.name: str(field.type) for field in rows.schema}
    return DatasetVersion(
        name="flights", uri="file:///nowhere", version=3, grain="month", partition=JANUARY.key, rows=rows.num_rows,
        digest="d", columns=columns, key=("id",), event_time="at",
    )  # fmt: skip


def make_version(client: MlflowClient, model: str, strength: float = 1.0) -> TrainedModel:
    """Train and register one more version; another ``strength`` of regularisation makes another model."""
    rows = make_rows()
    bounds = split.place_bounds(
        rows["at"], holdout=0.3, partition=JANUARY, window="all", delay=JANUARY.end - JANUARY.end
    )
    recipe = Recipe(
        model=model, task="classification", target="y", features=Features(numeric=("x",)),
        candidate=Candidate(estimator="sklearn.linear_model.LogisticRegression", params={"C": strength}),
        metric="roc_auc", split=bounds, dataset=make_dataset(rows), budget=Budget(),
    )  # fmt: skip
    return train.train(rows, client=client, recipe=recipe, key=f"{model}/{strength}", tags={}, pictures=False)


def make_gate(verdict: Verdict = Verdict.PASS) -> Check:
    return Check(
        name="floor.roc_auc", verdict=verdict, expected=">= 0.6", observed=0.7, reason=f"it is {verdict}"
    )


def make_evaluation(
    candidate: TrainedModel,
    champion: ModelRef | TrainedModel | None = None,
    verdict: Verdict = Verdict.PASS,
    partition: str = "2013-01",
) -> Evaluation:
    if isinstance(champion, TrainedModel):
        champion = make_ref(champion)
    return Evaluation(
        model=candidate.model, partition=partition, candidate=candidate, champion=champion, metrics={"roc_auc": 0.7},
        checks=(make_gate(verdict),), verdict=verdict, leaderboard={candidate.candidate: candidate.score}, reason=f"the gates say {verdict}",
    )  # fmt: skip


def make_ref(trained: TrainedModel) -> ModelRef:
    return ModelRef(
        model=trained.model, version=trained.version, digest=trained.digest, run_id=trained.run_id,
        trained_through="2013-01",
    )  # fmt: skip
