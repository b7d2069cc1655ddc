"""Tags of versions that are longer than MLflow's databases hold: kept as artifacts of the run, and referred to by their digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import DigestMismatch
from airflow_mlops.stores.registry import artifacts, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# Longest tag, in characters: MLflow takes 100,000, but MySQL only 65,535 bytes. The columns of a wide table need more.
_LONGEST = 16_000
_KEPT = "artifact:sha256:"


def keep(client: MlflowClient, run_id: str, name: str, value: str) -> str:
    """Return the text that the tag of a version can have; one that is too long becomes an artifact of the run.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    if len(value) <= _LONGEST:
        return value
    with tracking.errors(client):
        client.log_text(run_id, value, _file(name))
    return _KEPT + hashlib.sha256(value.encode()).hexdigest()


def read(client: MlflowClient, version: ModelVersion, name: str, value: str) -> str:
    """Return the whole text of a tag.

    :param value: what the version has.
    :raises DigestMismatch: if an artifact is not the one that was registered.
    :raises ModelNotFound: if it is gone.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    if not value.startswith(_KEPT):
        return value
    with TemporaryDirectory() as folder:
        content = artifacts.download(client, str(version.run_id), _file(name), Path(folder)).read_bytes()
    if hashlib.sha256(content).hexdigest() != value.removeprefix(_KEPT):
        raise DigestMismatch(
            f"Tag {name} of version {version.version} of {version.name!r} is kept as {_file(name)} of run "
            f"{version.run_id}, which is not what was registered."
        )
    return content.decode()


def _file(tag: str) -> str:
    return f"tags/{tag}.json"
