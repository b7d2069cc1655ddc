from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest

from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.hooks import mail
from airflow_mlops.hooks.mail import MailServer
from airflow_mlops.local.airflow import free_port
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.mail import attachment, message, unattached
from airflow_mlops.reporting.alerts.outbox import CLAIM
from mail_server import LIMIT, Inbox, as_process
from notices import make_notice

TO = ("ml-team@example.com",)

pytestmark = pytest.mark.slow


def connect(monkeypatch: pytest.MonkeyPatch, port: int, **changes: Any) -> None:
    extra = {"from_email": "airflow@example.com", "disable_ssl": True, "disable_tls": True, "timeout": 5}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra | changes}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    with as_process(tmp_path_factory.mktemp("mails")) as inbox:
        yield inbox


@pytest.fixture
def inbox(process: Inbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    connect(monkeypatch, process.port)
    yield process
    process.misbehave("fine")
    for file in process.folder.glob("*.eml"):
        file.unlink()


def send(to: tuple[str, ...] = TO, size: int = 10, one: float = 20.0) -> Receipt:
    report = attachment("flights/2013-03/validation.html", b"x" * size)

    def write(sender: str, large: bool) -> EmailMessage:
        attached = report if large else unattached("flights/2013-03/validation.html")
        return message(make_notice(), sender=sender, to=to, attached=attached)

    return MailServer(one=one).send(write, to)


def recipients(inbox: Inbox) -> list[str]:
    return [str(mail["X-Recipients"]) for mail in inbox.mails]


def test_a_mail_arrives(inbox: Inbox) -> None:
    assert send() == Receipt(settled=TO)
    [found] = inbox.mails
    assert found["From"] == "airflow@example.com"
    assert found["X-Recipients"] == TO[0]


def test_a_server_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, free_port())
    with pytest.raises(MailUndelivered, match="'smtp_default': .*refused"):
        send()


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_a_server_that_does_not_answer_is_given_up(inbox: Inbox, mode: str) -> None:
    inbox.misbehave(mode)
    with pytest.raises(MailUndelivered, match="did not finish within 1 s"):
        send(one=1.0)
    inbox.misbehave("fine")
    assert recipients(inbox) == []


def test_a_slow_server_is_waited_for(inbox: Inbox) -> None:
    inbox.misbehave("slow")
    assert send() == Receipt(settled=TO)
    assert recipients(inbox) == list(TO)


@pytest.mark.parametrize(
    ("mode", "error", "said"),
    [
        ("550", smtplib.SMTPRecipientsRefused, "550"),
        ("451", smtplib.SMTPRecipientsRefused, "451"),
        ("554", smtplib.SMTPDataError, "554"),
        ("421", smtplib.SMTPSenderRefused, "421"),
    ],
)
def test_a_mail_that_is_refused_is_no_sent_mail(
    inbox: Inbox, mode: str, error: type[Exception], said: str
) -> None:
    inbox.misbehave(mode)
    with pytest.raises(error, match=said):
        send()
    assert recipients(inbox) == []


def test_a_connection_that_drops_after_the_mail_counts_as_not_sent(inbox: Inbox) -> None:
    inbox.misbehave("drop")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send()
    inbox.misbehave("fine")
    send()
    # It cannot be known whether the server took it: the second one has the same Message-ID.
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 1


def test_one_bad_address_keeps_the_mail_from_nobody_else(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    to = ("gone@example.com", "ml-team@example.com", "full@example.com")
    assert send(to) == Receipt(settled=to[:2], later=to[2:])
    assert recipients(inbox) == ["ml-team@example.com"]
    assert "refused gone@example.com with 550: no such user" in caplog.text


def test_a_mail_that_is_too_large_goes_without_its_report(inbox: Inbox) -> None:
    inbox.misbehave("small")
    assert send(size=2 * LIMIT) == Receipt(settled=TO)
    [found] = inbox.mails
    assert list(found.iter_attachments()) == []
    assert "too large for the mail server" in found.as_string()


def test_no_mail_is_begun_when_time_is_up(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "ALL", -1.0)
    with pytest.raises(MailUndelivered, match="the next alert goes on"):
        send()


def test_a_mail_is_given_up_before_its_claim_ends() -> None:
    assert CLAIM.total_seconds() > mail.ONE


@pytest.mark.parametrize(
    ("name", "fault"), [("there_is_none", "not found"), ("smtp_default", "set from_email in its extra")]
)
def test_a_connection_that_cannot_be_used_is_named(
    inbox: Inbox, name: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, inbox.port, from_email=None)
    with pytest.raises(MailUndelivered, match=f"{name}.*{fault}"):
        MailServer(name).send(lambda sender, large: EmailMessage(), TO)
