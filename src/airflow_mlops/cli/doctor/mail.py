"""The mail server: whether it lets us in. No mail is sent."""

from __future__ import annotations

import smtplib
import ssl
from typing import Any

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, brief, failed, passed, skipped

_WAIT = "Alerts wait in the outbox, and nobody learns of failures"


def look() -> list[Diagnosis]:
    """Greet the server of the SMTP connection, and log in."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_mlops import config
    from airflow_mlops.cli import connect
    from airflow_mlops.cli.doctor import models

    name = config.smtp_conn_id()
    mailing = [spec.name for spec in models.specs().valid if spec.alerts.email]
    try:
        connection = connect.connection(name)
    except AirflowNotFoundException:
        if mailing:
            return [
                failed(
                    "mail",
                    f"There is no SMTP connection {name!r}, and {', '.join(mailing)} mail alerts",
                    _WAIT,
                    f"airflow connections add {name} --conn-type smtp …; see docs/alerts.md",
                )
            ]
        return [skipped("mail", f"No spec names addresses, and there is no connection {name!r}")]
    return [_greet(name, connection)]


def _greet(name: str, connection: Any) -> Diagnosis:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    class Hook(SmtpHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            return connection

    place = f"The server of {name!r}, {connection.host}:{connection.port or 'its usual port'},"
    hook = Hook(smtp_conn_id=name)
    try:
        hook.get_conn()
    except smtplib.SMTPAuthenticationError as error:
        return failed(
            "mail",
            f"{place} refuses user and password: {error.smtp_code} {brief(_text(error.smtp_error))}",
            _WAIT,
            f"correct login and password of the connection {name!r}",
        )
    except ssl.SSLError as error:
        return failed(
            "mail",
            f"{place} and we do not agree on encryption: {brief(error)}",
            _WAIT,
            "set disable_ssl and disable_tls in the extra of the connection as the server needs them",
        )
    except Exception as error:  # noqa: BLE001 - the hook raises what the network, smtplib and Airflow do
        return failed(
            "mail",
            f"{place} does not answer as a mail server: {type(error).__name__}: {brief(error)}",
            _WAIT,
            f"start the server, or correct host, port and encryption of the connection {name!r}",
        )
    sender = hook.from_email
    with hook:
        if not sender:
            return failed(
                "mail",
                f"The connection {name!r} has no sender",
                "No mail can be sent",
                "set from_email in its extra",
            )
    login = f" and took the login of {connection.login}" if connection.login else ""
    return passed("mail", f"{place} answered{login}; mails come from {sender}")


def _text(reply: bytes | str) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply
