from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from airflow.sdk import DAG, BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops import config
from airflow_mlops.alerts import Recipients
from airflow_mlops.domain.facts.scoring import ChallengeReport
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.spec.model import Alerts
from airflow_mlops.exceptions import MailUndelivered, SpecError
from airflow_mlops.local.airflow import free_port
from airflow_mlops.operators.alert import AlertOperator
from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.runs import FACTS, push_facts, table_uri
from airflow_mlops.stages.monitor import health
from contexts import Run
from mail_server import Inbox, body, in_thread
from notices import (
    RUN,
    Pinboard,
    make_check,
    make_decision,
    make_guarded,
    make_health,
    make_report,
    make_version,
    make_warning,
    make_xcom,
)

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

TO = ("ml-team@example.com", "on-call@example.com")
PAGE = "flights/2013-03/validation.html"
ODD = Statement(kind="ValidationReport", fact={"of": "another version"})


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    port = free_port()
    extra = {"from_email": "airflow@example.com", "disable_ssl": True, "disable_tls": True, "timeout": 5}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}")
    monkeypatch.setenv("AIRFLOW__MLOPS__REPORTS", f"file://{tmp_path}/reports")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/team/")
    for option in (config.storage, config.reports):
        option.cache_clear()
    yield port
    for option in (config.storage, config.reports):
        option.cache_clear()


@pytest.fixture
def inbox(port: int, tmp_path: Path) -> Iterator[Inbox]:
    with in_thread(tmp_path / "mails", port) as inbox:
        yield inbox


Stated = dict[str, list[Any]]
"""What tasks have stated: facts of each, or a list of them for each that it was mapped to."""


def execute(
    *failed: str, run_id: str = RUN, attempt: int = 0, said: Stated | None = None, **arguments: Any
) -> None:
    """Run the alert of a run whose tasks have failed, or none of them."""
    with DAG("flights.ingest") as dag:
        for name in (
            "ingest",
            "validate",
            "publish",
            "train",
            "guard",
            "shadow",
            "drift",
            "verdict",
            "record",
        ):
            BaseOperator(task_id=name)
        alert = AlertOperator(task_id="alert", model="flights", **({"to": TO} | arguments))
    states = dict.fromkeys(dag.task_ids, "success") | {"alert": "running"} | dict.fromkeys(failed, "failed")
    if failed:
        states["publish"] = "upstream_failed"
    pushed = {(task, FACTS): make_xcom(facts) for task, facts in (said or {}).items()}
    ti = SimpleNamespace(
        dag_id=dag.dag_id,
        run_id=run_id,
        max_tries=attempt,
        get_task_states=lambda dag_id, run_ids: {run_id: states},
        xcom_pull=lambda task_ids, key: pushed.get((task_ids, key)),
    )
    alert.execute({"ti": ti, "dag": dag, "partition_key": "2013-03"})  # type: ignore[arg-type]


def tell(*failed: str, **arguments: Any) -> None:
    """Run the alert of a failed run, which fails so that the run does."""
    with pytest.raises(AirflowFailException, match=f"(?s)^failed: .*; mailed to {TO[0]}, {TO[1]}$"):
        execute(*failed, **arguments)


def checked(report: Any, page: str = PAGE) -> Stated:
    """Return what the tasks of a run state about a validation."""
    return {"ingest": [make_version()], "validate": [Statement.of(report, report=page)]}


def save_page(tmp_path: Path, content: str) -> None:
    file = tmp_path / "reports" / PAGE
    file.parent.mkdir(parents=True)
    file.write_text(content)


def pending() -> list[str]:
    return [entry.notice.title for entry in outbox.pending(table_uri("flights", "outbox"))]


def subjects(inbox: Inbox) -> list[str]:
    return [str(mail["Subject"]).strip().removeprefix("[airflow-mlops] ") for mail in inbox.mails]


