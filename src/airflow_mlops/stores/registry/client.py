"""The client of MLflow: what it is called in annotations, and how it is made for an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

    # What takes a client only to hand it on says so by these, and needs no import of MLflow.
    Client: TypeAlias = MlflowClient
    Run: TypeAlias = MlflowRun


def connect(uri: str) -> Client:
    """Return a client for tracking and registry at one address; a database is opened by that."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def probe(client: Client) -> None:
    """Ask MLflow for one experiment, to see that it answers; a new database gets its tables by that.

    :raises mlflow.exceptions.MlflowException: if it does not, in MLflow's own words.
    """
    client.search_experiments(max_results=1)
