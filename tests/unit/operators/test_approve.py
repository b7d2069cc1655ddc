from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.standard.exceptions import HITLTriggerEventError
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import DownstreamTasksSkipped, TaskAwaitingInput

from airflow_mlops import config
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.spec.approval import Approval
from airflow_mlops.domain.spec.model import Alerts
from airflow_mlops.exceptions import ApprovalMissing
from airflow_mlops.local.airflow import free_port
from airflow_mlops.operators.approve import PromotionApprovalOperator
from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.runs import table_uri
from contexts import TaskInstance, through_json
from mail_server import body, in_thread
from notices import make_answer, make_candidate, make_evaluation

RUN = "manual__2013-05-01T00:00:00+00:00"
TO = Alerts(email=("owner@example.com",))


class Forms:
    """Airflow's table of forms: one a task, which keeps its first text whatever the task wants to show later."""

    def __init__(self) -> None:
        self.form: Any = None
        self.asked = 0

    def send(self, msg: Any) -> Any:
        self.asked += 1
        self.form = self.form or msg
        return self.form


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Forms]:
    forms = Forms()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", forms, raising=False)
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}")
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_URL", "https://mlflow.example.com")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/team/")
    options = (config.storage, config.mlflow_url, config.smtp_conn_id)
    for option in options:
        option.cache_clear()
    yield forms
    for option in options:
        option.cache_clear()


def smtp(monkeypatch: pytest.MonkeyPatch) -> int:
    port = free_port()
    extra = {"from_email": "airflow@example.com", "disable_ssl": True, "disable_tls": True, "timeout": 2}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    return port


class Asking:
    """A task that asks, the tasks after it, and what becomes of them."""

    def __init__(self, evaluation: Any = None, **arguments: Any) -> None:
        self.made = {"evaluation": evaluation, **arguments}
        given = through_json((evaluation or make_evaluation()).to_dict())
        policy = {"policy": Approval(people="one")}
        with DAG("flights.train") as self.dag:
            self.task = PromotionApprovalOperator(task_id="approve", evaluation=given, **(policy | arguments))
            again = PromotionApprovalOperator(task_id="approve_again", evaluation=given)
            promote, record = (
                BaseOperator(task_id="promote"),
                BaseOperator(task_id="record", trigger_rule="all_done"),
            )
            self.task >> [again, promote, record]
            alert = BaseOperator(task_id="alert")
            self.task >> alert.as_teardown()
        self.ti: Any = TaskInstance(self.dag.dag_id, RUN, "approve", {}, {})
        self.ti.id = uuid4()
        self.ti.task = self.task
        self.ti.max_tries = 0
        self.waiting: Any = None

    @property
    def context(self) -> Any:
        return {
            "ti": self.ti,
            "task_instance": self.ti,
            "task": self.task,
            "dag": self.dag,
            "run_id": RUN,
        } | {"partition_key": "2013-04"}

    def ask(self) -> TaskAwaitingInput:
        with pytest.raises(TaskAwaitingInput) as waiting:
            self.task.execute(self.context)
        self.waiting = waiting.value
        return waiting.value

    def answer(self, choice: str = "Approve", user: str = "bob", **params: Any) -> Any:
        return self.resume(
            {
                "chosen_options": [choice],
                "params_input": params,
                "responded_at": datetime(2013, 5, 2, tzinfo=UTC),
                "responded_by_user": {"id": user, "name": user},
                "timedout": False,
            }
        )

    def resume(self, event: dict[str, Any]) -> Any:
        # In another process, which has made the task anew.
        task = Asking(**self.made).task
        method = getattr(task, self.waiting.method_name)
        return method(self.context | {"task": task}, event=event, **through_json(self.waiting.kwargs))


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_nobody_is_asked_about_a_candidate_that_did_not_pass(forms: Forms, verdict: Verdict) -> None:
    asking = Asking(make_evaluation(verdict), alerts=TO)
    assert asking.task.execute(asking.context) is None
    assert forms.asked == 0
    assert outbox.entries(table_uri("flights", "outbox")) == []


def test_nobody_is_asked_a_second_time_after_a_veto(forms: Forms) -> None:
    asking = Asking(first=make_answer(approved=False).to_dict())
    assert asking.task.execute(asking.context) is None
    assert forms.asked == 0


def test_a_person_is_asked_with_the_evidence_and_a_field_for_the_reason(forms: Forms) -> None:
    waiting = Asking(policy=Approval(people="one", users=("alice", "bob"))).ask()
    assert waiting.timeout is not None
    assert timedelta(days=6.99) < waiting.timeout <= timedelta(days=7)
    form = forms.form
    assert form.subject == "Promote version 5 of flights? Partition 2013-04"
    for part in (
        "| versus_champion | ✓ PASS |",
        "(https://airflow.example.com/team/mlops/reports/flights/2013-04/model_card.html)",
        "(https://mlflow.example.com/#/runs/run-of-5)",
        "(https://mlflow.example.com/#/runs/run-of-3)",
    ):
        assert part in form.body
    assert form.options == ["Approve", "Reject"]
    assert form.defaults is None
    assert form.params["reason"]["schema"]["minLength"] == 3
    assert [user.id for user in form.assigned_users] == ["alice", "bob"]


def test_an_override_is_asked_for_only_if_the_policy_allows_it(forms: Forms) -> None:
    Asking(make_evaluation(Verdict.FAIL), policy=Approval(people="one", override=True)).ask()
    assert "NOT passed" in forms.form.subject


