"""MLflow runs and experiments: created once, whatever is retried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


KEY = "mlops.key"
"""Tag of runs and versions: the idempotency key of the training that made them."""
ATTEMPT = "mlops.attempt"
"""Tag of runs: equal in those that one request has created because MLflow repeated it."""
FILES = "mlops.files"
"""Tag of a logged model: the sha256 of each of its files, as JSON."""
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
        message, shown = told(client, error.message), _shown(client, error)
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            raise ModelNotFound(message) from shown
        raise RegistryUnavailable(message, silent=silent(error)) from shown
    except (OSError, SQLAlchemyError) as error:  # from artifact stores, and from opening the database
        raise RegistryUnavailable(told(client, str(error)), silent=silent(error)) from _shown(client, error)


def silent(error: Exception) -> bool:
    """Tell whether an error of MLflow's means that it gave no answer at all."""
    from requests import ConnectionError, Timeout

    # MLflow says the same of a server that is away as of one that answers 500 again and again; what it caught differs.
    return isinstance(error.__cause__ or error.__context__ or error, (ConnectionError, Timeout))


def _login(client: MlflowClient) -> str:
    login, at, _ = urlsplit(str(client.tracking_uri)).netloc.rpartition("@")
    return login + at


def told(client: MlflowClient, message: str) -> str:
    """Return a message with the address that it is about, but without its password."""
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
    with errors(client):
        found = client.get_experiment_by_name(name)
    if found is None:
        try:
            with errors(client):
                return str(client.create_experiment(name, artifacts or _beside(client.tracking_uri, name)))
        except RegistryUnavailable as failure:
            if failure.silent:
                raise
            # Another task may have created it, or the reply was lost.
            with errors(client):
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
            # What went wrong counts for more than MLflow not hearing of it.
            with suppress(RegistryUnavailable, ModelNotFound):
                _close(client, experiment_id, run_id, attempt, status)
        raise
    _close(client, experiment_id, run_id, attempt, "FINISHED")


def _close(client: MlflowClient, experiment_id: str, run_id: str, attempt: str, status: str) -> None:
    with errors(client):
        client.set_terminated(run_id, status)
        # Not before: a server that was stopped carries out what it was sent once it goes on.
        for double in _running(client, experiment_id, ATTEMPT, attempt):
            client.delete_run(double.info.run_id)


def _close_stale(client: MlflowClient, experiment_id: str, key: str) -> None:
    known: set[str] = set()
    for stale in _running(client, experiment_id, KEY, key):
        attempt = stale.data.tags.get(ATTEMPT, stale.info.run_id)
        client.set_terminated(stale.info.run_id, "KILLED")
        if attempt in known:
            client.delete_run(stale.info.run_id)
        known.add(attempt)


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
    known = {name: value for name, value in metrics.items() if value is not None}
    with errors(client):
        client.log_batch(run_id, [Metric(f"{group}/{name}", value, now, 0) for name, value in known.items()])


def add_output(client: MlflowClient, run: Run, model_id: str, files: Mapping[str, str]) -> None:
    """Mark a logged model, whose artifacts are there, as ready and as what its run has made.

    Logged models of the run that are not ready were created by a repeated request, and are deleted.

    :param files: sha256 of each of its files, by path; kept as tag :data:`FILES`.
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
        # A database knows the status as a number, and MLflow does not translate it in a search.
        for found in client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'"):
            if found.status == LoggedModelStatus.PENDING:
                client.delete_logged_model(found.model_id)


def outputs(client: MlflowClient, run_id: str) -> list[str]:
    """Return the ids of the models that a run has logged."""
    found = client.get_run(run_id).outputs
    return [output.model_id for output in found.model_outputs] if found else []


def finish(client: MlflowClient, run_id: str) -> None:
    """Mark a run FINISHED whose process ended between registering its model and saying so."""
    with errors(client):
        if client.get_run(run_id).info.status != "FINISHED":
            client.set_terminated(run_id, "FINISHED")


def quoted(value: str) -> str:
    """Return a text as MLflow's searches take it."""
    quote = '"' if "'" in value else "'"
    if quote in value:
        raise ValueError(f"An idempotency key cannot hold both kinds of quotes: {value}")
    return f"{quote}{value}{quote}"
