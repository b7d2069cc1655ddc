"""People who use Airflow beside its administrator, and what they answer when a task asks."""

from __future__ import annotations

import json
from typing import Any

import httpx

from airflow_mlops.local.airflow import LocalAirflow

SETTINGS = {
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,alice:user,bob:user,carol:user",
    # A worker that has left its task waiting says so to the scheduler within this time, see `asks`.
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}
"""Settings of an Airflow that has these people."""


class Asked:
    """A task that asks.

    :param dag: id of the DAG.
    :param run: id of the run.
    :param task: id of the task.
    """

    def __init__(self, airflow: LocalAirflow, dag: str, run: str, task: str = "approve") -> None:
        self.airflow = airflow
        self.dag, self.run, self.task = dag, run, task
        self.path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}"

    def wait(self, seconds: float = 120) -> dict[str, Any]:
        """Wait until the task asks, and its last question has no answer yet; return the form."""
        self.airflow.wait(self._asks, f"{self.task} to ask", seconds)
        form: dict[str, Any] = self.airflow.call("GET", f"{self.path}/-1/hitlDetails")
        return form

    def _asks(self) -> bool:
        if self.airflow.call("GET", self.path)["state"] != "awaiting_input":
            return False
        # Until it goes on, a task that was answered waits still.
        if self.airflow.call("GET", f"{self.path}/-1/hitlDetails")["response_received"]:
            return False
        # Airflow fails a task that goes on before the scheduler has heard that the worker left it.
        log = (self.airflow.home / "logs" / "scheduler.log").read_text(errors="replace").splitlines()
        asked = f"{self.dag}.{self.task} {self.run} "
        sent = [line for line in log if "Trying to enqueue tasks" in line and asked in line]
        key = f"dag_id='{self.dag}', task_id='{self.task}', run_id='{self.run}'"
        heard = [line for line in log if "Received executor event" in line and key in line]
        return len(sent) == len(heard)

    def answer(self, user: str, choice: str, **params: Any) -> int:
        """Send what the form sends, and return the status."""
        answer = self._client(user).patch(
            f"/api/v2/{self.path}/-1/hitlDetails", json={"chosen_options": [choice], "params_input": params}
        )
        return answer.status_code

    def _client(self, user: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token_of(self.airflow, user)}"}
        return httpx.Client(base_url=self.airflow.url, headers=headers, timeout=30)


def token_of(airflow: LocalAirflow, user: str) -> str:
    """Log in, and return the token of the session."""
    passwords = airflow.home / "simple_auth_manager_passwords.json.generated"
    login = {"username": user, "password": json.loads(passwords.read_text())[user]}
    answer = httpx.post(f"{airflow.url}/auth/token", json=login, timeout=30).raise_for_status()
    return str(answer.json()["access_token"])
