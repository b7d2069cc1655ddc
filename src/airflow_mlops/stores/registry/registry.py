"""The model registry: which versions there are, which is champion or challenger, and what each was made of."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, Split
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, RegistryUnavailable
from airflow_mlops.stores.registry import artifacts, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
"""The alias of the version that predictions are made with."""
# Characters of a tag: MLflow takes 100,000, but a MySQL below it 65,535 bytes. Columns of a wide table take more.
_LONGEST = 16_000
_KEPT = "artifact:sha256:"
CHALLENGER = "challenger"
"""The alias of the version that predicts beside the champion."""


class Registration(NamedTuple):
    """When a version was registered, and with which tags: see :func:`tags`."""

    at: datetime
    tags: dict[str, str]


class Training(NamedTuple):
    """What a version was trained on, and how it did on its holdout.

    :param task: ``classification`` or ``regression``.
    :param metrics: of the holdout; empty if the version was never evaluated.
    """

    task: str
    features: Features
    split: Split
    dataset: DatasetVersion
    metrics: dict[str, float]


def champion(client: MlflowClient, model: str) -> ModelRef | None:
    """Return the champion; None only if MLflow says that it has no such model, or that the model has no such alias.

    :raises RegistryUnavailable: if MLflow gives any other answer, or none.
    :raises DigestMismatch: if the alias is at a version that no digest is known of.
    """
    number = champion_version(client, model)
    return version(client, model, number) if number is not None else None


def champion_version(client: MlflowClient, model: str) -> str | None:
    """Return the champion's version number alone; None and errors as for :func:`champion`."""
    return alias_version(client, model, CHAMPION)


def alias_version(client: MlflowClient, model: str, alias: str) -> str | None:
    """Return the number of the version that has an alias; None and errors as for :func:`champion`."""
    # The list of aliases tells more than asking for one: MLflow answers 400 for an unknown alias, as for any bad
    # request. A wrong address or a proxy never answers RESOURCE_DOES_NOT_EXIST, but may answer `{}`.
    try:
        with tracking.errors(client):
            found = client.get_registered_model(model)
    except ModelNotFound:
        return None
    if found.name != model:
        raise RegistryUnavailable(f"MLflow was asked for model {model!r} and answered with {found.name!r}.")
    number = found.aliases.get(alias)
    return None if number is None else str(number)


def set_champion(client: MlflowClient, model: str, number: str) -> None:
    """Point the alias at a version in one request; use :mod:`airflow_mlops.stages.promote.promote` to do so safely.

    :raises ModelNotFound: if there is no such version.
    :raises RegistryUnavailable: if MLflow refuses or does not answer; the alias may have moved all the same.
    """
    with tracking.errors(client):
        client.set_registered_model_alias(model, CHAMPION, number)


def set_challenger(client: MlflowClient, model: str, number: str) -> None:
    """Point the challenger's alias at a version, whoever has it; errors as for :func:`set_champion`."""
    with tracking.errors(client):
        client.set_registered_model_alias(model, CHALLENGER, number)


def drop_challenger(client: MlflowClient, model: str, number: str) -> None:
    """Take the challenger's alias away from a version; another one that has it by now keeps it."""
    if alias_version(client, model, CHALLENGER) == number:
        with tracking.errors(client):
            client.delete_registered_model_alias(model, CHALLENGER)


def tag(client: MlflowClient, model: str, number: str, name: str, value: str) -> None:
    """Set a tag of a version."""
    with tracking.errors(client):
        client.set_model_version_tag(model, number, name, value)


