"""Wait for the verdict of a check without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops.stages.monitor import checks


class CheckTrigger(BaseTrigger):
    """Fire once a check of a partition is recorded, or when the deadline has passed.

    The payload of its event is ``{"verdict": …}``: PASS, FAIL or INCONCLUSIVE, None at the deadline.

    :param uri: URI of the table of checks.
    :param partition: key of the partition.
    :param check: name of the check, such as ``drift``.
    :param deadline: seconds since the epoch.
    :param interval: seconds between two looks.
    """

    def __init__(self, uri: str, partition: str, check: str, deadline: float, interval: float = 30.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.uri = uri
        self.partition = partition
        self.check = check
        self.deadline = deadline
        self.interval = interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("uri", "partition", "check", "deadline", "interval")
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the check is recorded, or the deadline has passed."""
        while True:
            # The table is read in a thread: blocking the loop would hold up every other trigger.
            verdict = await asyncio.to_thread(checks.verdict, self.uri, self.partition, self.check)
            if verdict is not None or time.time() >= self.deadline:
                yield TriggerEvent({"verdict": verdict and verdict.value})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.interval)
