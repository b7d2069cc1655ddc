from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import TaskDeferred

from airflow_mlops import config
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.exceptions import NoDecision, TableMissing
from airflow_mlops.pipelines.retry import RETRIES, RETRY_POLICY
from airflow_mlops.sensors.decision import DecisionSensor
from airflow_mlops.triggers.decision import DecisionTrigger
from contexts import Run, deploy
from history import MODEL, History


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch)


def sensor(*, deferrable: bool = True, partition: str | None = None) -> DecisionSensor:
    return DecisionSensor(task_id="wait", model=MODEL, deferrable=deferrable, partition=partition)


def look(key: str | None, **arguments: str) -> bool:
    return sensor(**arguments).poke(Run(partition=key).context())


def test_the_first_partition_never_waits(history: History) -> None:
    history.publish("2013-01")
    assert look("2013-01")
    history.publish("2013-02")
    assert look("2013-01")
    assert Run(partition="2013-01").execute_task(sensor()) is None
    assert Run(partition="2013-01").execute_task(sensor(deferrable=False)) is None


@pytest.mark.parametrize("action", [each for each in Action if each is not Action.ROLLED_BACK])
def test_a_partition_waits_for_whatever_is_decided_on_the_one_before(
    history: History, action: Action
) -> None:
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    assert not look("2013-02")
    history.decide("2013-02", action)
    assert not look("2013-02")
    history.decide("2013-01", action)
    assert look("2013-02")


def test_the_one_before_is_the_one_that_was_published_before_in_event_time(history: History) -> None:
    for key in ("2013-04", "2013-01", "2013-02"):
        history.publish(key)
    history.decide("2013-02")
    assert look("2013-04")
    assert not look("2013-02")
    assert look(None)
    assert not look("2013-04", partition="2013-02")


def test_a_partition_that_was_not_published_fails_instead_of_waiting(history: History) -> None:
    history.publish("2013-01")
    with pytest.raises(TableMissing, match="No partition 2013-02"):
        look("2013-02")


def test_a_wait_is_left_to_the_triggerer_until_a_deadline(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__MLOPS__DECISION_TIMEOUT", "60")
    config.decision_timeout.cache_clear()
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    run, before = Run(partition="2013-02"), time.time()
    with pytest.raises(TaskDeferred) as deferred:
        run.execute_task(sensor())
    trigger = deferred.value.trigger
    assert isinstance(trigger, DecisionTrigger)
    assert (trigger.uri, trigger.partition) == (history.uri("ledger"), "2013-01")
    assert before + 60 <= trigger.deadline <= time.time() + 60
    resume = getattr(sensor(), deferred.value.method_name)
    assert resume(run.context(), event={"decided": True}) is None


def test_a_worker_that_waits_itself_gives_up_at_the_same_deadline_with_the_same_words(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__MLOPS__DECISION_TIMEOUT", "1")
    config.decision_timeout.cache_clear()
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    task = DecisionSensor(task_id="wait", model=MODEL, deferrable=False, poke_interval=0.1)
    with pytest.raises(NoDecision, match="flights.train has not decided on partition 2013-01 within 1 s"):
        Run(partition="2013-02").execute_task(task)


def test_a_passed_deadline_names_the_dag_the_partition_and_the_option(history: History) -> None:
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    with pytest.raises(NoDecision) as raised:
        sensor().resume(Run(partition="2013-02").context(), {"decided": False})
    for part in (
        "flights.train", "partition 2013-01", "within 21600 s ([mlops] decision_timeout)", "the load of this machine is",
    ):  # fmt: skip
        assert part in str(raised.value)


def test_a_decision_that_was_made_before_the_task_could_go_on_ends_the_wait(history: History) -> None:
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    history.decide("2013-01")
    assert sensor().resume(Run(partition="2013-02").context(), {"decided": False}) is None


def test_a_wait_that_was_missed_is_tried_again() -> None:
    decision = RETRY_POLICY.evaluate(NoDecision(), try_number=1, max_tries=RETRIES)
    assert decision.action is RetryAction.RETRY
