"""Child runs, such as the trials of a search: beginning, finding, moving to another parent, and ending them."""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING, Any

from airflow_mlops.stores.registry import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PARENT = "mlflow.parentRunId"
_MOST = 50_000  # runs that MLflow returns at most


def begin(client: MlflowClient, parent: Run, name: str, tags: Mapping[str, str]) -> str:
    """Begin a run below another one, and return its id.

    :raises RegistryUnavailable: if MLflow does not answer; the functions below raise it too.
    """
    with tracking.errors(client):
        opened = client.create_run(
            parent.info.experiment_id, run_name=name, tags={_PARENT: parent.info.run_id, **tags}
        )
    return str(opened.info.run_id)


def find(client: MlflowClient, parent: Run, tag: str, value: str, *, running: bool = False) -> list[Run]:
    """Return the runs with a tag in the parent's experiment; they may be below the parent or one of its earlier tries.

    :param running: whether to return only runs that have not ended.
    """
    condition = f"tags.`{tag}` = {tracking.quoted(value)}"
    if running:
        condition += " and attributes.status = 'RUNNING'"
    with tracking.errors(client):
        return list(client.search_runs([parent.info.experiment_id], condition, max_results=_MOST))


def adopt(client: MlflowClient, parent: Run, run_id: str) -> None:
    """Move a run below another parent."""
    tracking.tag(client, run_id, _PARENT, parent.info.run_id)


def end(
    client: MlflowClient,
    run_id: str,
    *,
    metrics: Mapping[str, float | None],
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    failed: bool,
) -> None:
    """Log the metrics, params and tags of a run, and end it.

    :param metrics: metrics by name; undefined ones are left out.
    """
    from mlflow.entities import Metric, Param, RunTag

    now = int(time() * 1000)
    with tracking.errors(client):
        client.log_batch(
            run_id,
            [Metric(name, value, now, 0) for name, value in metrics.items() if value is not None],
            [Param(name, str(value)) for name, value in params.items()],
            [RunTag(name, value) for name, value in tags.items()],
        )
        client.set_terminated(run_id, "FAILED" if failed else "FINISHED")


def kill(client: MlflowClient, run_id: str) -> None:
    """End a run that was given up."""
    with tracking.errors(client):
        client.set_terminated(run_id, "KILLED")