def test_a_failed_run_is_mailed_once_to_everybody_in_text_and_html(inbox: Inbox) -> None:
    tell("ingest")
    tell("ingest")
    [mail] = inbox.mails
    assert mail["Subject"] == "[airflow-mlops] flights.ingest failed: ingest (2013-03)"
    assert mail["X-Recipients"].split(",") == mail["To"].replace(" ", "").split(",") == list(TO)
    assert mail.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        said = body(mail, kind)
        for fact in ("flights.ingest", "2013-03", "nothing downstream runs", "clear the"):
            assert fact in " ".join(said.split())
        assert "publish:" not in said
        assert (
            "https://airflow.example.com/team/dags/flights.ingest/runs/"
            "scheduled__2013-04-01T00%3A00%3A00%2B00%3A00" in said
        )
    assert pending() == []


def test_a_failed_validation_is_one_mail_with_what_was_seen_and_the_report(
    inbox: Inbox, tmp_path: Path
) -> None:
    save_page(tmp_path, "<p>the report</p>")
    tell("validate", said=checked(make_report()))
    [mail] = inbox.mails
    assert mail["Subject"] == "[airflow-mlops] flights 2013-03: validation failed"
    assert mail["Content-Type"].startswith("multipart/mixed")
    for kind in ("plain", "html"):
        for fact in ("at least 0", "-3 to 4,983", "1.2 %", "•••", "version 7 of the table staging", PAGE):
            assert fact in body(mail, kind)
    [part] = mail.iter_attachments()
    assert part.get_content() == "<p>the report</p>"
    assert not any(word in mail.as_string() for word in ("smtp_default", "AIRFLOW_CONN"))


def test_a_report_that_is_gone_is_said_in_the_mail(inbox: Inbox) -> None:
    tell("validate", said=checked(make_report()))
    [mail] = inbox.mails
    assert list(mail.iter_attachments()) == []
    assert "The report is not attached: it is not there" in body(mail, "plain")


@pytest.mark.parametrize("page", ["../secret.txt", "flights/link/validation.html"])
def test_a_file_outside_of_the_reports_is_never_attached(inbox: Inbox, tmp_path: Path, page: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "reports" / "flights" / "link").mkdir(parents=True)
    (tmp_path / "reports" / "flights" / "link" / "validation.html").symlink_to(tmp_path / "secret.txt")
    tell("validate", said=checked(make_report(), page))
    [mail] = inbox.mails
    assert list(mail.iter_attachments()) == []


def test_a_report_of_10_mb_is_mailed_compressed(inbox: Inbox, tmp_path: Path) -> None:
    save_page(tmp_path, "<p>the report</p>" * 620_000)
    tell("validate", said=checked(make_report()))
    [part] = inbox.mails[0].iter_attachments()
    assert part.get_filename() == "flights-2013-03-validation.html.gz"


def test_a_warned_run_is_mailed_and_stays_green(inbox: Inbox) -> None:
    execute(said=checked(make_warning()))
    assert subjects(inbox) == ["flights 2013-03: validation passed with warnings, 12 rows set aside"]


def test_an_odd_xcom_of_a_good_run_keeps_no_mail_back(port: int, tmp_path: Path) -> None:
    with pytest.raises(MailUndelivered):
        execute("train")
    with in_thread(tmp_path / "mails", port) as inbox:
        with contextlib.suppress(AirflowSkipException):
            execute(run_id="manual__2", said={"validate": [ODD]})
        assert subjects(inbox) == ["flights.ingest failed: train (2013-03)"]


def test_a_source_and_a_mapped_task_are_told_with_the_version_that_was_checked(inbox: Inbox) -> None:
    said = checked(make_warning())
    said["validate"] = [[make_warning(), make_version(version=8)], [make_warning(dataset="orders")]]
    execute(said=said)
    first, second = inbox.mails
    assert "version 8 of the table staging" in body(first, "plain")
    assert "orders 2013-03: validation passed" in str(second["Subject"])
    assert "of the table" not in body(second, "plain")


