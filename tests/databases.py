"""Databases that outputs are written to."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

KINDS = ("sqlite", "postgres")
POSTGRES = {"conn_type": "postgres", "host": "127.0.0.1", "login": "postgres", "schema": "test", "port": 5432}
SECRET = "hunter2-very-secret"


def connected(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    """Yield an engine to look with, and the name of a table of its own; the connection is called ``out``."""
    name = f"scores_{uuid.uuid4().hex}"
    if kind == "sqlite":
        monkeypatch.setenv("AIRFLOW_CONN_OUT", f"sqlite:///{folder}/scores.db")
        engine = create_engine(f"sqlite:///{folder}/scores.db")
    else:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 5432)):
                pytest.skip("there is no PostgreSQL on 127.0.0.1")
        monkeypatch.setenv("AIRFLOW_CONN_OUT", json.dumps({**POSTGRES, "password": SECRET}))
        engine = create_engine("postgresql+psycopg2://postgres@127.0.0.1/test")
    yield engine, name
    with engine.begin() as connection:
        connection.execute(text(f"drop table if exists {name}"))
    engine.dispose()
