"""The model registry: versions are registered once; which is champion, and what a version was made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, Split
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, RegistryUnavailable
from airflow_mlops.stores.registry import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
"""The alias of the version that predictions are made with."""
# Characters of a tag: MLflow takes 100,000, but a MySQL below it 65,535 bytes. Columns of a wide table take more.
_LONGEST = 16_000
_KEPT = "artifact:sha256:"
# Seconds for a registry that makes a version in the background; MLflow's own limit is five minutes.
_PATIENCE = 60
CHALLENGER = "challenger"
"""The alias of the version that predicts beside the champion."""


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


def tag(client: MlflowClient, model: str, number: str, name: str, value: str) -> None:
    """Set a tag of a version."""
    with tracking.errors(client):
        client.set_model_version_tag(model, number, name, value)


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
    with TemporaryDirectory() as folder, tracking.errors(client):
        found = Path(client.download_artifacts(str(version.run_id), _file(name), folder)).read_bytes()
    if hashlib.sha256(found).hexdigest() != digest:
        raise DigestMismatch(
            f"Tag {name} of version {version.version} of {version.name!r} is kept as {_file(name)} of run "
            f"{version.run_id}, which is not what was registered."
        )
    return found.decode()


def _keep(client: MlflowClient, run_id: str, name: str, value: str) -> str:
    if len(value) <= _LONGEST:
        return value
    with tracking.errors(client):
        client.log_text(run_id, value, _file(name))
    return _KEPT + hashlib.sha256(value.encode()).hexdigest()


def _file(tag: str) -> str:
    return f"tags/{tag}.json"


def only_version(client: MlflowClient, model: str, key: str) -> ModelVersion | None:
    """Return the version that was registered under an idempotency key; None if there is no usable one.

    A version that is pending, or whose run has logged no model file, is passed over. MLflow repeats a request whose
    reply was lost, which can create several versions: all but the first are deleted.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client):
        found = client.search_model_versions(
            f"name = '{model}' and tags.`{tracking.KEY}` = {tracking.quoted(key)}"
        )
        usable = [version for version in found if version.status == "READY" and _has_model(client, version)]
        usable.sort(key=lambda version: int(version.version))
    for double in usable[1:]:
        # Gone already if MLflow has repeated the deletion, too.
        with suppress(ModelNotFound), tracking.errors(client):
            client.delete_model_version(model, double.version)
    return usable[0] if usable else None


def _has_model(client: MlflowClient, version: ModelVersion) -> bool:
    if version.run_id is None:
        return False
    outputs = tracking.outputs(client, version.run_id)
    return bool(outputs) and any(
        file.path == tracking.MODEL_FILE for file in client.list_logged_model_artifacts(outputs[-1])
    )


def register(
    client: MlflowClient,
    model: str,
    *,
    key: str,
    source: str,
    run_id: str,
    model_id: str,
    tags: Mapping[str, str],
) -> str:
    """Register a logged model once per key, and return its version.

    :param source: URI of the logged model's artifacts; ``models:/<id>`` would be looked up at MLflow's global
        tracking URI, which need not be this client's.
    :param tags: of any length: read long ones with :func:`tags`.
    :raises RegistryUnavailable: if no usable version could be created.
    """
    kept = {name: _keep(client, run_id, name, value) for name, value in tags.items()}
    failure: RegistryUnavailable | None = None
    try:
        with tracking.errors(client):
            _ensure_registered(client, model)
            client.create_model_version(
                model, source, run_id, tags={**kept, tracking.KEY: key}, model_id=model_id
            )
    except RegistryUnavailable as error:
        if error.silent:
            raise
        failure = error
    # Also after an error: the create may have succeeded though its reply was lost.
    version = only_version(client, model, key)
    if version is None:
        raise failure or RegistryUnavailable(
            tracking.told(client, f"the new version of {model!r} cannot be used.")
        )
    return str(version.version)


@contextmanager
def whole(client: MlflowClient, model: str, key: str) -> Iterator[None]:
    """Take back what is registered under a key if the work is cancelled, as by SystemExit, as far as MLflow answers.

    Work that fails by an error may leave a version, which the next try adopts.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            _withdraw(client, model, key)
        raise


def _withdraw(client: MlflowClient, model: str, key: str) -> None:
    with suppress(ModelNotFound, RegistryUnavailable), tracking.errors(client):
        for found in client.search_model_versions(
            f"name = '{model}' and tags.`{tracking.KEY}` = {tracking.quoted(key)}"
        ):
            client.delete_model_version(model, found.version)
            client.set_terminated(str(found.run_id), "KILLED")


def _ensure_registered(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if tracking.silent(error):
            raise
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            client.get_registered_model(name)


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
