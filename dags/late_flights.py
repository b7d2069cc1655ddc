"""The same operators, composed by hand in one DAG: no spec, and nothing of ours but the tasks."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronPartitionTimetable

from airflow_mlops import Features, Gates, PythonSource
from airflow_mlops.operators.evaluate import EvaluateOperator
from airflow_mlops.operators.ingest import IngestOperator, PublishOperator
from airflow_mlops.operators.promote import PromoteOperator
from airflow_mlops.operators.train import TrainOperator
from airflow_mlops.operators.validate import ValidateOperator
from airflow_mlops.pipelines.retry import RETRIES, RETRY_POLICY

with DAG(
    dag_id="late_flights",
    description="A model of late flights from one hand-made DAG",
    doc_md="Each month is ingested, validated, trained on, judged and promoted in one run. Made for reading: "
    "`flight_delays.*` does the same from a spec, and watches the model afterwards.",
    schedule=CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m"),
    start_date=datetime(2013, 2, 1, tzinfo=UTC),
    end_date=datetime(2014, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": RETRIES, "retry_policy": RETRY_POLICY},
    tags=["mlops", "by hand"],
):
    data = IngestOperator(
        task_id="ingest",
        source=PythonSource("nycflights:read_month"),
        dataset="late_flights",
        key=["flight_id"],
        event_time="scheduled_departure",
        grain="month",
        stage=True,
    )
    valid = ValidateOperator(
        task_id="validate",
        dataset=data.output,
        expectations=[{"expect_column_values_to_be_between": {"column": "distance", "min_value": 0}}],
        required=["late", "carrier"],
    )
    good = PublishOperator(task_id="publish", dataset=valid.output)
    model = TrainOperator(
        task_id="train",
        dataset=good.output,
        candidate={"sklearn.linear_model.LogisticRegression": {"max_iter": 500}},
        target="late",
        features=Features(numeric=("distance", "scheduled_hour"), categorical=("carrier", "origin")),
        holdout=0.25,
    )
    verdict = EvaluateOperator(task_id="evaluate", models=model.output, gates=Gates(floor={"roc_auc": 0.6}))
    PromoteOperator(task_id="promote", evaluation=verdict.output)
