from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSensorTimeout, TaskDeferred

from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.hooks.sources import FileSource
from airflow_mlops.sensors.partition import NewPartitionSensor
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.triggers.partition import PartitionTrigger
from contexts import Run

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

JANUARY = "2013-01"


class Reschedules:
    """What a task instance knows of its earlier looks."""

    def get_first_reschedule_date(self, context: Any) -> None:
        return None


def sensor(folder: Path, **arguments: Any) -> NewPartitionSensor:
    options = {
        "task_id": "wait",
        "source": FileSource(f"{folder}/{{partition}}/*.csv"),
        "grain": "month",
        "settle": timedelta(seconds=0.05),
        "poke_interval": 0.05,
    }
    return NewPartitionSensor(**{**options, **arguments})


def write(folder: Path, content: str = "a\n1\n", partition: str = JANUARY) -> None:
    (folder / partition).mkdir(exist_ok=True)
    (folder / partition / "a.csv").write_text(content)


def poked(task: NewPartitionSensor) -> bool:
    """Wait in the worker, at most for the sensor's timeout."""
    try:
        Run(partition=JANUARY).execute_task(task)
    except AirflowSensorTimeout:
        return False
    return True


def rescheduled(task: NewPartitionSensor) -> bool:
    """Look in one worker after the other."""
    run = Run(partition=JANUARY)
    deadline = time.monotonic() + task.timeout
    while time.monotonic() < deadline:
        context = run.context(task)
        context["ti"].get_first_reschedule_date = Reschedules().get_first_reschedule_date
        try:
            task.execute(context)
        except AirflowRescheduleException:
            continue
        return True
    return False


def deferred(task: NewPartitionSensor) -> bool:
    """Wait in the triggerer, and go on in a worker."""
    run = Run(partition=JANUARY)
    with pytest.raises(TaskDeferred) as raised:
        run.execute_task(task)
    path, arguments = raised.value.trigger.serialize()
    assert path == f"{PartitionTrigger.__module__}.{PartitionTrigger.__name__}"
    event = asyncio.run(first_event(PartitionTrigger(**arguments)))
    try:
        getattr(task, raised.value.method_name)(run.context(task), event=event)
    except AirflowSensorTimeout:
        return False
    return True


async def first_event(trigger: PartitionTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


Mode = tuple[Callable[[NewPartitionSensor], bool], dict[str, Any]]
MODES: dict[str, Mode] = {
    "poke": (poked, {}),
    "reschedule": (rescheduled, {"mode": "reschedule"}),
    "deferrable": (deferred, {"deferrable": True}),
}
each_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@each_mode
def test_data_that_is_there_is_seen(tmp_path: Path, mode: Mode) -> None:
    wait, options = mode
    write(tmp_path)
    assert wait(sensor(tmp_path, timeout=20, **options))


@each_mode
def test_data_of_another_partition_is_not_it(tmp_path: Path, mode: Mode) -> None:
    wait, options = mode
    write(tmp_path, partition="2013-02")
    assert not wait(sensor(tmp_path, timeout=0.2, **options))


@each_mode
def test_data_that_comes_later_is_seen(tmp_path: Path, mode: Mode) -> None:
    wait, options = mode
    timer = threading.Timer(0.3, write, [tmp_path])
    timer.start()
    assert wait(sensor(tmp_path, timeout=20, **options))
    timer.join()


@each_mode
def test_data_that_grows_is_waited_for(tmp_path: Path, mode: Mode) -> None:
    wait, options = mode
    looks: list[int] = []

    class Growing(FileSource):
        def stamp(self, partition: Any) -> str | None:
            looks.append(len(looks))
            if len(looks) <= 6:
                write(tmp_path, "a\n" + "1\n" * len(looks))
            return super().stamp(partition)

    growing = Growing(f"{tmp_path}/{{partition}}/*.csv")
    if options.get("deferrable"):
        trigger = PartitionTrigger({}, JANUARY, "month", 0.01, 0.01, time.time() + 20)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_mlops.triggers.partition.unpack", lambda packed: growing)
            assert asyncio.run(first_event(trigger)) == {"arrived": True}
    else:
        assert wait(sensor(tmp_path, timeout=20, source=growing, **options))
    assert len(looks) >= 7


@each_mode
def test_a_place_that_cannot_be_reached_is_waited_for(mode: Mode) -> None:
    wait, options = mode
    assert not wait(sensor(Path(), source=PythonSource("a:b", arrived=unreachable), timeout=0.2, **options))


def unreachable(partition: Any) -> str:
    raise SourceMissing("the database is down")


@each_mode
def test_a_source_that_can_never_be_read_fails_at_once(mode: Mode) -> None:
    wait, options = mode
    with pytest.raises(SourceUnreadable, match=r"a:b\(2013-01\) cannot tell whether its data has arrived"):
        wait(sensor(Path(), source=PythonSource("a:b"), timeout=20, **options))


def waits(deferrable: bool, task: NewPartitionSensor) -> None:
    run = Run(partition=JANUARY)
    if deferrable:
        task.resume(run.context(task), {"arrived": False})
    else:
        run.execute_task(task)


@pytest.mark.parametrize("deferrable", [False, True])
def test_who_waits_in_vain_is_told_what_for(tmp_path: Path, deferrable: bool) -> None:
    task = sensor(tmp_path, timeout=0.1)
    with pytest.raises(
        AirflowSensorTimeout,
        match=rf"{tmp_path}/2013-01/\*.csv was not there, or still changed.*source.wait\); the load",
    ):
        waits(deferrable, task)


def test_data_that_came_before_the_task_could_go_on_ends_the_wait(tmp_path: Path) -> None:
    write(tmp_path)
    task = sensor(tmp_path)
    assert task.resume(Run(partition=JANUARY).context(task), {"arrived": False}) is None


def test_a_partition_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, partition="2013-02")
    assert sensor(tmp_path, partition="2013-02").poke(Run().context())


def test_waiting_does_not_hold_up_other_triggers(tmp_path: Path) -> None:
    async def story() -> int:
        trigger = PartitionTrigger(
            {"kind": f"{__name__}:Slow", "values": {}}, JANUARY, "month", 0, 0.01, time.time() + 0.3
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_mlops.triggers.partition.unpack", lambda packed: Slow())
            waiting, turns = asyncio.create_task(first_event(trigger)), 0
            while not waiting.done():
                await asyncio.sleep(0.01)
                turns += 1
        return turns

    assert asyncio.run(story()) > 10


class Slow:
    def stamp(self, partition: Any) -> None:
        time.sleep(0.4)
