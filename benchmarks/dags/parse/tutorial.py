"""Models as plain TaskFlow DAGs, one each, with the libraries imported at the top of the file as most examples do."""

from __future__ import annotations

import os
from datetime import datetime

import great_expectations as gx
import mlflow
import pandas as pd
from airflow.sdk import dag, task
from evidently import Report
from evidently.presets import DataDriftPreset
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score


def pipeline(number: int) -> None:
    @dag(
        dag_id=f"model_{number}",
        schedule="@monthly",
        start_date=datetime(2013, 1, 1),  # noqa: DTZ001
        catchup=False,
    )
    def steps() -> None:
        @task
        def ingest() -> str:
            path = f"data/{number}.parquet"
            pd.read_csv(f"data/{number}.csv").to_parquet(path)
            return path

        @task
        def validate(path: str) -> str:
            gx.get_context(mode="ephemeral")
            return path

        @task
        def train(path: str) -> str:
            return mlflow.sklearn.log_model(LogisticRegression(), name="model").model_uri

        @task
        def evaluate(path: str, model: str) -> float:
            return roc_auc_score([0, 1], [0, 1])

        @task
        def promote(score: float) -> None:
            MlflowClient().set_registered_model_alias(f"model_{number}", "champion", "1")

        @task
        def drift(path: str) -> None:
            Report([DataDriftPreset()])

        rows = validate(ingest())
        promote(evaluate(rows, train(rows))) >> drift(rows)

    steps()


for count in range(int(os.environ["BENCHMARK_MODELS"])):
    pipeline(count)
