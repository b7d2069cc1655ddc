"""Registration: a trained model becomes a version exactly once, whatever is retried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable
from airflow_mlops.stores.registry import long_tags, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def only_version(client: MlflowClient, model: str, key: str) -> ModelVersion | None:
    """Return the version that was registered under an idempotency key; None if there is no usable one.

    A version that is pending, or whose run has logged no model file, is passed over. MLflow repeats a request whose
    reply was lost, which can create several versions: all but the first are deleted.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client):
        versions = client.search_model_versions(
            f"name = '{model}' and tags.`{tracking.KEY}` = {tracking.quoted(key)}"
        )
        usable = [
            version for version in versions if version.status == "READY" and _has_model(client, version)
        ]
        usable.sort(key=lambda version: int(version.version))
    for duplicate in usable[1:]:
        # Not found if MLflow has repeated the deletion too.
        with suppress(ModelNotFound), tracking.errors(client):
            client.delete_model_version(model, duplicate.version)
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
    :param tags: tags of any length; read long ones with :func:`airflow_mlops.stores.registry.registry.tags`.
    :raises RegistryUnavailable: if no usable version could be created.
    """
    kept = {name: long_tags.keep(client, run_id, name, value) for name, value in tags.items()}
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
            tracking.failure_message(client, f"the new version of {model!r} cannot be used.")
        )
    return str(version.version)


@contextmanager
def whole(client: MlflowClient, model: str, key: str) -> Iterator[None]:
    """Delete what was registered under a key if the work is cancelled, as by SystemExit, as far as MLflow answers.

    Work that fails with an error may leave a version, which the next try adopts.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            _withdraw(client, model, key)
        raise


def _withdraw(client: MlflowClient, model: str, key: str) -> None:
    with suppress(ModelNotFound, RegistryUnavailable), tracking.errors(client):
        for version in client.search_model_versions(
            f"name = '{model}' and tags.`{tracking.KEY}` = {tracking.quoted(key)}"
        ):
            client.delete_model_version(model, version.version)
            client.set_terminated(str(version.run_id), "KILLED")


def _ensure_registered(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if tracking.silent(error):
            raise
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            client.get_registered_model(name)
