from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from airflow_mlops.triggers.decision import DecisionTrigger

WRITER = """
import sys
from airflow_mlops.domain.facts.results import PromotionDecision
from airflow_mlops.stores.registry import ledger
sys.stdin.readline()
decision = PromotionDecision(
    model="flights", partition=sys.argv[2], action="kept", before=None, after=None, reason="r", key="k"
)
ledger.record_decision(sys.argv[1], decision, actor="another process")
"""


def make_trigger(folder: Path, seconds: float, partition: str = "2013-01") -> DecisionTrigger:
    return DecisionTrigger(f"file://{folder}/flights/ledger", partition, time.time() + seconds, interval=0.05)


async def first_event(trigger: DecisionTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


def writer(trigger: DecisionTrigger, partition: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, trigger.uri, partition]
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True)


def test_the_decision_of_another_process_fires_and_that_on_another_partition_does_not(tmp_path: Path) -> None:
    trigger = make_trigger(tmp_path, seconds=120)

    async def story() -> Any:
        waiting = asyncio.create_task(first_event(trigger))
        for partition in ("2013-02", "2013-01"):
            process = writer(trigger, partition)
            assert not waiting.done()
            await asyncio.to_thread(process.communicate, "go\n")
            assert process.returncode == 0
        return await waiting

    assert asyncio.run(story()) == {"decided": True}


def test_a_deadline_that_has_passed_fires_too(tmp_path: Path) -> None:
    assert asyncio.run(first_event(make_trigger(tmp_path, seconds=0.2))) == {"decided": False}


def test_looking_does_not_hold_up_other_triggers(tmp_path: Path) -> None:
    async def story() -> int:
        waiting, turns = asyncio.create_task(first_event(make_trigger(tmp_path, seconds=0.5))), 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert asyncio.run(story()) > 10


def test_the_triggerer_makes_the_same_trigger_from_what_is_serialised(tmp_path: Path) -> None:
    trigger = make_trigger(tmp_path, seconds=60)
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    copy = getattr(importlib.import_module(module), name)(**arguments)
    assert type(copy) is DecisionTrigger
    assert copy.serialize() == (path, arguments)
    assert arguments["interval"] == 0.05
