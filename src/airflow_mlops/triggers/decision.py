"""Wait for the decision on a partition without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops.stores.registry import ledger


class DecisionTrigger(BaseTrigger):
    """Fire once the ledger holds the decision on a partition, or when the deadline has passed.

    :param uri: URI of the ledger.
    :param partition: key of the partition.
    :param deadline: seconds since the epoch.
    :param interval: seconds between two looks.
    """

    def __init__(self, uri: str, partition: str, deadline: float, interval: float = 2.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.uri = uri
        self.partition = partition
        self.deadline = deadline
        self.interval = interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        arguments = {
            "uri": self.uri,
            "partition": self.partition,
            "deadline": self.deadline,
            "interval": self.interval,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the decision is recorded, or the deadline has passed."""
        while True:
            # The table is read in a thread: blocking the loop would hold up every other trigger.
            if await asyncio.to_thread(ledger.decision, self.uri, self.partition) is not None:
                yield TriggerEvent({"decided": True})  # type: ignore[no-untyped-call]
                return
            if time.time() >= self.deadline:
                yield TriggerEvent({"decided": False})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.interval)