def describe(client: MlflowClient, model: str, number: str, text: str) -> None:
    """Set what MLflow's own pages say of a version, as Markdown.

    :raises ModelNotFound: if there is no such version.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client):
        client.update_model_version(model, number, text)


def versions(client: MlflowClient) -> list[ModelVersion]:
    """Return every version of every model.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    found: list[ModelVersion] = []
    token = None
    with tracking.errors(client):
        while True:
            page = client.search_model_versions(max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found


def version(client: MlflowClient, model: str, number: str) -> ModelRef:
    """Return a registered version with the digest that it must have.

    :raises ModelNotFound: if it does not exist or is not ready; the message lists those that exist.
    :raises DigestMismatch: if no digest is known of it, because it was not registered by this package.
    """
    found = _get(client, model, number)
    digest = found.tags.get("mlops.digest")
    if not digest or not found.run_id:
        raise DigestMismatch(
            f"Version {number} of {model!r} was not registered by a training run: without a run and the tag "
            "mlops.digest its content cannot be verified."
        )
    return ModelRef(
        model=model, version=str(found.version), digest=digest, run_id=found.run_id,
        trained_through=found.tags.get("mlops.trained_through"),
    )  # fmt: skip


def training(client: MlflowClient, ref: ModelRef) -> Training:
    """Return what a version was trained on.

    :raises ModelNotFound: if the version or its run does not exist, or does not say.
    :raises DigestMismatch: see :func:`tags`.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    said = tags(client, _get(client, ref.model, ref.version))
    with tracking.errors(client):
        logged = client.get_run(ref.run_id).data.metrics
    try:
        return Training(
            task=said["mlops.task"],
            features=Features.model_validate_json(said["mlops.features"]),
            split=Split.model_validate_json(said["mlops.split"]),
            dataset=DatasetVersion.model_validate_json(said["mlops.dataset"]),
            metrics={
                name.removeprefix("holdout/"): logged[name] for name in logged if name.startswith("holdout/")
            },
        )
    except (KeyError, ValueError) as error:
        raise ModelNotFound(
            f"Version {ref.version} of {ref.model!r} does not say what it was trained on: {error}"
        ) from error


def registration(client: MlflowClient, ref: ModelRef) -> Registration:
    """Return what a version was registered with; errors as for :func:`tags`."""
    with tracking.errors(client):
        found = client.get_model_version(ref.model, ref.version)
    return Registration(datetime.fromtimestamp(found.creation_timestamp / 1000, UTC), tags(client, found))


def short_tags(client: MlflowClient, ref: ModelRef) -> dict[str, str]:
    """Return the tags of a version as MLflow has them, in one request: of a long one, only where it is kept.

    :raises ModelNotFound: if there is no such version.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client):
        return dict(client.get_model_version(ref.model, ref.version).tags)


def tags(client: MlflowClient, version: ModelVersion) -> dict[str, str]:
    """Return the tags of a version; what was too long for one is read from the artifacts of its run.

    :raises DigestMismatch: if it is not what was registered.
    :raises ModelNotFound: if it is not there any more.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    return {
        name: _read(client, version, name, value.removeprefix(_KEPT)) if value.startswith(_KEPT) else value
        for name, value in version.tags.items()
    }


def _read(client: MlflowClient, version: ModelVersion, name: str, digest: str) -> str:
    with TemporaryDirectory() as folder:
        found = artifacts.download(client, str(version.run_id), _file(name), Path(folder)).read_bytes()
    if hashlib.sha256(found).hexdigest() != digest:
        raise DigestMismatch(
            f"Tag {name} of version {version.version} of {version.name!r} is kept as {_file(name)} of run "
            f"{version.run_id}, which is not what was registered."
        )
    return found.decode()


def keep_tag(client: MlflowClient, run_id: str, name: str, value: str) -> str:
    """Return a tag as a version can have it: one that is too long becomes an artifact of the run.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    if len(value) <= _LONGEST:
        return value
    with tracking.errors(client):
        client.log_text(run_id, value, _file(name))
    return _KEPT + hashlib.sha256(value.encode()).hexdigest()


def _file(tag: str) -> str:
    return f"tags/{tag}.json"


def _get(client: MlflowClient, model: str, number: str) -> ModelVersion:
    # MLflow answers 400 for what is no number.
    if number.isascii() and number.isdigit():
        try:
            with tracking.errors(client):
                found = client.get_model_version(model, number)
        except ModelNotFound:
            pass
        else:
            if found.status == "READY":
                return found
            raise ModelNotFound(
                f"Version {number} of {model!r} is {found.status}, not READY: {found.status_message}"
            )
    with tracking.errors(client):
        existing = sorted(int(each.version) for each in client.search_model_versions(f"name = '{model}'"))
    known = f"it has {', '.join(map(str, existing))}" if existing else "it has none"
    raise ModelNotFound(f"Model {model!r} has no version {number!r}; {known}.")
