"""A real MLflow server on 127.0.0.1, which can be killed, stopped and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from sqlalchemy import create_engine, text

from airflow_mlops.local.airflow import free_port
from synthetic import empty_database

_POSTGRES = "postgresql+psycopg2://postgres@127.0.0.1"


class Server:
    """An MLflow server with its processes in a group of their own.

    :param folder: where its artifacts and its log lie.
    :param database: SQLAlchemy URL of its store.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.database = database
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.artifacts = folder / "artifacts"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", "1", "--backend-store-uri", self.database, "--artifacts-destination", str(self.artifacts),
        ]  # fmt: skip
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while not self._healthy():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)

    def stop(self) -> None:
        """Let it answer nothing while its port still takes requests, as a machine does that is out of memory."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let its database refuse to write, as that of a standby or on a full disk does."""
        name = self.database.rpartition("/")[2]
        if self.database.startswith("sqlite:"):
            refused = "begin select raise(abort, 'this database is read-only'); end"
            tables = ("registered_model_aliases", "model_version_tags")
            events = [(table, event) for table in tables for event in ("insert", "update", "delete")]
            begin = [
                f"create trigger read_only_{table}_{event} before {event} on {table} {refused}"
                for table, event in events
            ]
            end = [f"drop trigger read_only_{table}_{event}" for table, event in events]
        else:
            # Connections that are open keep what they began with.
            drop = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid()"
            begin = [f"alter database {name} set default_transaction_read_only = on", drop]
            end = [
                "set transaction read write",
                f"alter database {name} reset default_transaction_read_only",
                drop,
            ]
        self.execute(*begin)
        try:
            yield
        finally:
            self.execute(*end)

    def execute(self, *statements: str, **values: str | int) -> None:
        """Change its database behind its back."""
        engine = create_engine(self.database)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
        engine.dispose()

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _healthy(self) -> bool:
        try:
            with urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@contextmanager
def running(folder: Path, database: str | None = None) -> Iterator[Server]:
    """Start a server, and kill it at the end.

    :param database: None means a new SQLite file.
    """
    if database is None:
        # MLflow takes seconds to make its tables.
        shutil.copy(empty_database(), folder / "server.db")
        database = f"sqlite:///{folder}/server.db"
    server = Server(folder, database)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def postgresql() -> Iterator[str]:
    """Make a database on this machine's PostgreSQL; skip the test where there is none."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5432)) != 0:
            pytest.skip("there is no PostgreSQL on 127.0.0.1")
    name = f"mlflow_{uuid.uuid4().hex}"
    engine = create_engine(f"{_POSTGRES}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    try:
        yield f"{_POSTGRES}/{name}"
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"drop database {name} with (force)"))
        engine.dispose()
