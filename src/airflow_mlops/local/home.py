"""The folder in which a local Airflow keeps its state between starts, beside its folder of DAG files."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = ".airflow-mlops"
_LOCK = "running.lock"
_RUNNING = "running.json"
_ENVIRONMENT = "env"


@dataclass(frozen=True)
class Running:
    """An Airflow that is running, and how to log in to it.

    :param url: where people open it.
    """

    url: str
    user: str
    password: str


def of(dags: Path) -> Path:
    """Return the folder of the local Airflow of a folder of DAG files."""
    return dags.resolve().parent / NAME


def make(folder: Path) -> None:
    """Make a folder, if it is not there: nothing in it is for a repository, such as data, models, the password."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder for this process alone.

    :raises BlockingIOError: if another process has it.
    """
    make(folder)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def write(folder: Path, running: Running) -> None:
    """Say how to reach the Airflow of a folder that is locked, to this user only."""
    _write_private(folder / _RUNNING, json.dumps(asdict(running)))


def write_environment(folder: Path, exports: str) -> Path:
    """Keep the settings of the Airflow of a folder for a shell that sources them, for this user only; return the file."""
    file = folder / _ENVIRONMENT
    _write_private(file, exports)
    return file


def sourcing(folder: Path) -> str | None:
    """Return what makes the Airflow of a folder that of a shell's commands; None if it was never started."""
    file = folder / _ENVIRONMENT
    if not file.is_file():
        return None
    path = os.path.relpath(file)
    return f"source {shlex.quote(str(file) if path.startswith('..') else path)}"


def _write_private(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)


def running(folder: Path) -> Running | None:
    """Return how to reach the Airflow of a folder; None if none is running."""
    try:
        with locked_by_nobody(folder):
            return None
    except BlockingIOError:
        pass
    except FileNotFoundError:
        return None
    try:
        return Running(**json.loads((folder / _RUNNING).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        # It is just starting.
        return None


@contextmanager
def locked_by_nobody(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that is there, without making one.

    :raises BlockingIOError: if a process has it.
    :raises FileNotFoundError: if there never was one.
    """
    with (folder / _LOCK).open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield


def settings(folder: Path, mlflow_port: int) -> dict[str, str]:
    """Return the ``[mlops]`` options of an Airflow that keeps all of its state in a folder."""
    return {
        "AIRFLOW__MLOPS__STORAGE": storage(folder),
        "AIRFLOW__MLOPS__TRACKING_URI": tracking_uri(folder),
        "AIRFLOW__MLOPS__MLFLOW_URL": f"http://127.0.0.1:{mlflow_port}",
        "AIRFLOW__MLOPS__PRELOAD": "True",
    }


def storage(folder: Path) -> str:
    """Return the URI of the tables in a folder."""
    return f"file://{folder}/storage"


def tracking_uri(folder: Path) -> str:
    """Return the place of MLflow's database in a folder."""
    return f"sqlite:///{folder}/mlflow.db"
