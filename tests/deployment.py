"""An Airflow for stories that are told end to end, with a store, MLflow and a mail server."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from airflow_mlops.local import home as homes
from airflow_mlops.local.airflow import LocalAirflow, free_port
from airflow_mlops.stores.tables import tables
from mail_server import Inbox, in_thread
from people import SETTINGS

ROOT = Path(__file__).parents[1]
_ENDED = ("success", "failed")


@dataclass(frozen=True)
class Deployment:
    """What is deployed, and where it keeps its state.

    :param home: folder of the store, MLflow's database and the DAG files.
    """

    airflow: LocalAirflow
    home: Path
    inbox: Inbox

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=f"sqlite:///{self.home}/mlflow.db")

    @property
    def storage(self) -> str:
        return f"file://{self.home}/storage"

    def uri(self, model: str, table: str) -> str:
        return tables.uri_of(self.storage, model, table)

    def mails(self, to: str) -> list[EmailMessage]:
        """Return the mails to an address, the first one first."""
        return [mail for mail in self.inbox.mails if to in str(mail["X-Recipients"]).split(",")]

    def deploy(self, files: Mapping[str, str], *dags: str) -> None:
        """Add files to the folder of DAGs, and wait until Airflow knows what they define."""
        for name, text in files.items():
            (self.home / "dags" / name).write_text(text)
        self.airflow.wait(lambda: {*dags} <= self._known(), f"{', '.join(dags)} to be parsed", seconds=120)

    def _known(self) -> set[str]:
        return {dag["dag_id"] for dag in self.airflow.call("GET", "dags", params={"limit": 500})["dags"]}

    def start(self, dag: str, **asked: Any) -> str:
        """Start a DAG as a person would, and return the run's id."""
        run = self.airflow.call("POST", f"dags/{dag}/dagRuns", json={"logical_date": None, **asked})
        return str(run["dag_run_id"])

    def ended(self, dag: str, run: str, seconds: float = 120) -> str:
        """Wait for a run to end, and return its state."""

        def state() -> Any:
            found = self.airflow.call("GET", f"dags/{dag}/dagRuns/{run}")["state"]
            return found if found in _ENDED else None

        return str(self.airflow.wait(state, f"{dag} to end", seconds=seconds))

    def states(self, dag: str, run: str) -> dict[str, str]:
        """Return the state of each task of a run."""
        tasks = self.airflow.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in tasks}

    def answer(self, dag: str, run: str, task: str) -> Any:
        """Return what a task has returned."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        return self.airflow.call("GET", path)["value"]


@contextlib.contextmanager
def deployed(home: Path) -> Iterator[Deployment]:
    """Start an Airflow with the pack of DAGs, behind a path, which mails to a real server."""
    shutil.copytree(ROOT / "dags", home / "dags")
    port = free_port()
    url = f"http://127.0.0.1:{port}/team/airflow"
    with in_thread(home / "mails", free_port()) as inbox:
        extra = {"from_email": "airflow@example.com", "disable_ssl": True, "disable_tls": True}
        smtp = {"conn_type": "smtp", "host": "127.0.0.1", "port": inbox.port, "extra": extra}
        settings = {
            **homes.settings(home, free_port()),
            **SETTINGS,
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
            "AIRFLOW_CONN_WAREHOUSE": f"sqlite:///{home}/warehouse.db",
        }
        with LocalAirflow(
            home / "airflow", home / "dags", plugins=ROOT / "plugins", port=port, settings=settings
        ) as airflow:
            yield Deployment(airflow, home, inbox)
