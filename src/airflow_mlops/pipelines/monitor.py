"""The DAG `<model>.monitor`: the champion's health as of one partition."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_mlops import assets
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.domain.spec.source import Source
from airflow_mlops.hooks.sources import from_spec
from airflow_mlops.operators.drift import DriftOperator
from airflow_mlops.operators.guard import GuardOperator
from airflow_mlops.operators.monitor import HealthOperator
from airflow_mlops.operators.performance import IngestLabelsOperator, PerformanceOperator
from airflow_mlops.pipelines import dag, docs


def build(spec: ModelSpec) -> DAG:
    """Build the DAG that new predictions start."""
    own = spec.labels.source is not None
    # Most checks of these two need no labels, and must be made even if the labels cannot be read.
    rule = "all_done" if own else "all_success"
    with dag.new(spec, "monitor", schedule=dag.after(assets.predictions(spec.name))) as stage:
        drift = DriftOperator(
            task_id="drift",
            model=spec.name,
            policy=spec.monitor.drift,
            target=spec.target,
            delay=spec.labels.delay,
            labels=own,
            trigger_rule=rule,
            doc_md=docs.TASKS["drift"],
        )
        performance = PerformanceOperator(
            task_id="performance",
            model=spec.name,
            target=spec.target,
            task=spec.task.value,
            classes=spec.classes,
            decision=spec.decision,
            weights=spec.train.weights,
            metric=spec.metric.name,
            own_metrics=spec.train.metrics,
            delay=spec.labels.delay,
            policy=spec.monitor.performance,
            labels=own,
            doc_md=docs.TASKS["performance"],
        )
        if spec.labels.source is not None:
            labels = labels_task(spec, spec.labels.source)
            labels >> [drift, performance]
        shadow = _shadow(spec)
        health = HealthOperator(
            task_id="verdict",
            model=spec.name,
            drift=drift.output,
            performance=performance.output,
            shadow=shadow.output if shadow is not None else None,
            staleness=spec.monitor.staleness,
            outlets=[assets.health(spec.name)],
            doc_md=docs.TASKS["verdict"],
        )
        if spec.monitor.rollback is not None or spec.monitor.alias_guard != "off":
            guard = GuardOperator(
                task_id="guard",
                model=spec.name,
                policy=spec.monitor,
                target=spec.target,
                task=spec.task.value,
                classes=spec.classes,
                decision=spec.decision,
                weights=spec.train.weights,
                metric=spec.metric.name,
                own_metrics=spec.train.metrics,
                delay=spec.labels.delay,
                labels=own,
                trigger_rule=rule,
                outlets=[assets.champion(spec.name)],
                doc_md=docs.TASKS["guard"],
            )
            guard >> (health if shadow is None else shadow)
            if spec.labels.source is not None:
                labels >> guard
        if shadow is not None:
            # Last before the verdict: the others resolve the champion of the partition, which this task may replace.
            [drift, performance] >> shadow
    return stage


def labels_task(spec: ModelSpec | MonitoringSpec, source: Source) -> IngestLabelsOperator:
    """Return the task that brings labels from a source of their own."""
    return IngestLabelsOperator(
        task_id="labels",
        model=spec.name,
        source=from_spec(source),
        key=spec.key,
        event_time=spec.event_time,
        target=spec.target,
        task=spec.task.value,
        classes=spec.classes,
        grain=spec.grain,
        ambiguous=spec.ambiguous,
        pii=spec.pii,
        policy=spec.labels,
        doc_md=docs.TASKS["labels"],
    )


def _shadow(spec: ModelSpec) -> Any:
    """Return the task that judges the challenger; None if none predicts beside the champion."""
    if not spec.score.shadow:
        return None
    # Not at the top: most specs have no challenger, and each DAG file would import it.
    from airflow_mlops.operators.shadow import ShadowOperator

    return ShadowOperator(
        task_id="shadow",
        model=spec.name,
        target=spec.target,
        task=spec.task.value,
        classes=spec.classes,
        decision=spec.decision,
        weights=spec.train.weights,
        metric=spec.metric.name,
        own_metrics=spec.train.metrics,
        delay=spec.labels.delay,
        labels=spec.labels.source is not None,
        policy=spec.gates.shadow,
        serving=spec.gates.serving,
        outlets=[assets.champion(spec.name)],
        doc_md=docs.TASKS["shadow"],
    )
