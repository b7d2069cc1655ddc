"""A rehearsal of what stages need of MLflow, which leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
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


def locations(client: Client, names: Iterable[str]) -> dict[str, str]:
    """Return where experiments that there are keep artifacts: an URI, by the name of the experiment.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with errors(client):
        experiments = [client.get_experiment_by_name(name) for name in names]
    return {
        str(experiment.name): str(experiment.artifact_location)
        for experiment in experiments
        if experiment is not None and experiment.lifecycle_stage != "deleted"
    }


def keep(client: Client, location: str) -> bool:
    """Write an artifact where an experiment keeps its own, read it, and remove it; tell whether it was read as written.

    :raises Exception: whatever the artifact store or its library raises.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    place = f"{location.rstrip('/')}/mlops-rehearsal-{uuid4().hex}"
    store = get_artifact_repository(place, tracking_uri=client.tracking_uri)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "probe.txt").write_text(place)
        store.log_artifact(f"{folder}/probe.txt")  # type: ignore[no-untyped-call]
        copy = store.download_artifacts("probe.txt")  # type: ignore[no-untyped-call]
        is_same = Path(copy).read_text() == place
    # Some stores cannot delete; one small file stays then.
    with suppress(NotImplementedError):
        store.delete_artifacts()  # type: ignore[no-untyped-call]
    return is_same


def is_deleted(client: Client, name: str) -> bool:
    """Tell whether an experiment was deleted, so that its name can neither be used nor given again."""
    with errors(client):
        experiment = client.get_experiment_by_name(name)
    return experiment is not None and experiment.lifecycle_stage == "deleted"
