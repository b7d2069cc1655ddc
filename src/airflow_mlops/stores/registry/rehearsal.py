"""A rehearsal of what stages need of MLflow, which leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_mlops.stores.registry.tracking import errors

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


def registered(client: Client) -> int:
    """Return the number of registered models.

    :raises RegistryUnavailable: if MLflow does not answer, or does not let us read.
    """
    count, token = 0, None
    with errors(client):
        while True:
            page = client.search_registered_models(page_token=token)
            count += len(page)
            if not (token := page.token):
                return count


def register(client: Client) -> None:
    """Register a model and remove it; unlike an experiment, it is gone then.

    :raises RegistryUnavailable: if MLflow refuses either.
    """
    name = f"mlops-rehearsal-{uuid4().hex}"
    with errors(client):
        client.create_registered_model(name)
        client.delete_registered_model(name)


def is_deleted(client: Client, name: str) -> bool:
    """Tell whether an experiment was deleted, so that its name can neither be used nor given again."""
    with errors(client):
        experiment = client.get_experiment_by_name(name)
    return experiment is not None and experiment.lifecycle_stage == "deleted"
