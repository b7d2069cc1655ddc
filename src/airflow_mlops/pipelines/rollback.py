"""The DAG `<model>.rollback`: give the champion alias back to an earlier version."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_mlops import assets
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.operators.promote import RollbackOperator
from airflow_mlops.pipelines import dag, docs, forms


def build(spec: ModelSpec) -> DAG:
    """Build the DAG that people start."""
    with dag.new(spec, "rollback", schedule=None) as stage:
        RollbackOperator(
            task_id="rollback",
            model=spec.name,
            outlets=[assets.champion(spec.name)],
            doc_md=docs.TASKS["rollback"],
        )
    return forms.attach(stage, forms.rollback(spec))
