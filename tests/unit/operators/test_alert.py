from __future__ import annotations

import contextlib
import email
import email.policy
import json
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops import ModelSpec, config, continuous_training
from airflow_mlops.engines import outbox
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.local.airflow import free_port
from airflow_mlops.operators.alert import AlertOperator
from airflow_mlops.runs import table_uri

TO = ("ml-team@example.com", "on-call@example.com")
RUN = "scheduled__2013-04-01T00:00:00+00:00"


class Inbox(Message):
    """Mails that a real SMTP server took."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[EmailMessage] = []

    def prepare_message(self, session: Any, envelope: Any) -> Any:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        message["X-Recipients"] = ",".join(envelope.rcpt_tos)
        return message

    def handle_message(self, message: Any) -> None:
        self.mails.append(message)


@contextlib.contextmanager
def mail_server(port: int) -> Iterator[Inbox]:
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    port = free_port()
    extra = {"from_email": "airflow@example.com", "disable_ssl": True, "disable_tls": True}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/team/")
    config.storage.cache_clear()
    yield port
    config.storage.cache_clear()


def execute(*failed: str, run_id: str = RUN, reason: str | None = None, **arguments: Any) -> None:
    """Run the alert of a run whose tasks have failed, or none of them."""
    with DAG("flights.ingest") as dag:
        for name in ("ingest", "validate", "publish", "train"):
            BaseOperator(task_id=name)
        alert = AlertOperator(task_id="alert", model="flights", to=TO, **arguments)
    states = {"publish": "upstream_failed", "alert": "running", **dict.fromkeys(failed, "failed")}
    reports = {"validate": {"verdict": "FAIL", "reason": reason}} if reason else {}
    ti = SimpleNamespace(
        dag_id=dag.dag_id,
        run_id=run_id,
        get_task_states=lambda dag_id, run_ids: {run_id: states},
        xcom_pull=lambda task_ids, key: reports.get(task_ids) if key == "validation" else None,
    )
    alert.execute({"ti": ti, "dag": dag, "partition_key": "2013-03"})  # type: ignore[arg-type]


def tell(*failed: str, **arguments: Any) -> None:
    """Run the alert of a failed run, which fails so that the run does."""
    with pytest.raises(AirflowFailException, match=f"(?s)^failed: .*; mailed to {TO[0]}, {TO[1]}$"):
        execute(*failed, **arguments)


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def pending() -> list[str]:
    return [mail.subject for mail in outbox.pending(table_uri("flights", "outbox"))]


def test_a_failed_run_is_mailed_once_to_everybody_in_text_and_html(port: int) -> None:
    with mail_server(port) as inbox:
        tell("validate")
        tell("validate")
    [mail] = inbox.mails
    assert mail["Subject"] == "[airflow-mlops] flights.ingest failed: validate (2013-03)"
    assert mail["X-Recipients"].split(",") == mail["To"].replace(" ", "").split(",") == list(TO)
    assert mail["From"] == "airflow@example.com"
    assert mail.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        said = body(mail, kind)
        for fact in ("flights.ingest", "2013-03", "validate", "nothing downstream runs", "clear the"):
            assert fact in said
        assert "publish:" not in said
        assert (
            "https://airflow.example.com/team/dags/flights.ingest/runs/"
            "scheduled__2013-04-01T00%3A00%3A00%2B00%3A00" in said
        )
    assert pending() == []


def test_another_run_or_another_failed_task_is_another_mail(port: int) -> None:
    with mail_server(port) as inbox:
        tell("validate")
        tell("validate", run_id="manual__1")
        tell("train_1", "ingest", "train_0")
    subjects = [mail["Subject"].partition("failed: ")[2] for mail in inbox.mails]
    assert subjects == ["validate (2013-03)", "validate (2013-03)", "ingest, train_0, train_1 (2013-03)"]
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 3


def test_while_the_mail_server_is_down_mails_wait_and_the_next_alert_sends_them_all(port: int) -> None:
    with pytest.raises(MailUndelivered, match="smtp_default"):
        execute("validate")
    assert len(pending()) == 1
    with mail_server(port) as inbox:
        tell("ingest", run_id="manual__2")
    assert [mail["Subject"].split()[-2] for mail in inbox.mails] == ["validate", "ingest"]
    assert pending() == []


def test_a_run_in_which_nothing_failed_sends_what_waits_and_fails_not_itself(port: int) -> None:
    with pytest.raises(MailUndelivered):
        execute("validate")
    with pytest.raises(AirflowSkipException):
        execute()
    assert len(pending()) == 1
    with mail_server(port) as inbox, pytest.raises(AirflowSkipException, match="nothing failed"):
        execute()
    assert len(inbox.mails) == 1
    assert pending() == []


def test_a_run_in_which_nothing_failed_asks_no_mail_server_and_makes_no_outbox(port: int) -> None:
    with mail_server(port) as inbox, pytest.raises(AirflowSkipException):
        execute(smtp_conn_id="there_is_none")
    assert not inbox.mails
    assert not Path(table_uri("flights", "outbox").removeprefix("file://")).exists()


def test_what_stands_in_the_data_is_text_in_the_mail(port: int) -> None:
    reason = "carrier: values such as <script>alert('1')</script> & more"
    with mail_server(port) as inbox:
        tell("validate", reason=reason)
    [mail] = inbox.mails
    assert reason in body(mail, "plain")
    assert "<script" not in body(mail, "html")
    assert "&lt;script&gt;" in body(mail, "html")


def test_a_line_break_in_a_name_becomes_no_header(port: int) -> None:
    with mail_server(port) as inbox:
        tell("validate\nBcc: stranger@example.com")
    [mail] = inbox.mails
    assert mail["Bcc"] is None
    assert mail["X-Recipients"].split(",") == list(TO)


def test_a_storage_that_is_down_keeps_no_mail_back(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}/file")
    config.storage.cache_clear()
    with mail_server(port) as inbox:
        tell("ingest")
    assert len(inbox.mails) == 1


@pytest.mark.parametrize(
    ("name", "fault"), [("there_is_none", "not found"), ("smtp_nameless", "set from_email in its extra")]
)
def test_a_connection_that_cannot_be_used_is_named(
    port: int, name: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SMTP_NAMELESS", f"smtp://127.0.0.1:{port}?disable_ssl=true&disable_tls=true"
    )
    with mail_server(port), pytest.raises(MailUndelivered, match=f"{name}.*{fault}"):
        execute("validate", smtp_conn_id=name)
    assert len(pending()) == 1


class FinishedTask(NamedTuple):
    """As much of a task instance as the state of a run depends on."""

    task_id: str
    state: str = "success"


def make_dags(**changes: Any) -> tuple[DAG, ...]:
    values = {
        "name": "parcels",
        "task": "classification",
        "target": "late",
        "key": ["id"],
        "event_time": "at",
        "partition": "month",
        "source": {"python": "somewhere:rows"},
        "gates": {"approval": "one"},
    }
    return continuous_training(ModelSpec.from_dict(values | changes))


def test_only_a_spec_with_addresses_gets_alerts() -> None:
    assert not any("alert" in dag.task_ids for dag in make_dags())


def test_every_dag_ends_in_an_alert_on_which_alone_its_state_depends() -> None:
    from airflow.models.dagrun import DagRun  # noqa: TID251 - how the scheduler judges a run
    from airflow.serialization.serialized_objects import DagSerialization

    dags = make_dags(alerts={"email": list(TO)})
    assert len(dags) == 5
    for dag in dags:
        alert = dag.get_task("alert")
        assert alert.to == TO
        assert alert.upstream_task_ids == set(dag.task_ids) - {"alert"}
        scheduled = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert scheduled.get_task("alert").is_teardown
        ended = {FinishedTask(name) for name in dag.task_ids}
        leaves = DagRun._tis_for_dagrun_state(None, dag=scheduled, tis=ended)
        assert {leaf.task_id for leaf in leaves} == {"alert"}
