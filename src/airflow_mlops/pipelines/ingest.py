"""The DAG `<model>.ingest`: read, validate and publish one partition."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronPartitionTimetable
from airflow.sdk.definitions.xcom_arg import XComArg

from airflow_mlops import assets
from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec import schedule as schedules
from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.hooks.sources import from_spec
from airflow_mlops.operators.ingest import IngestOperator, PublishOperator
from airflow_mlops.operators.validate import ValidateOperator
from airflow_mlops.pipelines import dag, docs
from airflow_mlops.sensors.partition import NewPartitionSensor


def build(spec: DataSpec) -> DAG:
    """Build the DAG that a schedule starts, once for each partition."""
    first = Partition.parse(spec.start, spec.grain) if spec.start else None
    last = Partition.parse(spec.end, spec.grain) if spec.end else None
    calendar = Calendar(spec.grain)
    schedule = CronPartitionTimetable(
        spec.schedule or schedules.default(calendar),
        timezone=str(calendar.zone),
        run_offset=-1,
        key_format=spec.partition.key_format,
    )
    # A run starts in the period after its partition, so these dates follow from the first and last partition.
    bounds = {
        "start_date": first.end if first else None,
        "end_date": last.shift(1).end - timedelta(microseconds=1) if last else None,
    }
    with dag.new(spec, "ingest", schedule=schedule, **bounds) as stage:
        rows = IngestOperator(
            task_id="ingest",
            source=from_spec(spec.source),
            dataset=spec.name,
            key=spec.key,
            event_time=spec.event_time,
            grain=spec.grain,
            ambiguous=spec.ambiguous,
            required=[*spec.columns],
            stage=True,
            schema=spec.schema_policy.value,
            transform=spec.transform,
            types=spec.types,
            pii=spec.pii,
            on_unreadable=spec.on_unreadable,
            doc_md=docs.TASKS["ingest"],
        )
        if spec.source.wait is not None:
            arrival = NewPartitionSensor(
                task_id="wait",
                source=from_spec(spec.source),
                grain=spec.grain,
                timeout=spec.source.wait,
                deferrable=True,
                doc_md=docs.TASKS["arrival"],
            )
            arrival >> rows
        valid = ValidateOperator(
            task_id="validate",
            dataset=rows.output,
            expectations=spec.expectations,
            required=[*spec.filled],
            pii=spec.pii,
            max_quarantined=spec.max_quarantined,
            model=spec.name,
            skew=spec.comparison,
            doc_md=docs.TASKS["validate"],
        )
        PublishOperator(
            task_id="publish",
            dataset=valid.output,
            validation=XComArg(valid, key="validation"),
            spec=None if isinstance(spec, ModelSpec) else spec,
            outlets=[assets.data(spec.name)],
            doc_md=docs.TASKS["publish"],
        )
    return stage