class Inspect(BaseOperator):
    """An operator of somebody's own."""

    def execute(self, context: Context) -> None:
        push_facts(context, Statement.of(make_warning(dataset="orders"), report="orders/2013-03/own.html"))


def test_what_an_operator_of_somebodys_own_states_is_told_too(inbox: Inbox) -> None:
    run = Run("flights.ingest", "2013-03")
    run.execute(Inspect, "validate")
    execute(said={"validate": run.stated})
    assert subjects(inbox) == ["orders 2013-03: validation passed with warnings, 12 rows set aside"]
    assert "/mlops/reports/orders/2013-03/own.html" in body(inbox.mails[0], "plain")


def test_another_channel_takes_the_place_of_mail(inbox: Inbox) -> None:
    pinboard = Pinboard()
    tell("ingest", channel=pinboard)
    assert pinboard.posts == [("flights.ingest failed: ingest (2013-03)", TO)]
    assert inbox.mails == []


def test_what_an_earlier_try_of_the_run_pushed_is_not_told(inbox: Inbox) -> None:
    # Cleared, and this time it failed before it could validate.
    with pytest.raises(AirflowFailException):
        execute("ingest", "validate", said={"validate": [make_warning()]})
    assert subjects(inbox) == ["flights.ingest failed: ingest, validate (2013-03)"]


def test_an_odd_report_keeps_the_news_of_a_failure_from_nobody(inbox: Inbox) -> None:
    tell("validate", said={"validate": [ODD]})
    assert subjects(inbox) == ["flights.ingest failed: validate (2013-03)"]
    with pytest.raises(AirflowSkipException):
        execute(run_id="manual__2", said={"validate": [ODD]})


def test_a_partition_that_failed_warned_and_passes_is_told_each_time(inbox: Inbox) -> None:
    tell("validate", said=checked(make_report()))
    execute(attempt=1, said=checked(make_warning()))
    execute(attempt=2)
    with pytest.raises(AirflowSkipException, match="nothing else to tell"):
        execute(attempt=3)
    assert [subject.partition(": ")[2] for subject in subjects(inbox)] == [
        "validation failed",
        "validation passed with warnings, 12 rows set aside",
        "validation recovered",
    ]
    assert "It passes now. Before: flights 2013-03: validation failed." in body(inbox.mails[1], "plain")


def test_a_cleared_run_that_fails_again_is_held_back_for_the_cooldown(inbox: Inbox) -> None:
    tell("ingest")
    with pytest.raises(AirflowFailException, match="not mailed: the same was mailed before"):
        execute("ingest", attempt=4)
    assert len(inbox.mails) == 1
    tell("ingest", attempt=8, alerts=Alerts.from_dict({"cooldown": "P0D"}))
    assert "The same happened once since the mail of" in body(inbox.mails[1], "plain")


def test_another_run_or_another_failed_task_is_another_mail(inbox: Inbox) -> None:
    tell("ingest")
    tell("validate", "ingest")
    tell("train_1", "ingest", "train_0")
    said = [subject.partition("failed: ")[2] for subject in subjects(inbox)]
    assert said == ["ingest (2013-03)", "ingest, validate (2013-03)", "ingest, train_0, train_1 (2013-03)"]
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 3


def test_health_and_decisions_are_mailed_if_asked_for(inbox: Inbox) -> None:
    said = {
        "verdict": [make_health(partition="2013-03")],
        "record": [make_decision("promoted", partition="2013-03")],
    }
    execute(said=said)
    assert subjects(inbox) == ["flights 2013-03: the champion is in bad health (drift)"]
    execute(attempt=1, said=said, alerts=Alerts(events=["promotion"]))
    assert subjects(inbox)[1:] == ["flights 2013-03: version 5 is the new champion"]
    execute(attempt=2, said={"verdict": [make_health(verdict="PASS")]})
    assert subjects(inbox)[2:] == ["flights 2013-03: health recovered"]


