"""Connections of the commands to MLflow, and the folders with people's code."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.hooks.mlflow import MlflowHook
    from airflow_mlops.stores.registry.client import Client

log = logging.getLogger(__name__)


def mlflow() -> Client:
    """Return a client for the MLflow that tasks use, or for that of the storage that this command uses in its place.

    :raises LookupError: if another connection than ``mlflow_default`` is configured and does not exist.
    :raises RegistryUnavailable: if MLflow's database cannot be opened.
    :raises ValueError: if the connection has no host, or has an unknown extra.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return _hook().get_conn()
    except AirflowNotFoundException as error:
        raise LookupError(str(error)) from error


def mlflow_address() -> str:
    """Return the address of the MLflow that tasks use, which may hold a password, without asking there.

    :raises LookupError: as :func:`mlflow` does.
    :raises ValueError: if the connection has no host, or has an unknown extra.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return _hook().address()
    except AirflowNotFoundException as error:
        raise LookupError(str(error)) from error


def _hook() -> MlflowHook:
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_mlops import config
    from airflow_mlops.hooks import mlflow as hooks

    class Hook(hooks.MlflowHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            # A storage of its own has an MLflow of its own, whatever the connection ``mlflow_default`` says.
            if config.is_replaced("tracking_uri"):
                raise AirflowNotFoundException(f"The connection {conn_id!r} is not used.")
            return connection(conn_id)

    return Hook(Hook.default_conn_name if config.is_replaced("tracking_uri") else None)


def connection(conn_id: str) -> Any:
    """Return a connection from the secrets backends of Airflow's server processes.

    Outside of a task, hooks only look into the environment. They would miss a connection that is stored in Airflow's
    database, and the command would use another MLflow than the tasks.

    :raises AirflowNotFoundException: if none of them has it.
    """
    from airflow.sdk.configuration import ensure_secrets_loaded
    from airflow.sdk.exceptions import AirflowNotFoundException
    from airflow.sdk.log import mask_secret

    for backend in ensure_secrets_loaded():
        try:
            stored = backend.get_connection(conn_id=conn_id)
        except Exception as error:  # noqa: BLE001 - backends raise what they like, and the next one may have it
            reason = str(error).partition("\n")[0]
            log.warning("%s cannot be asked for %s: %s", type(backend).__name__, conn_id, reason)
        else:
            if stored is not None:
                mask_secret(stored.password)
                return stored
    raise AirflowNotFoundException(f"The connection {conn_id!r} does not exist.")


def find_code() -> list[Path]:
    """Make transforms and candidates beside the DAG files importable, as they are in tasks.

    :return: the folders that may hold them: those of the DAG bundles and of the plugins.
    """
    import sys
    from pathlib import Path

    from airflow import settings

    folders = dag_folders()
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    # Airflow itself has put the folder of the plugins on sys.path.
    return [*folders, *([Path(settings.PLUGINS_FOLDER)] if settings.PLUGINS_FOLDER else [])]


def dag_folders() -> list[Path]:
    """Return the folders of the DAG bundles."""
    from pathlib import Path

    from airflow.dag_processing.bundles.manager import DagBundlesManager

    class Bundles(DagBundlesManager):
        @property
        def log(self) -> Any:
            # It would say which it has loaded, in the middle of what a command prints.
            quiet = logging.getLogger(f"{__name__}.bundles")
            quiet.setLevel(logging.WARNING)
            return quiet

    bundles = Bundles()  # type: ignore[no-untyped-call]
    return [Path(bundle.path) for bundle in bundles.get_all_dag_bundles()]
