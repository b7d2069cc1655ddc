"""Removal of what MLflow keeps of a model: its versions, its experiment, and the artifacts of its runs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.exceptions import ErasureRefused, ModelNotFound
from airflow_mlops.stores.registry import tracking
from airflow_mlops.stores.registry.registry import CHAMPION, alias_version, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Registered(NamedTuple):
    """What MLflow keeps of a model.

    :param champion: number of the version with the alias; None without one.
    :param experiment: id of its experiment; None without one.
    :param runs: how many runs the experiment has, deleted ones among them.
    :param artifacts: where the experiment keeps its artifacts; None if another experiment keeps its own there, too.
    """

    versions: tuple[str, ...]
    champion: str | None
    experiment: str | None
    runs: int
    artifacts: str | None


def registered(client: MlflowClient, model: str) -> Registered:
    """Return what MLflow keeps of a model.

    :raises ErasureRefused: if a version of another model is kept among the artifacts of this one.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    from mlflow.entities import ViewType

    registered_versions = versions(client)
    own = sorted(int(version.version) for version in registered_versions if version.name == model)
    champion = alias_version(client, model, CHAMPION)
    with tracking.errors(client):
        experiment = client.get_experiment_by_name(model)
        if experiment is None:
            return Registered(tuple(map(str, own)), champion, None, 0, None)
        location = str(experiment.artifact_location).rstrip("/")
        strangers = [
            f"version {version.version} of {version.name!r}"
            for version in registered_versions
            if version.name != model and str(version.source).startswith(f"{location}/")
        ]
        sharing = [
            other
            for other in client.search_experiments(view_type=ViewType.ALL)
            if other.experiment_id != experiment.experiment_id
            and str(other.artifact_location).rstrip("/") == location
        ]
        if strangers and not sharing:
            raise ErasureRefused(
                f"{', '.join(strangers)} is kept in the experiment of {model!r}, and would be lost with it; delete it first."
            )
        runs, token = 0, None
        while True:
            page = client.search_runs([experiment.experiment_id], "", ViewType.ALL, 1000, page_token=token)
            runs, token = runs + len(page), page.token
            if not token:
                break
    return Registered(
        tuple(map(str, own)), champion, str(experiment.experiment_id), runs, None if sharing else location
    )


def remove(client: MlflowClient, model: str) -> None:
    """Delete a registered model with all versions, and its experiment; what is gone already is fine.

    MLflow keeps a deleted experiment under its name until ``mlflow gc``; it gets another name before, so that the name
    is free.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with suppress(ModelNotFound), tracking.errors(client):
        client.delete_registered_model(model)
    with tracking.errors(client):
        experiment = client.get_experiment_by_name(model)
        if experiment is None:
            return
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        client.rename_experiment(experiment.experiment_id, f"{model} (removed, {experiment.experiment_id})")
        client.delete_experiment(experiment.experiment_id)
