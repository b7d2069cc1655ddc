"""The client of MLflow: its name in annotations, and a client for an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

    # Modules that only pass a client on use these in annotations, and need no import of MLflow.
    Client: TypeAlias = MlflowClient
    Run: TypeAlias = MlflowRun


def connect(uri: str) -> Client:
    """Return a client for tracking and registry at one address; if that is a database, it is opened."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def probe(client: Client) -> None:
    """Request one experiment, to check that MLflow answers; in a new database this creates the tables.

    :raises mlflow.exceptions.MlflowException: if MLflow does not answer, with MLflow's own message.
    """
    client.search_experiments(max_results=1)
