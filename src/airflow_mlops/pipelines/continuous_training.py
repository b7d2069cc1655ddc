"""The five DAGs of a model, which start each other by partitioned assets."""

from __future__ import annotations

from airflow.sdk import DAG, get_parsing_context

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.operators.alert import AlertOperator
from airflow_mlops.pipelines import docs, ingest, monitor, rollback, score, train


def continuous_training(spec: ModelSpec) -> tuple[DAG, ...]:
    """Build the DAGs ``<name>.ingest``, ``.score``, ``.monitor``, ``.train`` and ``.rollback`` of a model.

    They register themselves, so a DAG file needs no more than the call. In a task process only the DAG that the task
    belongs to is built.

    :param spec: the model.
    """
    dag_id = get_parsing_context().dag_id
    stages = {
        "ingest": ingest.build,
        "score": score.build,
        "monitor": monitor.build,
        "train": train.build,
        "rollback": rollback.build,
    }
    dags = tuple(
        build(spec) for stage, build in stages.items() if dag_id is None or dag_id == f"{spec.name}.{stage}"
    )
    if spec.alerts.email or spec.alerts.warnings:
        for dag in dags:
            _alert(spec, dag)
    return dags


def _alert(spec: ModelSpec, dag: DAG) -> None:
    others = list(dag.tasks)
    alert = AlertOperator(
        task_id="alert", model=spec.name, alerts=spec.alerts, dag=dag, doc_md=docs.TASKS["alert"]
    )
    # A teardown runs however the others end, even if one was killed, or marked as failed by a person.
    others >> alert.as_teardown(on_failure_fail_dagrun=True)
