"""What the tasks of the monitor stage are about: a partition, and the champion that served it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.engines import score
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.runs import dataset_of, table_uri

if TYPE_CHECKING:
    from airflow.sdk import Context
    from mlflow import MlflowClient

    from airflow_mlops.domain.results import DatasetVersion, ModelRef


def subject(
    context: Context, model: str, partition: str | None, conn_id: str | None
) -> tuple[MlflowClient, DatasetVersion, ModelRef | None]:
    """Return MLflow, the data as of a run's partition, and the champion of that time; None if there was none."""
    dataset = dataset_of(context, model, partition)
    client = MlflowHook(conn_id).get_conn()
    return client, dataset, score.champion_for(client, table_uri(model, "ledger"), model, dataset.partition)
