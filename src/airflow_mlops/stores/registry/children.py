"""Runs below another one, such as the trials of a search: begun, found again, moved to another parent, and ended."""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING, Any

from airflow_mlops.stores.registry import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PARENT = "mlflow.parentRunId"
_MOST = 50_000  # runs that MLflow gives at once


def begin(client: MlflowClient, parent: Run, name: str, tags: Mapping[str, str]) -> str:
    """Begin a run below another one, and return its id.

    :raises RegistryUnavailable: if MLflow does not answer; so too of the functions below.
    """
    with tracking.errors(client):
        opened = client.create_run(
            parent.info.experiment_id, run_name=name, tags={_PARENT: parent.info.run_id, **tags}
        )
    return str(opened.info.run_id)


def find(client: MlflowClient, parent: Run, tag: str, value: str, *, running: bool = False) -> list[Run]:
    """Return the runs that have a tag, of the parent's experiment: below it, or below one of its former tries.

    :param running: only those that have not ended.
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
    """Keep what a run has shown, and end it.

    :param metrics: undefined ones are left out.
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
