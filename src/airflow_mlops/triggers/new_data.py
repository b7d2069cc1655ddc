"""Tell an asset of each new file, and of each new version of a Delta table."""

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
"""Events that are under way at a time."""
_VERSIONS = 1_000
"""Versions of a table that are looked back at, and remembered."""


class NewDataTrigger(BaseEventTrigger):
    """Fire once for each new or changed file, or for each new version of a Delta table; nothing is moved or deleted.

    It belongs to an ``AssetWatcher``. What was told is kept in the state of that asset, and noted after Airflow has
    saved the event: if the triggerer is killed, nothing is lost. If it is killed in the second between the two, the
    event comes again, with the same ``id``.

    The payload of an event has an ``id``; of a file its ``path``, ``size`` and the key of its ``partition``, if the
    path tells; of a table its ``uri`` and ``version``.

    :param path: path or URL of files, as of :class:`~airflow_mlops.hooks.sources.FileSource`; the format does not
        matter.
    :param table: instead of ``path``, URI of a Delta table.
    :param conn_id: connection to the file system of ``path``; None means the environment's credentials.
    :param grain: length of the partitions that ``path`` tells: hour, day, week or month; None takes what stands in place
        of ``{partition}`` as it is.
    :param settle: seconds that a file has to stay as it is.
    :param interval: seconds between two looks.
    :param existing: tell also of what was there before the first look.
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
        """Return a key of its own: only streams learn when their events have been saved."""
        return (type(self).__qualname__, json.dumps(self.serialize()[1], sort_keys=True))

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what looks, and notes what was told."""
        return _Watch(cls(**kwargs))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Hand over the asset's state, and then every event."""
        async for raw in shared_stream:
            if isinstance(raw, asyncio.Future):
                raw.set_result(self.asset_state_store)
            else:
                yield TriggerEvent(raw)  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Do the same without a stream, where each event counts as saved once the next is asked for."""
        watch = _Watch(self)
        async for raw, seen in watch.open_stream():
            if isinstance(raw, asyncio.Future):
                raw.set_result(self.asset_state_store)
                continue
            yield TriggerEvent(raw)  # type: ignore[no-untyped-call]
            await watch.advance([AdvanceItem(seen, AdvanceOutcome(acked=1, failed=0))])

    def look(self) -> dict[str, dict[str, Any]]:
        """Return what is there: the payload of each file's or version's event, by its id.

        :raises SourceUnreadable: if it can never be read.
        """
        found = self._files() if self.path is not None else self._versions(str(self.table))
        return {payload["id"]: payload for payload in found}

    def _files(self) -> list[dict[str, Any]]:
        source = FileSource(str(self.path), conn_id=self.conn_id)
        found = []
        for file in source.files(None):
            try:
                payload = {
                    "path": file.name,
                    "size": file.fs.size(file.path),
                    "partition": source.key_of(file, self.grain),
                }
                found.append({"id": _digest(f"{file.name} {file.stamp()}"), **payload})
            except FileNotFoundError:
                # Moved away since it was listed.
                continue
        return found

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
    """Look again and again, and remember what was told.

    :param trigger: what looks.
    :param told: ids that need no event; None before the asset's state was read.
    """

    trigger: NewDataTrigger
    told: set[str] | None = None
    sent: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)
    since: dict[str, float] = field(default_factory=dict)
    store: AssetStateStoreAccessors | None = None
    complaint: str = ""

    @property
    def key(self) -> str:
        """Where the asset's state has what was told."""
        # Not by how often it looks: a changed interval must not make it forget.
        watched = self.trigger.path or self.trigger.table
        return f"airflow_mlops.told.{_digest(f'{self.trigger.conn_id} {watched}')}"

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Yield events, after a question for the asset's state."""
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
            # Looked in a thread: blocking the loop would hold up every other trigger.
            found = await asyncio.to_thread(self.trigger.look)
        # Each file system has errors of its own, and a trigger that ends would never look again.
        except Exception as error:  # noqa: BLE001
            if str(error) != self.complaint:
                self.trigger.log.warning("Cannot look for new data, and try again: %s", error)
            self.complaint = str(error)
            return []
        self.complaint = ""
        self.present = set(found)
        if self.told is None:
            await self._remember(set(found))
        now = time.monotonic()
        self.since = {each: self.since.get(each, now) for each in found}
        settle = self.trigger.settle if self.trigger.path is not None else 0.0
        ready = [each for each in found if now - self.since[each] >= settle]
        return [found[each] for each in ready if each not in (self.told or ()) and each not in self.sent]

    async def _remember(self, found: set[str]) -> None:
        assert self.store is not None
        try:
            kept = await self.store.aget(self.key)
        except ValueError as error:
            raise RuntimeError(
                "Several assets have this same NewDataTrigger, and each would miss what another was told; give one of "
                "them another interval."
            ) from error
        if isinstance(kept, str):
            self.told = set(kept.split())
        else:
            self.told = set() if self.trigger.existing else found
            await self._save()

    async def _save(self) -> None:
        assert self.store is not None
        assert self.told is not None
        # What is gone is forgotten, so that this grows with the files that are there and not with time. A folder
        # without any may be away for a moment only.
        if self.present:
            self.told &= self.present
        await self.store.aset(self.key, " ".join(sorted(self.told)))

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Note which events were saved; the others are sent again."""
        saved = {item.broker_payload for item in batch if item.outcome.is_clean and item.broker_payload}
        self.sent -= {item.broker_payload for item in batch}
        if saved:
            self.told = (self.told or set()) | saved
            await self._save()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
