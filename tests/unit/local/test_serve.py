from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from airflow_mlops.local import mails, serve


def test_ports_stay_the_same_unless_somebody_else_has_them(tmp_path: Path) -> None:
    first = serve.ports(tmp_path)
    assert len(set(first)) == 4
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.mlflow))
        other.listen()
        second = serve.ports(tmp_path)
    assert second.mlflow != first.mlflow
    assert second._replace(mlflow=first.mlflow) == first
    assert serve.ports(tmp_path, airflow=8123).airflow == 8123


def test_without_the_package_nothing_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    with serve.mail_page(tmp_path, serve.ports(tmp_path)) as page:
        assert page is None


def test_airflow_mails_to_the_server_that_catches(tmp_path: Path) -> None:
    at = serve.ports(tmp_path)
    connection = json.loads(serve.mail_settings(at)[mails.SMTP])
    assert (connection["host"], connection["port"]) == ("127.0.0.1", at.smtp)
