"""The five DAGs of a model, chained by partitioned assets."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    BaseOperator,
    CronPartitionTimetable,
    PartitionedAssetTimetable,
    conf,
    get_parsing_context,
)
from airflow.sdk.definitions.xcom_arg import XComArg

from airflow_mlops import assets
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec import ModelSpec
from airflow_mlops.hooks.sources import from_spec
from airflow_mlops.operators.alert import AlertOperator
from airflow_mlops.operators.evaluate import EvaluateOperator
from airflow_mlops.operators.ingest import IngestOperator, PublishOperator
from airflow_mlops.operators.monitor import DriftOperator, HealthOperator, PerformanceOperator
from airflow_mlops.operators.promote import PromoteOperator, RecordOperator, RollbackOperator
from airflow_mlops.operators.score import ScoreOperator
from airflow_mlops.operators.train import DecideOperator, TrainOperator
from airflow_mlops.operators.validate import ValidateOperator
from airflow_mlops.pipelines import docs, forms
from airflow_mlops.pipelines.retry import RETRIES, RETRY_POLICY
from airflow_mlops.sensors.decision import DecisionSensor
from airflow_mlops.sensors.partition import NewPartitionSensor

_APPROVAL = timedelta(days=7)
"""How long a person has to approve; then the run fails, and the champion stays."""


def continuous_training(spec: ModelSpec) -> tuple[DAG, ...]:
    """Build the DAGs ``<name>.ingest``, ``.score``, ``.monitor``, ``.train`` and ``.rollback`` of a model.

    They register themselves, so a DAG file needs no more than the call. In a task process only the DAG that the task
    belongs to is built.

    :param spec: the model.
    """
    wanted = get_parsing_context().dag_id
    stages = {"ingest": _ingest, "score": _score, "monitor": _monitor, "train": _train, "rollback": _rollback}
    dags = tuple(
        build(spec) for stage, build in stages.items() if wanted is None or wanted == f"{spec.name}.{stage}"
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
    # A teardown runs however the others end: killed, or marked as failed by a person, too.
    others >> alert.as_teardown(on_failure_fail_dagrun=True)


def _dag(spec: ModelSpec, stage: str, **arguments: Any) -> DAG:
    return DAG(
        dag_id=f"{spec.name}.{stage}",
        description=docs.SUMMARY[stage],
        doc_md=docs.page(spec, stage),
        tags=["mlops", spec.name, stage],
        catchup=False,
        # The champion is sequential state: two partitions of one stage never run side by side.
        max_active_runs=1,
        default_args={
            "owner": spec.owner,
            "retries": RETRIES,
            "retry_delay": timedelta(seconds=30),
            "retry_policy": RETRY_POLICY,
        },
        **_limits(),
        **arguments,
    )


@cache
def _limits() -> dict[str, Any]:
    # What a DAG would read from the configuration itself, for each DAG anew.
    return {
        "max_active_tasks": conf.getint("core", "max_active_tasks_per_dag"),
        "max_consecutive_failed_dag_runs": conf.getint("core", "max_consecutive_failed_dag_runs_per_dag"),
        "disable_bundle_versioning": conf.getboolean("dag_processor", "disable_bundle_versioning"),
    }


def _after(asset: Asset) -> PartitionedAssetTimetable:
    return PartitionedAssetTimetable(assets=asset)


def _features(spec: ModelSpec) -> list[str]:
    return [*spec.features.numeric, *spec.features.categorical] if spec.features else []


def _ingest(spec: ModelSpec) -> DAG:
    first = Partition.parse(spec.start, spec.partition) if spec.start else None
    last = Partition.parse(spec.end, spec.partition) if spec.end else None
    schedule = CronPartitionTimetable(
        spec.schedule or spec.partition.cron,
        timezone="UTC",
        run_offset=-1,
        key_format=spec.partition.key_format,
    )
    # A run happens in the period after its partition: the first and the last one bound them.
    bounds = {
        "start_date": first.end if first else None,
        "end_date": last.shift(1).end - timedelta(microseconds=1) if last else None,
    }
    with _dag(spec, "ingest", schedule=schedule, **bounds) as dag:
        rows = IngestOperator(
            task_id="ingest",
            source=from_spec(spec.source),
            dataset=spec.name,
            key=spec.key,
            event_time=spec.event_time,
            grain=spec.partition.value,
            required=[*_features(spec), spec.target],
            stage=True,
            schema=spec.schema_policy.value,
            transform=spec.transform,
            doc_md=docs.TASKS["ingest"],
        )
        if spec.source.wait is not None:
            arrival = NewPartitionSensor(
                task_id="wait",
                source=from_spec(spec.source),
                grain=spec.partition.value,
                timeout=spec.source.wait,
                deferrable=True,
                doc_md=docs.TASKS["arrival"],
            )
            arrival >> rows
        valid = ValidateOperator(
            task_id="validate",
            dataset=rows.output,
            expectations=spec.expectations,
            # The target may be null as yet: labels can come later.
            required=_features(spec),
            pii=spec.pii,
            max_quarantined=spec.max_quarantined,
            model=spec.name,
            skew=spec.skew,
            doc_md=docs.TASKS["validate"],
        )
        PublishOperator(
            task_id="publish",
            dataset=valid.output,
            validation=XComArg(valid, key="validation"),
            outlets=[assets.data(spec.name)],
            doc_md=docs.TASKS["publish"],
        )
    return dag


def _score(spec: ModelSpec) -> DAG:
    with _dag(spec, "score", schedule=_after(assets.data(spec.name))) as dag:
        wait = DecisionSensor(task_id="wait", model=spec.name, doc_md=docs.TASKS["wait"])
        wait >> ScoreOperator(
            task_id="score",
            model=spec.name,
            task=spec.task.value,
            outlets=[assets.predictions(spec.name)],
            doc_md=docs.TASKS["score"],
        )
    return dag


def _monitor(spec: ModelSpec) -> DAG:
    with _dag(spec, "monitor", schedule=_after(assets.predictions(spec.name))) as dag:
        drift = DriftOperator(
            task_id="drift", model=spec.name, policy=spec.monitor.drift, doc_md=docs.TASKS["drift"]
        )
        performance = PerformanceOperator(
            task_id="performance",
            model=spec.name,
            target=spec.target,
            task=spec.task.value,
            metric=spec.metric.name,
            delay=spec.labels.delay,
            policy=spec.monitor.performance,
            doc_md=docs.TASKS["performance"],
        )
        HealthOperator(
            task_id="verdict",
            model=spec.name,
            drift=drift.output,
            performance=performance.output,
            staleness=spec.monitor.staleness,
            outlets=[assets.health(spec.name)],
            doc_md=docs.TASKS["verdict"],
        )
    return dag


def _train(spec: ModelSpec) -> DAG:
    with _dag(spec, "train", schedule=_after(assets.health(spec.name))) as dag:
        rows: dict[str, Any] = {
            "holdout": spec.train.holdout,
            "window": f"{{{{ params.window or {str(spec.train.window)!r} }}}}",
            "delay": spec.labels.delay,
        }
        decide = DecideOperator(
            task_id="decide",
            model=spec.name,
            policy=spec.retrain,
            skips=["train"],
            doc_md=docs.TASKS["decide"],
            **rows,
        )
        train = TrainOperator.partial(
            task_id="train",
            dataset=XComArg(decide, key="dataset"),
            target=spec.target,
            task=spec.task.value,
            metric=spec.metric.name,
            features=spec.features,
            budget=spec.train.budget,
            seed=spec.train.seed,
            map_index_template="{{ task.candidate | first }}",
            doc_md=docs.TASKS["train"],
            **rows,
        ).expand(candidate=[candidate.to_dict() for candidate in spec.train.candidates])
        evaluate = EvaluateOperator(
            task_id="evaluate", models=train.output, gates=spec.gates, doc_md=docs.TASKS["evaluate"]
        )
        promote = PromoteOperator(
            task_id="promote",
            evaluation=evaluate.output,
            outlets=[assets.champion(spec.name)],
            doc_md=docs.TASKS["promote"],
        )
        record = RecordOperator(
            task_id="record",
            model=spec.name,
            retrain=decide.output,
            evaluation=evaluate.output,
            promotion=promote.task_id,
            trigger_rule="all_done",
            doc_md=docs.TASKS["record"],
        )
        if spec.gates.approval.people != "none":
            _approve(spec, evaluate) >> promote
        promote >> record
    return forms.attach(dag, forms.train(spec))


def _approve(spec: ModelSpec, evaluate: EvaluateOperator) -> BaseOperator:
    # Not at the top: most specs ask nobody, and each DAG file would import it.
    from airflow_mlops.operators.approve import PromotionApprovalOperator

    return PromotionApprovalOperator(
        task_id="approve",
        subject=f"Promote the new {spec.name} of {{{{ ti.xcom_pull(task_ids='evaluate')['partition'] }}}}?",
        body=docs.APPROVAL,
        evaluation=evaluate.output,
        response_timeout=_APPROVAL,
        doc_md=docs.TASKS["approve"],
    )


def _rollback(spec: ModelSpec) -> DAG:
    with _dag(spec, "rollback", schedule=None) as dag:
        RollbackOperator(
            task_id="rollback",
            model=spec.name,
            outlets=[assets.champion(spec.name)],
            doc_md=docs.TASKS["rollback"],
        )
    return forms.attach(dag, forms.rollback())
