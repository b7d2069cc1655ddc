"""Start and stop a real Airflow on 127.0.0.1: scheduler, DAG processor, API server and triggerer."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from airflow_mlops.local.api import AirflowApi, ApiError
from airflow_mlops.local.durations import Durations

COMPONENTS = {
    "api-server": ["api-server", "--workers", "1"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
_NEEDED_BYTES = 1_000_000_000
_PDEATHSIG = 1
_PROGRAMS = Path(sys.executable).parent
"""Where ``airflow`` is."""


class LocalAirflowError(ApiError):
    """Airflow could not be started here, or stopped answering. A retry cannot help until the cause is removed."""


def free_port() -> int:
    """Return a free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether nobody has a TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _surroundings() -> dict[str, str]:
    """Return the variables of this process that say nothing of another Airflow, or of another MLflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "MLFLOW_"))}


def _die_with_parent() -> None:
    # However this process ends, even by SIGKILL, Airflow must not go on running.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)


class LocalAirflow(AirflowApi):
    """An Airflow with LocalExecutor and SQLite that runs inside a ``with`` block.

    :param home: its folder, which is created if needed and kept afterwards.
    :param dags: the folder of DAG files.
    :param plugins: the folder of deployment plugins; None means none.
    :param port: port of the API server and UI; None means a free one.
    :param parallelism: largest number of tasks that run at the same time.
    :param settings: more options, as ``AIRFLOW__SECTION__OPTION`` variables.
    :param durations: how long its start takes, step by step; None says nothing of it.
    :ivar settings: the variables of its own that its processes have, which other commands need to find it.
    :raises LocalAirflowError: on entering, if the port is taken, the disk is full or a process does not come up.
    """

    error = LocalAirflowError
    patience = 10.0
    """Seconds that its processes get to stop by themselves."""

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        plugins: Path | None = None,
        port: int | None = None,
        parallelism: int = 4,
        settings: Mapping[str, str] | None = None,
        durations: Durations | None = None,
    ) -> None:
        self.home = home.resolve()
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.durations = durations or Durations()
        self.password = secrets.token_urlsafe(9)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.settings = self._settings(dags.resolve(), plugins, parallelism) | dict(settings or {})
        self.environment = (
            _surroundings() | self.settings | {"PATH": f"{_PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"}
        )
        # The settings may have changed the base URL, e.g. to one with a path.
        super().__init__(self.environment["AIRFLOW__API__BASE_URL"])

    def _settings(self, dags: Path, plugins: Path | None, parallelism: int) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins or self.home / "plugins"),
            "AIRFLOW__DAG_PROCESSOR__DISABLE_BUNDLE_VERSIONING": "True",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "DO_NOT_TRACK": "true",
            "GX_ANALYTICS_ENABLED": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Waiting threads of OpenMP would otherwise spin, and tasks that run at the same time would starve each other.
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def __enter__(self) -> Self:
        try:
            self._check_room()
            with self.durations.step("Airflow's database is made, or brought up to date"):
                self._prepare()
            with self.durations.step("Airflow's scheduler, DAG processor, triggerer and API server start"):
                for name, arguments in COMPONENTS.items():
                    self._start(name, arguments)
                self.wait(self._healthy, "Airflow to be healthy", seconds=180)
            self.log_in("admin", self.password)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _check_room(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.home).free
        if free < _NEEDED_BYTES:
            raise LocalAirflowError(
                f"The disk of {self.home} is too full: 1 GB is needed, {free / 1e9:.1f} GB are free."
            )
        if not is_free(self.port):
            raise LocalAirflowError(
                f"Port {self.port} of 127.0.0.1 is in use; choose another one with --port, or none for a free one."
            )

    def _prepare(self) -> None:
        (self.home / "logs").mkdir(exist_ok=True)
        passwords = self.home / "simple_auth_manager_passwords.json.generated"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({"admin": self.password}), encoding="utf-8")
        self.run("db", "migrate")

    def exports(self) -> str:
        """Return the lines of a shell that make this Airflow the one of its commands.

        Variables that the environment of this process has are left out: they are not of this Airflow, and may be secret.
        """
        lines = [
            f"export {name}={shlex.quote(value)}"
            for name, value in self.settings.items()
            if not (name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_")) and os.environ.get(name) == value)
        ]
        return "\n".join([*lines, f'export PATH={shlex.quote(str(_PROGRAMS))}:"$PATH"', ""])

    def run(self, *arguments: str) -> str:
        """Run an ``airflow`` command in this installation and return what it printed.

        :raises LocalAirflowError: if it fails, with the end of its output.
        """
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(
            command, env=self.environment, cwd=self.home, capture_output=True, text=True, check=False
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise LocalAirflowError(f"airflow {' '.join(arguments)} failed:\n{tail}")
        return done.stdout

    def _start(self, name: str, arguments: list[str]) -> None:
        self.run_beside(name, "airflow", *arguments)

    def run_beside(self, name: str, module: str, *arguments: str) -> None:
        """Start ``python -m module`` as one more process, which is watched and stopped with the others.

        :param name: of its log.
        """
        with (self.home / "logs" / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Airflow's children must be stopped with it.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def stop(self) -> None:
        """Stop all processes that were started, with their children."""
        for kill in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes.values():
                # A leader that has ended may have left children in its group.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, kill)
            deadline = time.monotonic() + self.patience
            while time.monotonic() < deadline and any(
                process.poll() is None for process in self.processes.values()
            ):
                time.sleep(0.1)
        self.processes.clear()

    def check_alive(self) -> None:
        """Check that all processes are running.

        :raises LocalAirflowError: if a process has ended, with the end of its log.
        """
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = self.home / "logs" / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise LocalAirflowError(
                    f"{name} ended with code {process.returncode}. The end of {log}:\n{tail}"
                )

    def _healthy(self) -> bool:
        try:
            health = self._client.get("/api/v2/monitor/health").json()
        except (httpx.HTTPError, ValueError):
            return False
        return all(
            health.get(part, {}).get("status") == "healthy"
            for part in ("scheduler", "dag_processor", "triggerer")
        )

    def _where(self) -> str:
        return f"; logs are in {self.home / 'logs'}"

    def _silence(self) -> str:
        return "Its processes are alive, so this machine is probably busy with something else: try again when it is not."
