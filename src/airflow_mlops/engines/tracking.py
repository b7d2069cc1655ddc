"""MLflow runs, experiments and versions: created once, whatever is retried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

    from airflow_mlops.domain.results import DatasetVersion

KEY = "mlops.key"
"""Tag of runs and versions: the idempotency key of the training that made them."""
MODEL_FILE = "model.skops"
"""The model's file among the artifacts of a logged model, as MLflow names it."""


@contextmanager
def errors(client: MlflowClient) -> Iterator[None]:
    """Turn MLflow's errors into ours.

    :raises ModelNotFound: if what was asked for does not exist.
    :raises RegistryUnavailable: if MLflow cannot be reached or fails.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except RegistryUnavailable:
        raise
    except MlflowException as error:
        missing = error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
        kind = ModelNotFound if missing else RegistryUnavailable
        raise kind(_told(client, error.message)) from _shown(client, error)
    except (OSError, SQLAlchemyError) as error:  # from artifact stores, and from opening the database
        raise RegistryUnavailable(_told(client, str(error))) from _shown(client, error)


def _login(client: MlflowClient) -> str:
    login, at, _ = urlsplit(str(client.tracking_uri)).netloc.rpartition("@")
    return login + at


def _told(client: MlflowClient, message: str) -> str:
    return f"MLflow at {client.tracking_uri}: {message}".replace(_login(client), "")


def _shown(client: MlflowClient, error: Exception) -> Exception | None:
    # MLflow's own messages repeat a password that stands in the address, and a cause is shown in the log.
    return None if _login(client) else error


def experiment(client: MlflowClient, name: str, artifacts: str | None = None) -> str:
    """Return the id of an experiment, which is created if there is none.

    :param artifacts: URI for its artifacts; None means ``artifacts/<name>`` beside a SQLite store, or what a server
        decides.
    :raises RegistryUnavailable: if MLflow does not answer.
    :raises ModelNotFound: if the experiment was deleted, and so can neither be used nor created again.
    """
    from mlflow.exceptions import MlflowException

    with errors(client):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifacts or _beside(client.tracking_uri, name)))
            except MlflowException:
                # Another task may have created it, or the reply was lost.
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
    if found.lifecycle_stage == "deleted":
        raise ModelNotFound(
            f"The MLflow experiment {name!r} is deleted: restore it, or remove it with `mlflow gc`."
        )
    return str(found.experiment_id)


def _beside(tracking_uri: str, name: str) -> str | None:
    # Without a location, MLflow puts the artifacts of a SQLite store below the working directory of the task.
    from pathlib import Path

    if not tracking_uri.startswith("sqlite:"):
        return None
    database = Path(urlsplit(tracking_uri).path.removeprefix("/"))
    return (database.absolute().parent / "artifacts" / name).as_uri()


@contextmanager
def run(
    client: MlflowClient, experiment_id: str, name: str, key: str, tags: Mapping[str, str]
) -> Iterator[Run]:
    """Open a run that ends FINISHED, FAILED by an error, or KILLED by anything else.

    Runs of the same key that were left RUNNING by a killed process are closed first.
    """
    with errors(client):
        for stale in client.search_runs(
            [experiment_id], f"tags.`{KEY}` = {_quoted(key)} and attributes.status = 'RUNNING'"
        ):
            client.set_terminated(stale.info.run_id, "KILLED")
        opened = client.create_run(experiment_id, run_name=name, tags={**tags, KEY: key})
    try:
        yield opened
    except BaseException as error:
        # What went wrong counts for more than MLflow not hearing of it.
        with suppress(RegistryUnavailable), errors(client):
            client.set_terminated(opened.info.run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    with errors(client):
        client.set_terminated(opened.info.run_id, "FINISHED")


def log_dataset(client: MlflowClient, run_id: str, dataset: DatasetVersion) -> None:
    """Log which data a run was trained on, as a dataset of MLflow."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"uri": dataset.uri, "version": dataset.version, "partition": dataset.partition}
    entry = Dataset(
        name=dataset.name,
        digest=dataset.digest[:36],  # MLflow keeps no more
        source_type="delta",
        source=json.dumps(source),
        schema=json.dumps(dataset.columns),
        profile=json.dumps({"rows": dataset.rows}),
    )
    with errors(client):
        client.log_inputs(run_id, [DatasetInput(entry, [InputTag("mlflow.data.context", "training")])])


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters of a run; logging the same again changes nothing."""
    from mlflow.entities import Param

    with errors(client):
        client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])


def log_metrics(client: MlflowClient, run_id: str, group: str, metrics: Mapping[str, float | None]) -> None:
    """Log metrics of a run as ``group/name``; undefined ones are left out."""
    from mlflow.entities import Metric

    now = int(time() * 1000)
    known = {name: value for name, value in metrics.items() if value is not None}
    with errors(client):
        client.log_batch(run_id, [Metric(f"{group}/{name}", value, now, 0) for name, value in known.items()])


def finish(client: MlflowClient, run_id: str) -> None:
    """Mark a run FINISHED whose process ended between registering its model and saying so."""
    with errors(client):
        if client.get_run(run_id).info.status != "FINISHED":
            client.set_terminated(run_id, "FINISHED")


def only_version(client: MlflowClient, model: str, key: str) -> ModelVersion | None:
    """Return the version that was registered under an idempotency key; None if there is no usable one.

    A version that is pending, or whose run has logged no model file, is passed over. MLflow repeats a request whose
    reply was lost, which can create several versions: all but the first are deleted.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with errors(client):
        found = client.search_model_versions(f"name = '{model}' and tags.`{KEY}` = {_quoted(key)}")
        usable = [version for version in found if version.status == "READY" and _has_model(client, version)]
        usable.sort(key=lambda version: int(version.version))
        for double in usable[1:]:
            client.delete_model_version(model, double.version)
    return usable[0] if usable else None


def _has_model(client: MlflowClient, version: ModelVersion) -> bool:
    if version.run_id is None:
        return False
    run = client.get_run(version.run_id)
    outputs = run.outputs.model_outputs if run.outputs else []
    return bool(outputs) and any(
        file.path == MODEL_FILE for file in client.list_logged_model_artifacts(outputs[-1].model_id)
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
    :raises RegistryUnavailable: if no usable version could be created.
    """
    failure: RegistryUnavailable | None = None
    try:
        with errors(client):
            _ensure_registered(client, model)
            client.create_model_version(model, source, run_id, tags={**tags, KEY: key}, model_id=model_id)
    except RegistryUnavailable as error:
        failure = error
    # Also after an error: the create may have succeeded though its reply was lost.
    version = only_version(client, model, key)
    if version is None:
        raise failure or RegistryUnavailable(_told(client, f"the new version of {model!r} cannot be used."))
    return str(version.version)


def _ensure_registered(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            client.get_registered_model(name)


def _quoted(value: str) -> str:
    quote = '"' if "'" in value else "'"
    if quote in value:
        raise ValueError(f"An idempotency key cannot hold both kinds of quotes: {value}")
    return f"{quote}{value}{quote}"
