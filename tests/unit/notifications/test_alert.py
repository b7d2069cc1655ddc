from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_mlops import config
from airflow_mlops.domain.checks import Fact
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.local.airflow import free_port
from airflow_mlops.notifications.alert import MlopsNotifier
from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.runs import FACTS, table_uri
from mail_server import Inbox, body, in_thread
from notices import Pinboard, make_report, make_warning, make_xcom

TO = ["ml-team@example.com"]


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    port = free_port()
    extra = {"from_email": "airflow@example.com", "disable_ssl": True, "disable_tls": True}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}")
    config.storage.cache_clear()
    yield port
    config.storage.cache_clear()


@pytest.fixture
def inbox(port: int, tmp_path: Path) -> Iterator[Inbox]:
    with in_thread(tmp_path / "mails", port) as inbox:
        yield inbox


def call(
    task: str,
    state: str,
    *,
    attempt: int = 0,
    said: Sequence[Fact] = (),
    to: Any = TO,
    channel: Any = None,
    **context: Any,
) -> None:
    """Call the notifier as Airflow does after a task, or for the whole DAG if there is a reason."""
    with DAG("nightly") as dag:
        BaseOperator(task_id="check")
        BaseOperator(task_id="load")
    ti = SimpleNamespace(
        dag_id="nightly",
        run_id="manual__1",
        task_id=task,
        map_index=-1,
        state=state,
        max_tries=attempt,
        get_task_states=lambda dag_id, run_ids: {"manual__1": {"check": "success", "load": state}},
        xcom_pull=lambda task_ids, key: make_xcom(said) if (task_ids, key) == ("check", FACTS) else None,
    )
    MlopsNotifier(model="churn", to=to, channel=channel)({"ti": ti, "dag": dag, **context})


def subjects(inbox: Inbox) -> list[str]:
    return [str(mail["Subject"]).removeprefix("[airflow-mlops] ") for mail in inbox.mails]


def test_a_failed_task_is_mailed_once_although_airflow_calls_twice(inbox: Inbox) -> None:
    call("load", "failed")
    call("load", "failed")
    assert subjects(inbox) == ["nightly failed: load"]
    assert "Tasks that depend on what failed have not run." in body(inbox.mails[0], "plain")


def test_a_failed_validation_is_mailed_with_what_was_seen(inbox: Inbox) -> None:
    call("check", "failed", said=[make_report()])
    assert subjects(inbox) == ["flights 2013-03: validation failed"]
    assert "-3 to 4,983" in body(inbox.mails[0], "plain")


def test_a_task_warns_and_recovers_by_itself(inbox: Inbox) -> None:
    call("load", "failed")
    call("check", "success", said=[make_warning()])
    assert subjects(inbox)[1:] == ["flights 2013-03: validation passed with warnings, 12 rows set aside"]
    call("load", "success", attempt=1)
    call("load", "success", attempt=1)
    assert subjects(inbox)[2:] == ["nightly recovered: load (manual__1)"]


def test_a_dag_is_mailed_with_all_that_failed_in_it(inbox: Inbox) -> None:
    call("check", "failed", reason="task_failure")
    assert subjects(inbox) == ["nightly failed: load"]


def test_another_channel_takes_the_place_of_mail(inbox: Inbox) -> None:
    pinboard = Pinboard()
    call("load", "failed", channel=pinboard)
    assert pinboard.posts == [("nightly failed: load", tuple(TO))]
    assert inbox.mails == []


def test_addresses_can_be_templated(inbox: Inbox) -> None:
    call("load", "failed", to="{{ dag.dag_id }}@example.com")
    assert [mail["X-Recipients"] for mail in inbox.mails] == ["nightly@example.com"]


def test_what_could_not_be_mailed_waits_for_the_next_call(port: int, tmp_path: Path) -> None:
    with pytest.raises(MailUndelivered):
        call("load", "failed")
    assert len(outbox.pending(table_uri("churn", "outbox"))) == 1
    with in_thread(tmp_path / "mails", port) as inbox:
        call("check", "success")
        assert subjects(inbox) == ["nightly failed: load"]
