"""The DAG `<name>.monitor` of predictions that another system makes: drift and quality as of one partition."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_mlops import assets
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.operators.watch import TakePredictionsOperator, WatchOperator
from airflow_mlops.pipelines import dag, docs
from airflow_mlops.pipelines.monitor import labels_task


def build(spec: MonitoringSpec) -> DAG:
    """Build the DAG that published data starts, which holds the predictions."""
    with dag.new(spec, "monitor", schedule=dag.after(assets.data(spec.name))) as stage:
        predictions = TakePredictionsOperator(
            task_id="predictions",
            spec=spec,
            outlets=[assets.predictions(spec.name)],
            doc_md=docs.TASKS["predictions"],
        )
        health = WatchOperator(
            task_id="verdict",
            spec=spec,
            # Drift needs no labels, and is judged even if they cannot be read.
            trigger_rule="all_success" if spec.labels.source is None else "all_done",
            outlets=[assets.health(spec.name)],
            doc_md=docs.TASKS["watch"],
        )
        predictions >> health
        if spec.labels.source is not None:
            labels = labels_task(spec, spec.labels.source)
            labels >> health
    return stage
