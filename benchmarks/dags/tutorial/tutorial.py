"""The same six steps as tutorials write them: one TaskFlow DAG, each task imports its libraries and uses defaults."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.sdk import dag, task

FOLDER = Path(os.environ["BENCHMARK_FOLDER"])
MODEL = "breast_cancer"


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)  # noqa: DTZ001
def tutorial() -> None:
    @task
    def ingest() -> str:
        from sklearn.datasets import load_breast_cancer

        path = str(FOLDER / "rows.parquet")
        load_breast_cancer(as_frame=True).frame.to_parquet(path)
        return path

    @task
    def validate(path: str) -> str:
        import great_expectations as gx
        import pandas as pd

        context = gx.get_context()
        batch = (
            context.data_sources.add_pandas("rows")
            .add_dataframe_asset("rows")
            .add_batch_definition_whole_dataframe("rows")
        )
        suite = context.suites.add(gx.ExpectationSuite(name="rows"))
        suite.add_expectation(gx.expectations.ExpectColumnValuesToNotBeNull(column="target"))
        suite.add_expectation(gx.expectations.ExpectColumnValuesToBeInSet(column="target", value_set=[0, 1]))
        suite.add_expectation(
            gx.expectations.ExpectColumnValuesToBeBetween(column="mean radius", min_value=0, max_value=50)
        )
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name="rows", data=batch, suite=suite)
        )
        result = definition.run(batch_parameters={"dataframe": pd.read_parquet(path)})
        if not result.success:
            raise ValueError(f"validation failed: {result}")
        return path

    @task
    def train(path: str) -> str:
        import mlflow
        import pandas as pd
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import train_test_split
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        rows = pd.read_parquet(path)
        features, target = rows.drop(columns="target"), rows["target"]
        x, holdout, y, truth = train_test_split(features, target, test_size=0.25, random_state=0)
        holdout.assign(target=truth).to_parquet(FOLDER / "holdout.parquet")
        mlflow.set_tracking_uri(os.environ["BENCHMARK_TRACKING_URI"])
        mlflow.set_experiment(MODEL)
        with mlflow.start_run():
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
            mlflow.log_param("max_iter", 1000)
            mlflow.log_metric("train_accuracy", model.score(x, y))
            logged = mlflow.sklearn.log_model(
                model, name="model", input_example=x.head(), registered_model_name=MODEL
            )
        return logged.registered_model_version

    @task
    def evaluate(version: str) -> float:
        import mlflow
        import pandas as pd
        from sklearn.metrics import roc_auc_score

        mlflow.set_tracking_uri(os.environ["BENCHMARK_TRACKING_URI"])
        rows = pd.read_parquet(FOLDER / "holdout.parquet")
        model = mlflow.sklearn.load_model(f"models:/{MODEL}/{version}")
        scores = model.predict_proba(rows.drop(columns="target"))[:, 1]
        return float(roc_auc_score(rows["target"], scores))

    @task
    def promote(version: str, score: float) -> None:
        import mlflow

        if score < 0.9:
            raise ValueError(f"the model is too weak: {score}")
        client = mlflow.MlflowClient(os.environ["BENCHMARK_TRACKING_URI"])
        client.set_registered_model_alias(MODEL, "champion", version)

    @task
    def drift(path: str) -> str:
        import pandas as pd
        from evidently import Report
        from evidently.presets import DataDriftPreset

        rows = pd.read_parquet(path)
        report = Report([DataDriftPreset()]).run(rows.iloc[284:], rows.iloc[:284])
        page = str(FOLDER / "drift.html")
        report.save_html(page)
        return page

    path = validate(ingest())
    version = train(path)
    promote(version, evaluate(version)) >> drift(path)


tutorial()