def test_bad_health_is_mailed_when_it_begins_and_when_it_is_over(inbox: Inbox) -> None:
    for key, verdict in (("2013-03", "FAIL"), ("2013-04", "FAIL"), ("2013-05", "PASS"), ("2013-06", "FAIL")):
        report = make_health(partition=key, verdict=verdict, drift=make_check("drift", verdict))
        health.record(table_uri("flights", "monitoring"), report)
        execute(said={"verdict": [report]})
    assert subjects(inbox) == [
        "flights 2013-03: the champion is in bad health (drift)",
        "flights 2013-03: health recovered",
        "flights 2013-06: the champion is in bad health (drift)",
    ]


def test_a_failure_that_is_found_before_the_one_that_was_mailed_is_the_same_incident(inbox: Inbox) -> None:
    for key, verdict in (("2013-03", "FAIL"), ("2013-02", "FAIL"), ("2013-03", "FAIL"), ("2013-05", "FAIL")):
        report = make_health(partition=key, verdict=verdict, drift=make_check("drift", verdict))
        health.record(table_uri("flights", "monitoring"), report)
        execute(said={"verdict": [report]})
    assert subjects(inbox) == ["flights 2013-03: the champion is in bad health (drift)"]


def test_that_bad_health_is_over_is_mailed_though_labels_are_missing_and_not_while_it_lasts(
    inbox: Inbox,
) -> None:
    unknown = make_check("performance", "INCONCLUSIVE")
    for key, drift in (("2013-03", "FAIL"), ("2013-02", "PASS"), ("2013-04", "PASS")):
        report = make_health(
            partition=key,
            verdict="FAIL" if drift == "FAIL" else "INCONCLUSIVE",
            drift=make_check("drift", drift),
            performance=unknown,
        )
        health.record(table_uri("flights", "monitoring"), report)
        quiet = pytest.raises(AirflowSkipException) if key == "2013-02" else contextlib.nullcontext()
        with quiet:
            execute(said={"verdict": [report]})
    assert subjects(inbox)[1:] == ["flights 2013-03: health recovered"]


def test_a_champion_that_was_moved_is_mailed_once_and_recovers_also_if_something_else_failed(
    inbox: Inbox,
) -> None:
    astray = make_check("alias", "FAIL", reason="version 4 is champion, though r made version 5 the champion")
    said = {"guard": [make_guarded(alias=astray, partition="2013-03")]}
    tell("train", said=said)
    assert subjects(inbox) == [
        "flights.ingest failed: train (2013-03)",
        "flights 2013-03: the champion was changed outside of the ledger",
    ]
    execute(attempt=1, said=said)
    assert subjects(inbox)[2:] == ["flights.ingest recovered (2013-03)"]
    execute(attempt=2, said={"guard": [make_guarded()]})
    assert subjects(inbox)[3:] == ["flights 2013-03: health recovered"]


def test_an_automatic_rollback_is_mailed_to_those_who_want_warnings(inbox: Inbox) -> None:
    worse = make_check("probation", "FAIL", reason="worse by 0.02")
    report = make_guarded(probation=worse, restored=make_decision("rolled back", after="3"))
    alerts = Alerts(email=TO, warnings=["data@example.com"])
    execute(said={"guard": [report]}, alerts=alerts, to=())
    assert [mail["X-Recipients"] for mail in inbox.mails] == ["data@example.com"]
    assert "rolled back to version 3" in subjects(inbox)[0]


def test_the_end_of_a_trial_is_mailed_once_as_a_promotion_is(inbox: Inbox) -> None:
    moved = make_decision(
        "promoted", after="7", candidate="7", partition="2013-03", key="flights.monitor/r/shadow"
    )
    report = ChallengeReport(
        model="flights", partition="2013-03", challenger="7", moved=moved, reason="3 of 3"
    )
    said = {"shadow": [report]}
    execute(said=said, alerts=Alerts(events=["promotion"]))
    execute(said=said, alerts=Alerts(events=["promotion"]))
    assert subjects(inbox) == ["flights 2013-03: version 7 is the new champion"]
    with pytest.raises(AirflowSkipException):
        execute(said={"shadow": [report.model_copy(update={"moved": None})]})


