"""What the DAGs of a spec have in common."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, conf

from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.pipelines import docs
from airflow_mlops.pipelines.retry import RETRIES, RETRY_POLICY
from airflow_mlops.reporting.notes import TAG


def new(spec: DataSpec, stage: str, **arguments: Any) -> DAG:
    """Return an empty DAG of a stage.

    :param arguments: further arguments of the DAG, such as its schedule.
    """
    return DAG(
        dag_id=f"{spec.name}.{stage}",
        description=docs.summary(spec, stage),
        doc_md=docs.page(spec, stage),
        tags=[TAG, spec.name, stage],
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
    # Otherwise each DAG would read these from the configuration again.
    return {
        "max_active_tasks": conf.getint("core", "max_active_tasks_per_dag"),
        "max_consecutive_failed_dag_runs": conf.getint("core", "max_consecutive_failed_dag_runs_per_dag"),
        "disable_bundle_versioning": conf.getboolean("dag_processor", "disable_bundle_versioning"),
    }


def after(asset: Asset) -> PartitionedAssetTimetable:
    """Return the timetable of a DAG that runs for each partition of an asset, under the same key."""
    return PartitionedAssetTimetable(assets=asset)
