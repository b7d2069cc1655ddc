"""Renaming of what MLflow keeps of a model: the registered model, its experiment, and what versions say of their data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.exceptions import ModelNotFound
from airflow_mlops.stores.registry import long_tags, registry, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from airflow_mlops.domain.facts.renaming import Names

_FACTS = ("mlops.dataset", "mlops.recipe", "mlops.trained")
"""Tags of versions that hold facts as JSON."""


def is_there(client: MlflowClient, model: str) -> bool:
    """Tell whether MLflow has a registered model or an experiment of a name, deleted ones included.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client):
        if client.get_experiment_by_name(model) is not None:
            return True
    try:
        with tracking.errors(client):
            client.get_registered_model(model)
    except ModelNotFound:
        return False
    return True


def rename(client: MlflowClient, names: Names) -> None:
    """Give a registered model and its experiment a new name; what has it already stays as it is.

    Versions keep their numbers, aliases, digests and artifacts.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    for version in registry.versions(client):
        tags = registry.tags(client, version)
        for name in _FACTS:
            renamed = names.json(tags.get(name, ""))
            if renamed != tags.get(name, ""):
                kept = long_tags.keep(client, str(version.run_id), name, renamed)
                registry.tag(client, version.name, str(version.version), name, kept)
    try:
        with tracking.errors(client):
            client.get_registered_model(names.old)
    except ModelNotFound:
        pass
    else:
        with tracking.errors(client):
            client.rename_registered_model(names.old, names.new)
    with tracking.errors(client):
        experiment = client.get_experiment_by_name(names.old)
        if experiment is not None and experiment.lifecycle_stage != "deleted":
            client.rename_experiment(experiment.experiment_id, names.new)