def test_an_approval_is_returned_with_who_and_why(forms: Forms) -> None:
    asking = Asking()
    asking.ask()
    assert asking.answer(reason="looks good") == {
        "version": "5",
        "verdict": "PASS",
        "user": "bob",
        "person": "bob",
        "approved": True,
        "reason": "looks good",
        "at": "2013-05-02T00:00:00Z",
    }


def test_a_veto_skips_what_needs_success_and_leaves_what_records_it(forms: Forms) -> None:
    asking = Asking()
    asking.ask()
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        asking.answer("Reject", reason="not before a holiday")
    assert sorted(skipped.value.tasks) == ["approve_again", "promote"]
    answer = asking.ti.pushed["return_value"]
    assert (answer["person"], answer["approved"], answer["reason"]) == ("bob", False, "not before a holiday")


@pytest.mark.parametrize(
    ("arguments", "params", "user"),
    [
        ({}, {}, "bob"),
        ({}, {"reason": "ok"}, "bob"),
        ({"policy": Approval(people="one", users=("alice", "carol"))}, {"reason": "looks good"}, "bob"),
        ({"first": make_answer("bob").to_dict()}, {"reason": "me again"}, "bob"),
    ],
)
def test_an_answer_that_does_not_count_is_asked_for_again_in_the_time_that_is_left(
    forms: Forms, arguments: Any, params: Any, user: str
) -> None:
    asking = Asking(**arguments)
    first = asking.ask()
    with pytest.raises(TaskAwaitingInput) as again:
        asking.answer(user=user, **params)
    assert first.timeout is not None
    assert again.value.timeout is not None
    assert again.value.timeout < first.timeout
    assert again.value.kwargs == {"until": first.kwargs["until"], "asked": 1}  # type: ignore[index]
    asking.waiting = again.value
    assert asking.answer(user="alice", reason="looks good")["person"] == "alice"


@pytest.mark.parametrize(
    "event",
    [
        {"error": "The timeout has passed", "error_type": "timeout"},
        {"chosen_options": ["Approve"], "params_input": {"reason": "by default"}, "timedout": True},
    ],
)
def test_without_an_answer_in_time_it_fails(forms: Forms, event: dict[str, Any]) -> None:
    asking = Asking(defaults="Approve")
    asking.ask()
    with pytest.raises(
        ApprovalMissing, match=r"within 7 days, 0:00:00 \(gates.approval.timeout\), so the champion"
    ):
        asking.resume(event)


def test_an_error_of_the_deployment_is_not_taken_for_people_who_have_not_answered(forms: Forms) -> None:
    asking = Asking()
    asking.ask()
    with pytest.raises(HITLTriggerEventError, match="database is locked"):
        asking.resume({"error": "database is locked", "error_type": "unknown"})


def test_the_evidence_of_an_earlier_question_is_never_approved(forms: Forms) -> None:
    Asking().ask()
    # The run was cleared, and another candidate was judged.
    other = Asking(make_evaluation(candidate=make_candidate(version="6")))
    with pytest.raises(ApprovalMissing) as raised:
        other.task.execute(other.context)
    for part in ("version 6", "still shows that: 'Promote version 5", "Trigger a new run of flights.train"):
        assert part in str(raised.value)


def test_the_same_question_can_be_asked_again(forms: Forms) -> None:
    Asking().ask()
    assert Asking().ask().kwargs["asked"] == 0  # type: ignore[index]


def test_who_is_asked_gets_one_mail_with_a_link_to_the_form(
    forms: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_thread(tmp_path / "mails", smtp(monkeypatch)) as inbox:
        Asking(alerts=TO).ask()
        Asking(alerts=TO).ask()
        [mail] = inbox.mails
    assert mail["To"] == "owner@example.com"
    assert "Promote version 5 of flights?" in mail["Subject"]
    link = (
        "https://airflow.example.com/team/dags/flights.train/runs/manual__2013-05-01T00%3A00%3A00%2B00%3A00"
    )
    for kind in ("plain", "html"):
        assert f"{link}/tasks/approve/required_actions" in body(mail, kind)


def test_a_mail_server_that_is_down_keeps_nobody_from_asking_and_gets_the_mail_later(
    forms: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = smtp(monkeypatch)
    Asking(alerts=TO).ask()
    [waiting] = outbox.pending(table_uri("flights", "outbox"))
    with in_thread(tmp_path / "mails", port) as inbox:
        Asking(alerts=TO).ask()
        assert [str(mail["Subject"]) for mail in inbox.mails] == [f"[airflow-mlops] {waiting.notice.title}"]
    assert outbox.pending(table_uri("flights", "outbox")) == []


def test_a_storage_that_is_down_keeps_nobody_from_asking(
    forms: Forms, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp(monkeypatch)
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", "file:///proc/nowhere")
    config.storage.cache_clear()
    assert Asking(alerts=TO).ask()


def test_the_policy_can_be_left_out(forms: Forms) -> None:
    Asking(policy=None).ask()
    assert forms.form.assigned_users in (None, [])


def test_an_event_that_names_nobody_does_not_count(forms: Forms) -> None:
    asking = Asking()
    asking.ask()
    event = {"chosen_options": ["Approve"], "params_input": {"reason": "a script"}, "responded_by_user": None}
    with pytest.raises(TaskAwaitingInput):
        asking.resume(event | {"responded_at": datetime(2013, 5, 2, tzinfo=UTC)})


def test_a_mapped_form_has_its_own_address(
    forms: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp(monkeypatch)
    asking = Asking(alerts=TO)
    asking.ti.map_index = 2
    asking.ask()
    [entry] = outbox.pending(table_uri("flights", "outbox"))
    assert entry.notice.links[0].url.endswith("/tasks/approve/mapped/2/required_actions")
