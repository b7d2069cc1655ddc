from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from airflow_mlops.cli.doctor import connections, mail
from airflow_mlops.cli.doctor.diagnosis import Condition
from airflow_mlops.cli.doctor.examination import Examination, examine
from airflow_mlops.local.airflow import free_port
from mail_server import Handler

Configure = Callable[[str, str], None]
SECRET = "hunter2-very-secret"
ALERTS = "alerts: {email: [team@example.com]}\n"


class Server:
    """A mail server that wants a password, and what it was sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.controller = Controller(
            Handler(folder),
            hostname="127.0.0.1",
            port=free_port(),
            auth_required=True,
            auth_require_tls=False,
            authenticator=lambda server, session, envelope, mechanism, data: AuthResult(
                success=data.password == SECRET.encode(), handled=False
            ),
        )

    def connection(self, password: str = SECRET, **extra: object) -> str:
        plain = {"from_email": "airflow@example.com", "disable_ssl": True, "disable_tls": True, "timeout": 5}
        fields = {"conn_type": "smtp", "host": "127.0.0.1", "port": self.controller.port, "login": "airflow"}
        return json.dumps({**fields, "password": password, "extra": {**plain, **extra}})


@pytest.fixture
def server(tmp_path: Path, configure: Configure, dags: Path) -> Iterator[Server]:
    (tmp_path / "mails").mkdir()
    server = Server(tmp_path / "mails")
    server.controller.start()
    yield server
    server.controller.stop()


def test_a_server_that_lets_us_in_passes_and_gets_no_mail(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", server.connection())
    (diagnosis,) = mail.look()
    assert diagnosis.status is Condition.PASS
    assert "took the login of airflow; mails come from airflow@example.com" in diagnosis.observation
    assert list(server.folder.iterdir()) == []


def test_a_wrong_password_is_named_and_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", server.connection("not-the-password"))
    (diagnosis,) = examine(Examination("mail", mail.look, 60))
    assert diagnosis.status is Condition.FAIL
    assert "refuses user and password: 535" in diagnosis.observation
    assert "not-the-password" not in str(diagnosis)


def test_a_connection_without_sender_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", server.connection(from_email=None))
    (diagnosis,) = mail.look()
    assert (diagnosis.status, diagnosis.fix) == (Condition.FAIL, "set from_email in its extra")


def test_encryption_that_the_server_does_not_speak_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", server.connection(disable_ssl=False))
    (diagnosis,) = mail.look()
    assert diagnosis.status is Condition.FAIL
    assert "do not agree on encryption" in diagnosis.observation


def test_a_server_that_is_away_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    away = server.connection().replace(str(server.controller.port), str(free_port()))
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", away)
    (diagnosis,) = mail.look()
    assert diagnosis.status is Condition.FAIL
    assert "Connection refused" in diagnosis.observation


def test_a_connection_that_is_missing_is_named_where_a_spec_mails(
    configure: Configure, spec: Callable[[str], None]
) -> None:
    spec("")
    assert [diagnosis.status for diagnosis in mail.look()] == [Condition.SKIPPED]
    assert [diagnosis.status for diagnosis in connections.look()] == [Condition.SKIPPED]
    spec(ALERTS)
    (diagnosis,) = mail.look()
    assert diagnosis.status is Condition.FAIL
    assert "no SMTP connection 'smtp_default', and flights mail alerts" in diagnosis.observation
    (diagnosis,) = connections.look()
    assert diagnosis.status is Condition.FAIL
    assert "The connection 'smtp_default' does not exist, and flights name it" in diagnosis.observation


def test_connections_of_configuration_and_specs_are_looked_for(
    configure: Configure, spec: Callable[[str], None], dags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec("score: {outputs: [{sql: {conn_id: warehouse, table: scores}}]}\n")
    configure("mlflow_conn_id", "mlflow_production")
    file = dags / "models" / "flights.yaml"
    text = file.read_text()
    file.write_text(text.replace('{files: "', '{files: "s3://lake@bucket'))
    assert [diagnosis.observation.split("'")[1] for diagnosis in connections.look()] == [
        "lake",
        "mlflow_production",
        "warehouse",
    ]
    for name in ("LAKE", "MLFLOW_PRODUCTION", "WAREHOUSE"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", "http://127.0.0.1")
    (diagnosis,) = connections.look()
    assert diagnosis.status is Condition.PASS
