"""Wait for the data of a partition without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.hooks.sources import unpack
from airflow_mlops.stores.sources.source import arrived


class PartitionTrigger(BaseTrigger):
    """Fire once the data of a partition is there and has stopped growing, or when the deadline has passed.

    :param source: the source, as :func:`~airflow_mlops.hooks.sources.pack` returns it.
    :param partition: key of the partition.
    :param grain: length of the partition.
    :param settle: seconds for which the data must not change.
    :param interval: seconds between two looks.
    :param deadline: seconds since the epoch.
    """

    def __init__(
        self,
        source: dict[str, Any],
        partition: str,
        grain: str,
        settle: float,
        interval: float,
        deadline: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.source = source
        self.partition = partition
        self.grain = grain
        self.settle = settle
        self.interval = interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("source", "partition", "grain", "settle", "interval", "deadline")
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the data is there, or the deadline has passed."""
        try:
            event: dict[str, Any] = {"arrived": await self._arrives()}
        except SourceUnreadable as error:
            event = {"arrived": False, "error": str(error)}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _arrives(self) -> bool:
        source, partition = unpack(self.source), Partition.parse(self.partition, self.grain)
        while True:
            # In a thread: blocking the loop would hold up every other trigger.
            before = await asyncio.to_thread(arrived, source, partition)
            if before is not None:
                await asyncio.sleep(self.settle)
                if await asyncio.to_thread(arrived, source, partition) == before:
                    return True
            if time.time() >= self.deadline:
                return False
            await asyncio.sleep(self.interval)