def test_warnings_go_to_their_own_addresses(inbox: Inbox) -> None:
    alerts = Alerts(email=TO, warnings=["data@example.com"])
    execute(said=checked(make_warning()), alerts=alerts, to=())
    assert [mail["X-Recipients"] for mail in inbox.mails] == ["data@example.com"]


def test_a_digest_keeps_what_is_not_urgent(inbox: Inbox) -> None:
    execute(said=checked(make_warning()), alerts=Alerts.from_dict({"digest": "P1D"}))
    assert inbox.mails == []
    assert pending() == ["flights 2013-03: validation passed with warnings, 12 rows set aside"]


def test_while_the_mail_server_is_down_mails_wait_and_the_next_alert_sends_them_all(
    port: int, tmp_path: Path
) -> None:
    with pytest.raises(MailUndelivered, match="smtp_default"):
        execute("validate")
    assert len(pending()) == 1
    with in_thread(tmp_path / "mails", port) as inbox:
        tell("ingest", run_id="manual__2")
        assert [subject.split()[-2] for subject in subjects(inbox)] == ["validate", "ingest"]
    assert pending() == []


@pytest.mark.parametrize("said", [None, checked(make_warning())], ids=["good", "warned"])
def test_a_mail_problem_is_no_problem_of_a_run_in_which_nothing_failed(
    port: int, tmp_path: Path, said: Any
) -> None:
    with pytest.raises(MailUndelivered):
        execute("train")
    with pytest.raises(AirflowSkipException):
        execute(run_id="manual__2", attempt=1, said=said)
    assert len(pending()) == 2
    with in_thread(tmp_path / "mails", port) as inbox:
        with contextlib.suppress(AirflowSkipException):
            execute(run_id="manual__2", attempt=1, said=said)
        assert len(inbox.mails) == 2


def test_a_run_with_nothing_to_tell_asks_no_mail_server_and_makes_no_outbox(inbox: Inbox) -> None:
    with pytest.raises(AirflowSkipException, match="nothing failed"):
        execute(smtp_conn_id="there_is_none")
    assert not inbox.mails
    assert not Path(table_uri("flights", "outbox").removeprefix("file://")).exists()


@pytest.mark.parametrize(
    "arguments", [{"to": ()}, {"alerts": Alerts(events=["health"])}], ids=["to", "events"]
)
def test_without_an_address_or_an_event_nothing_is_sent_and_it_says_so(
    inbox: Inbox, arguments: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match="failed: ingest; nobody is told"):
        execute("ingest", **arguments)
    assert inbox.mails == []
    assert not Path(table_uri("flights", "outbox").removeprefix("file://")).exists()


def test_addresses_may_be_one_text_and_have_to_be_addresses(inbox: Inbox) -> None:
    tell("ingest", to=", ".join(TO))
    assert len(inbox.mails) == 1
    with pytest.raises(SpecError, match="must be one line"):
        execute("ingest", to=["a@example.com\nBcc: b@example.com"])
    with pytest.raises(AirflowSkipException):
        execute(to=["nobody"])


def test_a_storage_that_is_down_keeps_no_mail_back(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}/file")
    config.storage.cache_clear()
    tell("ingest")
    assert len(inbox.mails) == 1


class FinishedTask(NamedTuple):
    """As much of a task instance as the state of a run depends on."""

    task_id: str
    state: str = "success"


def make_dags(**changes: Any) -> tuple[DAG, ...]:
    from airflow_mlops import ModelSpec, continuous_training

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
        assert Recipients(alert.model, alert.to, alert.alerts).policy.email == TO
        assert alert.upstream_task_ids == set(dag.task_ids) - {"alert"}
        scheduled = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert scheduled.get_task("alert").is_teardown
        ended = {FinishedTask(name) for name in dag.task_ids}
        leaves = DagRun._tis_for_dagrun_state(None, dag=scheduled, tis=ended)
        assert {leaf.task_id for leaf in leaves} == {"alert"}
