"""MLflow runs and experiments, each created once, whatever is retried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_mlops.domain.addresses import shown, shown_cause
from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable, StoreUnavailable
from airflow_mlops.stores import disks

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


KEY = "mlops.key"
"""Tag of runs and versions: the idempotency key of the training that made them."""
ATTEMPT = "mlops.attempt"
"""Tag of runs: the same in all runs that one request has created because MLflow repeated it."""
FILES = "mlops.files"
"""Tag of a logged model: the sha256 of each of its files, as JSON."""
MODEL_FILE = "model.skops"
"""Name that MLflow gives the file of the model among the artifacts of a logged model."""


@contextmanager
def errors(client: MlflowClient) -> Iterator[None]:
    """Turn MLflow's errors into ours.

    :raises ModelNotFound: if what was requested does not exist.
    :raises RegistryUnavailable: if MLflow cannot be reached or fails.
    :raises StoreUnavailable: if a disk is full, read-only, or closed to this user.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (RegistryUnavailable, StoreUnavailable):
        raise
    except MlflowException as error:
        message, cause = failure_message(client, error.message), _cause(client, error)
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            raise ModelNotFound(message) from cause
        raise RegistryUnavailable(message, silent=silent(error)) from cause
    except (OSError, SQLAlchemyError) as error:  # from artifact stores, and from opening the database
        # MLflow writes artifacts itself, and here what it downloads.
        refusal = disks.refusal_of(error, str(getattr(error, "filename", None) or "A disk that MLflow uses"))
        if refusal is not None:
            raise refusal from _cause(client, error)
        message, cause = failure_message(client, str(error)), _cause(client, error)
        raise RegistryUnavailable(message, silent=silent(error)) from cause


def silent(error: Exception) -> bool:
    """Tell whether an error of MLflow means that it gave no answer at all."""
    from requests import ConnectionError, Timeout

    # MLflow raises the same error for a server that is away and for one that answers 500 again and again; only the
    # cause differs.
    return isinstance(error.__cause__ or error.__context__ or error, (ConnectionError, Timeout))


def _login(client: MlflowClient) -> str:
    login, at, _ = urlsplit(str(client.tracking_uri)).netloc.rpartition("@")
    return login + at


def place(client: MlflowClient) -> str:
    """Return which MLflow a client asks, such as ``MLflow at http://mlflow:5000``, without the login in its address."""
    return shown(f"MLflow at {client.tracking_uri}".replace(_login(client), ""))


def failure_message(client: MlflowClient, message: str) -> str:
    """Return the message of a failure with MLflow's address, but without the login in it."""
    return shown(f"MLflow at {client.tracking_uri}: {message}".replace(_login(client), ""))


def _cause(client: MlflowClient, error: Exception) -> Exception | None:
    # MLflow's own messages repeat a password in the address, and the log shows the cause of an error.
    return None if _login(client) else shown_cause(error)


