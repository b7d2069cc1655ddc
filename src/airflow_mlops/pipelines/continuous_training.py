"""The DAGs of a spec, which start each other by partitioned assets: five of a model, two of predictions, one of data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from airflow.sdk import DAG, get_parsing_context

from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.operators.alert import AlertOperator
from airflow_mlops.pipelines import docs, ingest, monitor, rollback, score, train, watch


def continuous_training(spec: DataSpec) -> tuple[DAG, ...]:
    """Build the DAGs of a spec: ``<name>.ingest`` of any, ``.monitor`` of predictions, and the other four of a model.

    Those four are ``.score``, ``.monitor``, ``.train`` and ``.rollback``.

    They register themselves, so a DAG file needs no more than the call. In a task process only the DAG that the task
    belongs to is built.

    :param spec: a :class:`~airflow_mlops.domain.spec.model.ModelSpec`, or one that asks for less.
    """
    dag_id = get_parsing_context().dag_id
    dags = tuple(
        build()
        for stage, build in _stages(spec).items()
        if dag_id is None or dag_id == f"{spec.name}.{stage}"
    )
    if spec.alerts.email or spec.alerts.warnings:
        for dag in dags:
            _alert(spec, dag)
    return dags


def _stages(spec: DataSpec) -> Mapping[str, Callable[[], DAG]]:
    data = {"ingest": partial(ingest.build, spec)}
    if isinstance(spec, MonitoringSpec):
        return data | {"monitor": partial(watch.build, spec)}
    if not isinstance(spec, ModelSpec):
        return data
    return data | {
        "score": partial(score.build, spec),
        "monitor": partial(monitor.build, spec),
        "train": partial(train.build, spec),
        "rollback": partial(rollback.build, spec),
    }


def _alert(spec: DataSpec, dag: DAG) -> None:
    others = list(dag.tasks)
    alert = AlertOperator(
        task_id="alert", model=spec.name, alerts=spec.alerts, dag=dag, doc_md=docs.TASKS["alert"]
    )
    # A teardown runs however the others end, even if one was killed, or marked as failed by a person.
    others >> alert.as_teardown(on_failure_fail_dagrun=True)
