from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import HealthReport
from airflow_mlops.exceptions import TableMissing, UnknownPartition
from airflow_mlops.sensors.drift import DriftSensor
from airflow_mlops.stages.monitor import checks
from airflow_mlops.triggers.check import CheckTrigger
from contexts import Run, deploy
from history import MODEL, History


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch)


def judged(history: History, drift: Verdict, key: str = "2013-01") -> None:
    def check(name: str, verdict: Verdict) -> Check:
        return Check(name=name, verdict=verdict, expected="e", reason="r")

    report = HealthReport(
        model=MODEL, partition=key, champion=None, verdict=Verdict.FAIL, drift=check("drift", drift),
        performance=check("performance", Verdict.FAIL), staleness=check("staleness", Verdict.PASS), reason="r",
    )  # fmt: skip
    checks.record(history.uri("checks"), report)


def poked(key: str | None = "2013-01", **arguments: Any) -> Any:
    """Return what a sensor that waits in its worker does in the end."""
    sensor = DriftSensor(task_id="wait", model=MODEL, poke_interval=0.02, timeout=0.05, **arguments)
    run = Run(partition=key)
    run.ti.get_first_reschedule_date = lambda context: None  # type: ignore[attr-defined]
    return sensor.execute(run.context(sensor))


def rescheduled(key: str | None = "2013-01", **arguments: Any) -> Any:
    """Return the same of one that looks once a try."""
    return poked(key, mode="reschedule", **arguments)


def deferred(key: str | None = "2013-01", **arguments: Any) -> Any:
    """Return the same of one that waits in the triggerer."""
    try:
        return poked(key, deferrable=True, **arguments)
    except TaskDeferred as left:
        trigger: Any = left.trigger
        path, kwargs = trigger.serialize()
        module, _, name = path.rpartition(".")
        again = getattr(importlib.import_module(module), name)(**kwargs)
        sensor = DriftSensor(task_id="wait", model=MODEL, timeout=0.05, **arguments)
        return getattr(sensor, str(left.method_name))(
            Run(partition=key).context(sensor), event=asyncio.run(first_event(again))
        )


async def first_event(trigger: CheckTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


each_way = pytest.mark.parametrize("wait", [poked, rescheduled, deferred])


@each_way
@pytest.mark.parametrize("arguments", [{}, {"verdicts": ["FAIL", "PASS"]}, {"verdicts": []}])
def test_drift_lets_the_tasks_after_it_run(history: History, wait: Any, arguments: Any) -> None:
    judged(history, Verdict.FAIL)
    assert wait(**arguments) == "FAIL"


@each_way
@pytest.mark.parametrize("found", [Verdict.PASS, Verdict.INCONCLUSIVE])
def test_any_other_verdict_skips_them(history: History, wait: Any, found: Verdict) -> None:
    judged(history, found)
    with pytest.raises(AirflowSkipException, match=rf"drift of flights 2013-01 is [✓?] {found}, not FAIL"):
        wait()


def test_another_check_may_be_waited_for(history: History) -> None:
    judged(history, Verdict.PASS)
    assert poked(check="performance") == "FAIL"
    assert poked(check="staleness", verdicts=["PASS"]) == "PASS"


@pytest.mark.parametrize("wait", [poked, deferred])
def test_without_a_verdict_it_fails_in_the_end_and_says_what_is_missing(history: History, wait: Any) -> None:
    judged(history, Verdict.FAIL, "2013-02")
    with pytest.raises(
        AirflowSensorTimeout,
        match=r"drift of flights 2013-01 was not judged.*\(timeout\); the load of this machine is .*flights\.monitor",
    ):
        wait()


def test_a_verdict_that_came_before_the_task_could_go_on_ends_the_wait(history: History) -> None:
    judged(history, Verdict.FAIL)
    sensor = DriftSensor(task_id="wait", model=MODEL)
    assert sensor.resume(Run(partition="2013-01").context(sensor), {"verdict": None}) == "FAIL"


def test_a_verdict_that_comes_later_wakes_the_trigger(history: History) -> None:
    uri = history.uri("checks")
    trigger = CheckTrigger(uri, "2013-01", "drift", deadline=2**40, interval=0.02)

    async def story() -> Any:
        waiting = asyncio.create_task(first_event(trigger))
        await asyncio.to_thread(judged, history, Verdict.FAIL, "2013-02")
        assert not waiting.done()
        await asyncio.to_thread(judged, history, Verdict.PASS)
        return await waiting

    assert asyncio.run(story()) == {"verdict": "PASS"}


def test_a_run_without_a_partition_waits_for_the_latest(history: History) -> None:
    with pytest.raises(TableMissing, match=r"run flights\.ingest first"):
        poked(None)
    for key in ("2013-02", "2013-01"):
        history.publish(key)
    judged(history, Verdict.PASS, "2013-01")
    judged(history, Verdict.FAIL, "2013-02")
    assert poked(None) == "FAIL"
    assert poked(None, partition="2013-01", verdicts=["PASS"]) == "PASS"


def test_a_key_of_another_form_is_refused_and_not_waited_for(history: History) -> None:
    history.publish("2013-01")
    with pytest.raises(UnknownPartition, match="2013-01-01"):
        poked("2013-01-01")


def test_a_word_that_is_no_verdict_is_refused(history: History) -> None:
    judged(history, Verdict.FAIL)
    with pytest.raises(ValueError, match="DRIFTED"):
        poked(verdicts=["DRIFTED"])
