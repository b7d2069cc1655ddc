from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import DownstreamTasksSkipped, TaskAwaitingInput

from airflow_mlops import config
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, DatasetVersion, PromotionDecision
from airflow_mlops.domain.facts.retraining import MODE, RetrainDecision, declined
from airflow_mlops.domain.spec.model import Alerts
from airflow_mlops.operators.suggest import RetrainSuggestionOperator
from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.runs import table_uri
from contexts import TaskInstance, through_json

RUN = "asset_triggered__2013-05-01T00:00:00+00:00"
DATA = DatasetVersion(
    name="flights", uri="file:///nowhere", version=7, grain="month", partition="2013-04", rows=10, digest="d",
    columns={}, key=("flight",), event_time="departure",
)  # fmt: skip
DRIFT = Check(
    name="retrain.drift", verdict=Verdict.FAIL, expected="e", reason="2 of 3 failed, see http://x.example"
)
ASKS = Check(name=MODE, verdict=Verdict.INCONCLUSIVE, expected="auto", reason="a person decides")


class Forms:
    """Airflow's table of forms."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def send(self, msg: Any) -> Any:
        self.asked.append(msg)
        return msg


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Forms]:
    forms = Forms()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", forms, raising=False)
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}")
    config.storage.cache_clear()
    yield forms
    config.storage.cache_clear()


def make_decision(*, retrain: bool = False, checks: tuple[Check, ...] = (DRIFT, ASKS)) -> RetrainDecision:
    return RetrainDecision(
        model="flights", partition="2013-04", retrain=retrain, checks=checks, dataset=DATA, reason="drift lasts"
    )  # fmt: skip


class Asking:
    """A task that asks before ``train`` and ``record``, and what becomes of them."""

    def __init__(self, decision: RetrainDecision | None = None, **arguments: Any) -> None:
        given = through_json((decision or make_decision()).to_dict())
        with DAG("flights.train") as self.dag:
            self.task = RetrainSuggestionOperator(
                task_id="suggest", decision=given, skips=["train"], **arguments
            )
            self.task >> [BaseOperator(task_id="train"), BaseOperator(task_id="record")]
        self.ti: Any = TaskInstance(self.dag.dag_id, RUN, "suggest", {}, {})
        self.ti.id = uuid4()
        self.ti.task = self.task
        self.ti.max_tries = 0
        self.skipped: list[Any] = []

    @property
    def context(self) -> Any:
        facts = {"ti": self.ti, "task_instance": self.ti, "task": self.task, "dag": self.dag, "run_id": RUN}
        return facts | {"partition_key": "2013-04"}

    def ask(self) -> TaskAwaitingInput:
        with pytest.raises(TaskAwaitingInput) as waiting:
            self.task.execute(self.context)
        return waiting.value

    def answer(self, choice: str = "Approve", user: str = "bob", **event: Any) -> RetrainDecision:
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        said = {
            "chosen_options": [choice], "params_input": {"reason": "storm season"}, "timedout": False,
            "responded_at": datetime(2013, 5, 2, tzinfo=UTC), "responded_by_user": {"id": user, "name": user},
        }  # fmt: skip
        return self.passed_on(
            lambda: self.task.execute_complete(self.context, said | event, until=until, asked=0)
        )

    def passed_on(self, work: Any) -> RetrainDecision:
        try:
            return RetrainDecision.from_dict(work())
        except DownstreamTasksSkipped as skipping:
            self.skipped = list(skipping.tasks)
            return RetrainDecision.from_dict(self.ti.pushed["return_value"])


@pytest.mark.parametrize(
    ("decision", "skipped"),
    [(make_decision(retrain=True), []), (make_decision(checks=(DRIFT,)), ["train"])],
)
def test_nobody_is_asked_about_what_the_policy_has_decided(
    forms: Forms, decision: RetrainDecision, skipped: list[str]
) -> None:
    asking = Asking(decision)
    assert asking.passed_on(lambda: asking.task.execute(asking.context)) == decision
    assert asking.skipped == skipped
    assert forms.asked == []


def test_a_person_is_asked_with_every_rule_and_only_so_long(forms: Forms) -> None:
    waiting = Asking(users=["bob"], wait=timedelta(hours=2)).ask()
    assert waiting.timeout is not None
    assert timedelta(hours=1.99) < waiting.timeout <= timedelta(hours=2)
    (form,) = forms.asked
    assert form.subject == "Retrain flights? Partition 2013-04"
    assert "| retrain.drift | → asks to train |" in form.body
    assert "http://x.example" not in form.body, "Airflow would make a link of what a reason says"
    assert form.defaults == ["Reject"]


def test_who_is_asked_is_mailed_once(forms: Forms) -> None:
    Asking(alerts=Alerts(email=("owner@example.com",))).ask()
    (entry,) = outbox.entries(table_uri("flights", "outbox"))
    assert entry.notice.title == "Retrain flights? Partition 2013-04"
    assert entry.notice.summary == ("drift lasts",)


def test_a_yes_trains_and_is_told_with_who_and_why(forms: Forms) -> None:
    asking = Asking()
    decision = asking.answer()
    assert decision.retrain
    assert decision.reason == "bob wants it: storm season (drift lasts)"
    assert asking.skipped == []


@pytest.mark.parametrize(
    ("event", "reason", "no"),
    [
        ({"choice": "Reject"}, "bob does not want it: storm season (drift lasts)", True),
        ({"choice": "Reject", "params_input": {}}, "bob does not want it: no reason given (drift lasts)", True),
        ({"timedout": True}, "nobody has answered in time, so nothing is trained (drift lasts)", False),
        ({"error": "over", "error_type": "timeout"}, "nobody has answered in time, so nothing is trained (drift lasts)", False),
    ],
)  # fmt: skip
def test_without_a_yes_nothing_is_trained_and_only_a_no_ends_the_question(
    forms: Forms, event: dict[str, Any], reason: str, no: bool
) -> None:
    asking = Asking()
    decision = asking.answer(**event)
    assert not decision.retrain
    assert decision.reason == reason
    assert asking.skipped == ["train"]
    kept = PromotionDecision(
        model="flights", partition="2013-04", action=Action.KEPT, before="1", after="1", checks=decision.checks,
        reason=decision.reason,
    )  # fmt: skip
    assert declined(kept) is no


@pytest.mark.parametrize(
    "event", [{"user": "eve"}, {"responded_by_user": None}, {"choice": "Reject", "user": "eve"}]
)
def test_the_word_of_somebody_else_is_none_and_it_is_asked_again(forms: Forms, event: dict[str, Any]) -> None:
    asking = Asking(users=["bob"])
    with pytest.raises(TaskAwaitingInput) as waiting:
        asking.answer(**event)
    assert waiting.value.kwargs is not None
    assert waiting.value.kwargs["asked"] == 1
    assert waiting.value.timeout is not None
    assert waiting.value.timeout < timedelta(hours=1)
