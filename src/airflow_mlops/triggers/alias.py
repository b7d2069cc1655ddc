"""Send an event to an asset for each version that gets an alias, and wait for one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

_MLFLOW = ThreadPoolExecutor(1, "mlflow")
"""MLflow takes credentials from the environment of the process, so two connections must not be used at once; and a
server that does not answer must not hold up the threads that other triggers need."""
_NONE = "none"


class ModelAliasTrigger(BaseEventTrigger):
    """Fire each time that the alias of a registered model has moved to another version.

    As the trigger of an ``AssetWatcher`` it fires once for each move, for ever. The version of the last event is kept
    in the state of that asset, and written after Airflow has saved the event, so a killed triggerer loses no event; if
    it is killed in the second between the two, the event is sent again. An alias that moves away and back between two
    looks causes no event.

    The payload of an event has ``model``, ``alias``, ``version``, and ``former``: the version of the event before, None
    if there was none. An alias that is removed causes no event.

    :class:`~airflow_mlops.sensors.alias.ModelAliasSensor` waits with it too; it then has a ``deadline``, and ends.

    :param model: registered model's name.
    :param alias: the alias.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    :param interval: seconds between two looks.
    :param existing: fire also for the version that has the alias at the first look.
    :param version: wait for this version only; None means any.
    :param former: wait for another version than this; None means any.
    :param deadline: seconds since the epoch at which to give up; None means never, and an event for each move.
    """

    def __init__(
        self,
        model: str,
        alias: str = registry.CHAMPION,
        mlflow_conn_id: str | None = None,
        interval: float = 30.0,
        existing: bool = False,
        version: str | None = None,
        former: str | None = None,
        deadline: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.alias = alias
        self.mlflow_conn_id = mlflow_conn_id
        self.interval = interval
        self.existing = existing
        self.version = version
        self.former = former
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("model", "alias", "mlflow_conn_id", "interval", "existing", "version", "former", "deadline")
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    def shared_stream_key(self) -> Hashable | None:
        """Return a unique key for a watcher, since only streams learn when their events have been saved."""
        if self.deadline is not None:
            return None
        return (type(self).__qualname__, *(str(value) for value in self.serialize()[1].values()))

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the producer that looks for new versions and records which events were saved."""
        return _Watch(cls(**kwargs))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Answer the producer's question for the asset's state, and then yield every event."""
        async for raw in shared_stream:
            if isinstance(raw, asyncio.Future):
                raw.set_result(self.asset_state_store)
            else:
                yield TriggerEvent(raw)  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until the alias points to a version that matches, or the deadline has passed."""
        watch = _Watch(self)
        while True:
            version = await self._look_in_time(watch)
            if version is not None and self.matches(version):
                yield TriggerEvent({"version": version})  # type: ignore[no-untyped-call]
                return
            if self.deadline is not None and time.time() >= self.deadline:
                yield TriggerEvent({"version": None})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.interval)

    async def _look_in_time(self, watch: _Watch) -> str | None:
        """Look once; return None also if that takes longer than until the deadline."""
        left = None if self.deadline is None else self.deadline - time.time()
        try:
            # While MLflow is silent, many triggers may wait for their turn. One that begins after its deadline, as
            # after a restart of the triggerer, still has time for one look.
            return await asyncio.wait_for(watch.look(), None if left is None else max(left, self.interval))
        except TimeoutError:
            return None

    def matches(self, version: str) -> bool:
        """Tell whether the trigger waits for this version."""
        return self.version in (None, version) and self.former != version

    def look(self) -> str | None:
        """Return the version that has the alias; None if none has.

        :raises RegistryUnavailable: if MLflow does not answer.
        """
        return registry.alias_version(MlflowHook(self.mlflow_conn_id).get_conn(), self.model, self.alias)


@dataclass(eq=False)
class _Watch(SharedStreamProducer):
    """Look at an alias again and again, and remember the version of the last event.

    :param trigger: the trigger whose alias it is.
    :param announced: the version of the last event that was saved; None if there was none.
    :param sent: the version whose event is not saved yet; None if there is none.
    """

    trigger: ModelAliasTrigger
    announced: str | None = None
    sent: str | None = None
    store: AssetStateStoreAccessors | None = None
    complaint: str = ""

    @property
    def key(self) -> str:
        """The key of the announced version in the asset's state."""
        return f"airflow_mlops.alias.{self.trigger.model}.{self.trigger.alias}"

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Yield a future that is to be answered with the asset's state, and then events."""
        question: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        yield question, None
        self.store = await question
        if self.store is None:
            raise RuntimeError(
                "ModelAliasTrigger has no asset to tell; use it as the trigger of an AssetWatcher, or "
                "ModelAliasSensor to wait."
            )
        await self._remember(self.store)
        while True:
            version = await self.look()
            # One event at a time, so that each names the version before it.
            if version is not None and self.sent is None and version != self.announced:
                self.sent = version
                payload = {"model": self.trigger.model, "alias": self.trigger.alias, "version": version}
                yield payload | {"former": self.announced}, version
            await asyncio.sleep(self.trigger.interval)

    async def look(self) -> str | None:
        """Look once; None also if MLflow does not answer."""
        try:
            # In a thread: blocking the loop would hold up every other trigger.
            loop = asyncio.get_running_loop()
            version = await loop.run_in_executor(_MLFLOW, copy_context().run, self.trigger.look)
        # Any fault of the server or the connection may be mended, and a trigger that ends would not look again.
        except Exception as error:  # noqa: BLE001
            if str(error) != self.complaint:
                self.trigger.log.warning("Cannot look for %s, and try again: %s", self.trigger.model, error)
            self.complaint = str(error)
            return None
        self.complaint = ""
        return version

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Record which events were saved; the others are sent again."""
        for event in batch:
            if event.broker_payload is None:
                continue
            self.sent = None
            if event.outcome.is_clean:
                self.announced = event.broker_payload
                await self._save()

    async def _remember(self, store: AssetStateStoreAccessors) -> None:
        try:
            kept = await store.aget(self.key)
        except ValueError as error:
            raise RuntimeError(
                "Several assets have this same ModelAliasTrigger, and each would miss what another was told; give one of "
                "them another interval."
            ) from error
        if isinstance(kept, str):
            self.announced = None if kept == _NONE else kept
            return
        if not self.trigger.existing:
            self.announced = await self._first()
        await self._save()

    async def _first(self) -> str | None:
        # Until MLflow has answered once, it is unknown which version is new.
        while (version := await self.look()) is None and self.complaint:
            await asyncio.sleep(self.trigger.interval)
        return version

    async def _save(self) -> None:
        assert self.store is not None
        await self.store.aset(self.key, self.announced or _NONE)