def experiment(client: MlflowClient, name: str, artifacts: str | None = None) -> str:
    """Return the id of an experiment, which is created if it does not exist.

    :param artifacts: URI for its artifacts; None means ``artifacts/<name>`` beside a SQLite store, or what a server
        decides.
    :raises RegistryUnavailable: if MLflow does not answer.
    :raises ModelNotFound: if the experiment was deleted, and so can neither be used nor created again.
    """
    with errors(client):
        existing = client.get_experiment_by_name(name)
    if existing is None:
        try:
            with errors(client):
                return str(client.create_experiment(name, artifacts or _beside(client.tracking_uri, name)))
        except RegistryUnavailable as failure:
            if failure.silent:
                raise
            # Another task may have created it, or the reply was lost.
            with errors(client):
                existing = client.get_experiment_by_name(name)
            if existing is None:
                raise
    if existing.lifecycle_stage == "deleted":
        raise ModelNotFound(
            f"The MLflow experiment {name!r} is deleted: restore it, or remove it with `mlflow gc`."
        )
    return str(existing.experiment_id)


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

    Runs of the same key that were left RUNNING by a killed process are closed first. If MLflow has gone silent, the
    run is left to the next try too.

    MLflow repeats a request whose reply was lost, which can create several runs: all but one are deleted.
    """
    attempt = uuid4().hex
    with errors(client):
        _close_stale(client, experiment_id, key)
        opened = client.create_run(experiment_id, run_name=name, tags={**tags, KEY: key, ATTEMPT: attempt})
    run_id = opened.info.run_id
    try:
        yield opened
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        if not getattr(error, "silent", False):
            # The error of the work must not be hidden by one of MLflow.
            with suppress(RegistryUnavailable, ModelNotFound):
                _close(client, experiment_id, run_id, attempt, status)
        raise
    _close(client, experiment_id, run_id, attempt, "FINISHED")


def _close(client: MlflowClient, experiment_id: str, run_id: str, attempt: str, status: str) -> None:
    with errors(client):
        client.set_terminated(run_id, status)
        # Not earlier: a server that was suspended carries out repeated requests once it goes on.
        for duplicate in _running(client, experiment_id, ATTEMPT, attempt):
            client.delete_run(duplicate.info.run_id)


def _close_stale(client: MlflowClient, experiment_id: str, key: str) -> None:
    attempts: set[str] = set()
    for stale in _running(client, experiment_id, KEY, key):
        attempt = stale.data.tags.get(ATTEMPT, stale.info.run_id)
        client.set_terminated(stale.info.run_id, "KILLED")
        if attempt in attempts:
            client.delete_run(stale.info.run_id)
        attempts.add(attempt)


def _running(client: MlflowClient, experiment_id: str, tag: str, value: str) -> list[Run]:
    running = f"tags.`{tag}` = {quoted(value)} and attributes.status = 'RUNNING'"
    return list(client.search_runs([experiment_id], running, order_by=["attributes.start_time"]))


def tag(client: MlflowClient, run_id: str, name: str, value: str) -> None:
    """Set a tag of a run."""
    with errors(client):
        client.set_tag(run_id, name, value)


def tags(client: MlflowClient, run_id: str) -> dict[str, str]:
    """Return the tags of a run.

    :raises ModelNotFound: if there is no such run.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with errors(client):
        return dict(client.get_run(run_id).data.tags)


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters of a run; logging the same again changes nothing."""
    from mlflow.entities import Param

    with errors(client):
        client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])


def log_metrics(client: MlflowClient, run_id: str, group: str, metrics: Mapping[str, float | None]) -> None:
    """Log metrics of a run as ``group/name``; undefined ones are left out."""
    from mlflow.entities import Metric

    now = int(time() * 1000)
    defined = {name: value for name, value in metrics.items() if value is not None}
    with errors(client):
        client.log_batch(
            run_id, [Metric(f"{group}/{name}", value, now, 0) for name, value in defined.items()]
        )


def add_output(client: MlflowClient, run: Run, model_id: str, files: Mapping[str, str]) -> None:
    """Mark a logged model, whose artifacts are there, as ready and as the output of its run.

    Logged models of the run that are not ready were created by a repeated request, and are deleted.

    :param files: sha256 of each file of the model, by path; kept as tag :data:`FILES`.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.exceptions import MlflowException

    run_id = run.info.run_id
    with errors(client):
        client.set_logged_model_tags(model_id, {FILES: json.dumps(dict(files))})
        client.finalize_logged_model(model_id, "READY")
        try:
            client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
        except MlflowException as error:
            # If the reply was lost and MLflow repeats the request, its database refuses the second row.
            if silent(error) or model_id not in outputs(client, run_id):
                raise
        # A database has the status as a number, and MLflow does not translate it in a search.
        for logged in client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'"):
            if logged.status == LoggedModelStatus.PENDING:
                client.delete_logged_model(logged.model_id)


def outputs(client: MlflowClient, run_id: str) -> list[str]:
    """Return the ids of the models that a run has logged."""
    run_outputs = client.get_run(run_id).outputs
    return [output.model_id for output in run_outputs.model_outputs] if run_outputs else []


def finish(client: MlflowClient, run_id: str) -> None:
    """Mark a run as FINISHED, if its process ended after it registered the model and before it finished the run."""
    with errors(client):
        if client.get_run(run_id).info.status != "FINISHED":
            client.set_terminated(run_id, "FINISHED")


def quoted(value: str) -> str:
    """Return a text quoted for a search of MLflow.

    :raises ValueError: if the text has quotes of both kinds.
    """
    quote = '"' if "'" in value else "'"
    if quote in value:
        raise ValueError(f"An idempotency key cannot hold both kinds of quotes: {value}")
    return f"{quote}{value}{quote}"
