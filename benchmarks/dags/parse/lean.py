"""Models as plain TaskFlow DAGs, one each, with the imports inside the tasks as Airflow's best practices ask."""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import dag, task


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
            import pandas as pd

            path = f"data/{number}.parquet"
            pd.read_csv(f"data/{number}.csv").to_parquet(path)
            return path

        @task
        def validate(path: str) -> str:
            import great_expectations as gx

            gx.get_context(mode="ephemeral")
            return path

        @task
        def train(path: str) -> str:
            import mlflow
            from sklearn.linear_model import LogisticRegression

            return mlflow.sklearn.log_model(LogisticRegression(), name="model").model_uri

        @task
        def evaluate(path: str, model: str) -> float:
            from sklearn.metrics import roc_auc_score

            return roc_auc_score([0, 1], [0, 1])

        @task
        def promote(score: float) -> None:
            from mlflow import MlflowClient

            MlflowClient().set_registered_model_alias(f"model_{number}", "champion", "1")

        @task
        def drift(path: str) -> None:
            from evidently import Report
            from evidently.presets import DataDriftPreset

            Report([DataDriftPreset()])

        rows = validate(ingest())
        promote(evaluate(rows, train(rows))) >> drift(rows)

    steps()


for count in range(int(os.environ["BENCHMARK_MODELS"])):
    pipeline(count)
