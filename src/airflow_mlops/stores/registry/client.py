"""The client of MLflow: its name in annotations, and a client for an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.addresses import DATABASES

if TYPE_CHECKING:
    from typing import TypeAlias

    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

    # Modules that only pass a client on use these in annotations, and need no import of MLflow.
    Client: TypeAlias = MlflowClient
    Run: TypeAlias = MlflowRun


def connect(uri: str) -> Client:
    """Return a client for tracking and registry at one address; if that is a database, it is opened.

    :raises sqlalchemy.exc.SQLAlchemyError: if a database does not answer.
    """
    from mlflow import MlflowClient

    _knock(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _knock(uri: str) -> None:
    """Open a database once, if there is one to reach: MLflow itself says only after 100 s that it is down."""
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme == "sqlite" or scheme not in DATABASES:
        return
    import sqlalchemy as sa

    sa.create_engine(uri, poolclass=sa.NullPool).connect().close()


def probe(client: Client) -> None:
    """Request one experiment, to check that MLflow answers; in a new database this creates the tables.

    :raises mlflow.exceptions.MlflowException: if MLflow does not answer, with MLflow's own message.
    """
    client.search_experiments(max_results=1)
