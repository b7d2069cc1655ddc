"""The DAG `<model>.score`: predict one partition with the champion."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_mlops import assets
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.operators.score import ScoreOperator
from airflow_mlops.pipelines import dag, docs
from airflow_mlops.sensors.decision import DecisionSensor


def build(spec: ModelSpec) -> DAG:
    """Build the DAG that published data starts."""
    with dag.new(spec, "score", schedule=dag.after(assets.data(spec.name))) as stage:
        wait = DecisionSensor(task_id="wait", model=spec.name, doc_md=docs.TASKS["wait"])
        wait >> ScoreOperator(
            task_id="score",
            model=spec.name,
            task=spec.task.value,
            score=spec.score,
            outlets=[assets.predictions(spec.name)],
            doc_md=docs.TASKS["score"],
        )
    return stage
