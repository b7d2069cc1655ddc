from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import (
    AirflowNotFoundException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.sensors.alias import ModelAliasSensor
from airflow_mlops.stores.registry import registry
from airflow_mlops.triggers.alias import ModelAliasTrigger
from contexts import Run, deploy
from history import MODEL, History

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

WANTED: list[tuple[dict[str, Any], str | None, bool]] = [
    ({}, None, False),
    ({}, "1", True),
    ({"version": "2"}, "1", False),
    ({"version": 1}, "1", True),
    ({"former": "1"}, "1", False),
    ({"former": 1}, "1", False),
    ({"former": "1"}, "2", True),
    ({"former": "1"}, None, False),
    ({"former": ""}, "1", True),
    ({"alias": "challenger"}, "1", False),
    ({"model": "nobody"}, "1", False),
]


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.client.create_registered_model(MODEL)
        for _ in range(2):
            history.client.create_model_version(MODEL, "file:///nowhere")
        yield history


def make_sensor(**arguments: Any) -> ModelAliasSensor:
    return ModelAliasSensor(
        **{"task_id": "wait", "model": MODEL, "poke_interval": 0.02, "timeout": 0.05, **arguments}
    )


def execute(sensor: BaseSensorOperator, since: datetime | None = None) -> Any:
    """Execute a sensor.

    :param since: when its worker looked first.
    """
    run = Run()
    run.ti.get_first_reschedule_date = lambda context: since  # type: ignore[attr-defined]
    return sensor.execute(run.context(sensor))


def poked(**arguments: Any) -> Any:
    """Return what a sensor that waits in its worker does in the end."""
    return execute(make_sensor(**arguments))


def deferred(**arguments: Any) -> Any:
    """Return the same of one that waits in the triggerer."""
    sensor = make_sensor(deferrable=True, **arguments)
    try:
        return execute(sensor)
    except TaskDeferred as left:
        trigger: Any = left.trigger

        async def first() -> Any:
            return (await anext(trigger.run())).payload

        return sensor.resume_execution(
            left.method_name, {"event": asyncio.run(first())}, Run().context(sensor)
        )


def rescheduled(**arguments: Any) -> Any:
    """Return the same of one that gives its worker back between two looks."""
    since = datetime.now(UTC)
    while True:
        try:
            return execute(make_sensor(mode="reschedule", **arguments), since)
        except AirflowRescheduleException:
            continue


@pytest.mark.parametrize("wait", [poked, deferred, rescheduled])
def test_all_ways_of_waiting_agree_on_what_is_waited_for(history: History, wait: Callable[..., Any]) -> None:
    for arguments, found, there in WANTED:
        registry.set_champion(history.client, MODEL, found or "1")
        if found is None:
            history.client.delete_registered_model_alias(MODEL, "champion")
        if there:
            assert wait(**arguments) == found, arguments
        else:
            with pytest.raises(
                AirflowSensorTimeout,
                match=r"was not at .* h \(timeout\); the load of this machine is .* Train",
            ):
                pytest.fail(f"{arguments} found {wait(**arguments)}")


@pytest.mark.parametrize("wait", [poked, deferred, rescheduled])
def test_a_promotion_ends_the_wait(history: History, wait: Callable[..., Any]) -> None:
    registry.set_champion(history.client, MODEL, "1")
    promotion = Timer(0.1, registry.set_champion, (history.client, MODEL, "2"))
    promotion.start()
    try:
        assert wait(former="1", timeout=20) == "2"
    finally:
        promotion.join()


@pytest.mark.parametrize("wait", [poked, deferred, rescheduled])
def test_a_server_that_is_away_for_a_while_is_asked_again(
    history: History, monkeypatch: pytest.MonkeyPatch, wait: Callable[..., Any]
) -> None:
    registry.set_champion(history.client, MODEL, "1")
    honest, failures = ModelAliasTrigger.look, iter([RegistryUnavailable("MLflow is away")] * 2)

    def flaky(trigger: ModelAliasTrigger) -> str | None:
        if error := next(failures, None):
            raise error
        return honest(trigger)

    monkeypatch.setattr(ModelAliasTrigger, "look", flaky)
    assert wait(timeout=20) == "1"


@pytest.mark.parametrize("wait", [poked, deferred, rescheduled])
def test_a_soft_failure_is_skipped(history: History, wait: Callable[..., Any]) -> None:
    with pytest.raises(AirflowSkipException):
        wait(version="2", soft_fail=True)


@pytest.mark.parametrize("wait", [poked, deferred, rescheduled])
def test_a_connection_that_does_not_exist_fails_at_once(history: History, wait: Callable[..., Any]) -> None:
    with pytest.raises(AirflowNotFoundException):
        wait(mlflow_conn_id="nowhere", timeout=3600)


def test_the_deadline_of_a_wait_in_the_triggerer_is_the_sensors(history: History) -> None:
    before = time.time()
    with pytest.raises(TaskDeferred) as left:
        execute(make_sensor(deferrable=True, timeout=60, version=7))
    trigger = left.value.trigger
    assert isinstance(trigger, ModelAliasTrigger)
    assert before + 60 <= (trigger.deadline or 0) <= time.time() + 60
    assert (trigger.version, trigger.former, trigger.interval) == ("7", None, 0.02)


def test_a_promotion_before_the_task_could_go_on_ends_the_wait(history: History) -> None:
    registry.set_champion(history.client, MODEL, "2")
    assert make_sensor(version=2).resume(Run().context(), {"version": None}) == "2"
    with pytest.raises(AirflowSensorTimeout, match="was not at another version than 2"):
        make_sensor(former=2).resume(Run().context(), {"version": None})


def test_a_time_out_says_what_was_waited_for(history: History) -> None:
    with pytest.raises(AirflowSensorTimeout, match="champion of flights was not at version 7 and another"):
        make_sensor(version=7, former=6).resume(Run().context(), {"version": None})
