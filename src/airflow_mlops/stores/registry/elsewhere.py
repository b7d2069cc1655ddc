"""Versions that somebody else has registered: which there are, and the files of their models."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.exceptions import ModelNotFound, ModelRefused
from airflow_mlops.stores.registry import registry, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ORIGIN = "mlops.origin"
"""Tag of versions that were taken in: the version that they come from, as ``model/number``."""
ESTIMATORS = "mlops.estimators"
"""Tag of versions that were taken in: the estimators that they consist of, as a list of dotted paths."""
TRAINED_UNTIL = "trained_until"
"""Tag of versions that were trained elsewhere: the event time that their training data ends at."""


class ForeignVersion(NamedTuple):
    """A version that was trained and registered elsewhere.

    :param location: URI of the folder with its files.
    :param registered: when it was registered.
    """

    model: str
    number: str
    location: str
    tags: dict[str, str]
    registered: datetime

    @property
    def name(self) -> str:
        """Its name in a sentence."""
        return f"version {self.number} of {self.model!r}"

    @property
    def origin(self) -> str:
        """What versions that were taken in from it have as tag :data:`ORIGIN`."""
        return f"{self.model}/{self.number}"


def is_foreign(client: MlflowClient, model: str, number: str) -> bool:
    """Tell whether a version was registered by somebody else than this package.

    :raises ModelNotFound: if there is no such version.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    return not _is_ours(registry.get(client, model, number))


def version(client: MlflowClient, model: str, number: str) -> ForeignVersion:
    """Return a version that was trained elsewhere.

    :raises ModelNotFound: if there is no such version.
    :raises ModelRefused: if it was trained, or taken in, by this package.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    registered = registry.get(client, model, number)
    if _is_ours(registered):
        raise ModelRefused(
            f"Version {number} of {model!r} was registered by airflow-mlops itself, and is no model from elsewhere."
        )
    return _foreign(client, registered)


def newest(client: MlflowClient, model: str) -> ForeignVersion | None:
    """Return the version with the highest number that was trained elsewhere and is ready; None if there is none.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client):
        versions = client.search_model_versions(f"name = {tracking.quoted(model)}")
    foreign = [other for other in versions if other.status == "READY" and not _is_ours(other)]
    return _foreign(client, max(foreign, key=lambda other: int(other.version))) if foreign else None


def taken_in(client: MlflowClient, model: str, foreign: ForeignVersion) -> set[str]:
    """Return the numbers of the versions of a model that were taken in from one version.

    If its model was deleted and registered again, its versions count from 1 again: one that was taken in before it was
    registered comes from another of its number.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    query = f"name = {tracking.quoted(model)} and tags.`{ORIGIN}` = {tracking.quoted(foreign.origin)}"
    with tracking.errors(client):
        ours = client.search_model_versions(query)
    return {str(version.version) for version in ours if _registered_at(version) >= foreign.registered}


def fetch(client: MlflowClient, foreign: ForeignVersion, file: str, folder: Path) -> Path:
    """Download one file of a version that was trained elsewhere.

    :raises ModelNotFound: if it does not exist.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    import mlflow.artifacts

    location = foreign.location.rstrip("/")
    with tracking.errors(client):
        # Each kind of artifact store fails in another way if the file to download is missing.
        listed = mlflow.artifacts.list_artifacts(location, tracking_uri=client.tracking_uri)
        if all(Path(entry.path).name != file for entry in listed):
            raise ModelNotFound(
                f"{foreign.name.capitalize()} has no file {file} at {foreign.location}: log the model again."
            )
        downloaded = mlflow.artifacts.download_artifacts(
            f"{location}/{file}", dst_path=str(folder), tracking_uri=client.tracking_uri
        )
    return Path(downloaded)


def _is_ours(registered: ModelVersion) -> bool:
    return bool(registered.tags.get(registry.DIGEST))


def _foreign(client: MlflowClient, registered: ModelVersion) -> ForeignVersion:
    with tracking.errors(client):
        # An address of the kind models:/ would be looked up at MLflow's global address, which need not be this client's.
        if model_id := getattr(registered, "model_id", None):
            location = str(client.get_logged_model(model_id).artifact_location)
        else:
            location = str(client.get_model_version_download_uri(registered.name, registered.version))
    return ForeignVersion(
        registered.name,
        str(registered.version),
        location,
        dict(registered.tags),
        _registered_at(registered),
    )


def _registered_at(version: ModelVersion) -> datetime:
    return datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
