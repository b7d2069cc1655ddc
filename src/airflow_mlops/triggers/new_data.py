"""Send an event to an asset for each new file, or for each new version of a Delta table."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome, SharedStreamProducer

from airflow_mlops.exceptions import TableMissing
from airflow_mlops.hooks.sources import FileSource
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

_MOST = 100
"""Events that may be sent and not saved yet, at a time."""
_VERSIONS = 1_000
"""Versions of a table, counted from the latest, that are looked at and remembered."""


class NewDataTrigger(BaseEventTrigger):
    """Fire once for each new or changed file, or for each new version of a Delta table; nothing is moved or deleted.

    It belongs to an ``AssetWatcher``. The ids of its events are kept in the state of that asset, and written after
    Airflow has saved the event: if the triggerer is killed, no event is lost. If it is killed in the second between the
    two, the event is sent again, with the same ``id``.

    The payload of an event has an ``id``; for a file also its ``path``, its ``size`` and the key of its ``partition``,
    None if the path names none; for a table its ``uri`` and ``version``.

    :param path: path or URL of files, as of :class:`~airflow_mlops.hooks.sources.FileSource`; the format does not
        matter.
    :param table: instead of ``path``, URI of a Delta table.
    :param conn_id: connection to the file system of ``path``; None means the environment's credentials.
    :param grain: length of the partitions that ``path`` names: hour, day, week or month; None takes the text in place
        of ``{partition}`` as it is.
    :param settle: seconds for which a file must not change.
    :param interval: seconds between two looks.
    :param existing: fire also for files and versions that were there before the first look.
    """

    def __init__(
        self,
        path: str | None = None,
        table: str | None = None,
        conn_id: str | None = None,
        grain: str | None = None,
        settle: float = 10.0,
        interval: float = 10.0,
        existing: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if (path is None) == (table is None):
            raise ValueError("NewDataTrigger takes exactly one of path, table.")
        self.path = path
        self.table = table
        self.conn_id = conn_id
        self.grain = grain
        self.settle = settle
        self.interval = interval
        self.existing = existing

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("path", "table", "conn_id", "grain", "settle", "interval", "existing")
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    def shared_stream_key(self) -> Hashable:
        """Return a unique key, since only streams learn when their events have been saved."""
        return (type(self).__qualname__, json.dumps(self.serialize()[1], sort_keys=True))

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the producer that looks for new data and records which events were saved."""
        return _Watch(cls(**kwargs))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Answer the producer's question for the asset's state, and then yield every event."""
        async for raw in shared_stream:
            if isinstance(raw, asyncio.Future):
                raw.set_result(self.asset_state_store)
            else:
                yield TriggerEvent(raw)  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the same events without a stream; each counts as saved once the next one is requested."""
        watch = _Watch(self)
        async for raw, seen in watch.open_stream():
            if isinstance(raw, asyncio.Future):
                raw.set_result(self.asset_state_store)
                continue
            yield TriggerEvent(raw)  # type: ignore[no-untyped-call]
            await watch.advance([AdvanceItem(seen, AdvanceOutcome(acked=1, failed=0))])

    def look(self) -> dict[str, dict[str, Any]]:
        """Return the payload of the event of each file or version that is there, by its id.

        :raises SourceUnreadable: if the files can never be listed.
        """
        payloads = self._files() if self.path is not None else self._versions(str(self.table))
        return {payload["id"]: payload for payload in payloads}

    def _files(self) -> list[dict[str, Any]]:
        source = FileSource(str(self.path), conn_id=self.conn_id)
        payloads = []
        for file in source.files(None):
            try:
                payload = {
                    "path": file.name,
                    "size": file.fs.size(file.path),
                    "partition": source.key_of(file, self.grain),
                }
                payloads.append({"id": _digest(f"{file.name} {file.stamp()}"), **payload})
            except FileNotFoundError:
                # Moved away since it was listed.
                continue
        return payloads

    def _versions(self, uri: str) -> list[dict[str, Any]]:
        try:
            latest = tables.open_table(uri).version()
        except TableMissing:
            return []
        return [
            {"id": _digest(f"{uri} {version}"), "uri": uri, "version": version}
            for version in range(max(0, latest - _VERSIONS), latest + 1)
        ]


@dataclass(eq=False)
class _Watch(SharedStreamProducer):
    """Look for data again and again, and remember the ids of the events that were saved.

    :param trigger: the trigger whose files or table it watches.
    :param announced: ids that need no further event; None before the asset's state was read.
    """

    trigger: NewDataTrigger
    announced: set[str] | None = None
    sent: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)
    since: dict[str, float] = field(default_factory=dict)
    store: AssetStateStoreAccessors | None = None
    complaint: str = ""

    @property
    def key(self) -> str:
        """The key of the announced ids in the asset's state."""
        # Without the interval: changing it must not make the ids forgotten.
        watched = self.trigger.path or self.trigger.table
        return f"airflow_mlops.told.{_digest(f'{self.trigger.conn_id} {watched}')}"

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Yield a future that is to be answered with the asset's state, and then events."""
        question: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        yield question, None
        self.store = await question
        if self.store is None:
            raise RuntimeError(
                "NewDataTrigger has no asset to tell; use it as the trigger of an AssetWatcher."
            )
        while True:
            for payload in await self._news():
                while len(self.sent) >= _MOST:
                    await asyncio.sleep(0.1)
                self.sent.add(payload["id"])
                yield payload, payload["id"]
            await asyncio.sleep(self.trigger.interval)

    async def _news(self) -> list[dict[str, Any]]:
        try:
            # In a thread: blocking the loop would hold up every other trigger.
            payloads = await asyncio.to_thread(self.trigger.look)
        # Each file system has errors of its own, and a trigger that ends would never look again.
        except Exception as error:  # noqa: BLE001
            if str(error) != self.complaint:
                self.trigger.log.warning("Cannot look for new data, and try again: %s", error)
            self.complaint = str(error)
            return []
        self.complaint = ""
        self.present = set(payloads)
        if self.announced is None:
            await self._remember(set(payloads))
        now = time.monotonic()
        self.since = {event_id: self.since.get(event_id, now) for event_id in payloads}
        settle = self.trigger.settle if self.trigger.path is not None else 0.0
        ready = [event_id for event_id in payloads if now - self.since[event_id] >= settle]
        return [
            payloads[event_id]
            for event_id in ready
            if event_id not in (self.announced or ()) and event_id not in self.sent
        ]

    async def _remember(self, present: set[str]) -> None:
        assert self.store is not None
        try:
            kept = await self.store.aget(self.key)
        except ValueError as error:
            raise RuntimeError(
                "Several assets have this same NewDataTrigger, and each would miss what another was told; give one of "
                "them another interval."
            ) from error
        if isinstance(kept, str):
            self.announced = set(kept.split())
        else:
            self.announced = set() if self.trigger.existing else present
            await self._save()

    async def _save(self) -> None:
        assert self.store is not None
        assert self.announced is not None
        # Ids of files that are gone are forgotten, so that the state does not grow with time. A folder without any
        # files may be away for a moment only.
        if self.present:
            self.announced &= self.present
        await self.store.aset(self.key, " ".join(sorted(self.announced)))

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Record which events were saved; the others are sent again."""
        saved = {event.broker_payload for event in batch if event.outcome.is_clean and event.broker_payload}
        self.sent -= {event.broker_payload for event in batch}
        if saved:
            self.announced = (self.announced or set()) | saved
            await self._save()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
