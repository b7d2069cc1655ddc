"""Tell an asset of each version that becomes champion, and wait for one."""

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
"""MLflow takes credentials from the environment of the process, so two connections must not be used at once; and while a
server does not answer, the threads that other triggers need are not held up."""
_NONE = "none"


class ModelAliasTrigger(BaseEventTrigger):
    """Fire each time that the alias of a registered model has moved to another version.

    As the trigger of an ``AssetWatcher`` it fires once a move, for ever. What was told is kept in the state of that
    asset and noted after Airflow has saved the event, so a killed triggerer loses nothing; if it is killed in the second
    between the two, the event comes again. An alias that moves there and back between two looks is not seen.

    The payload of an event has ``model``, ``alias``, ``version``, and the version ``former`` that was told before, None
    if there was none. An alias that is gone is no event.

    :class:`~airflow_mlops.sensors.alias.ModelAliasSensor` waits with it too, and then it has a ``deadline`` and ends.

    :param model: registered model's name.
    :param alias: the alias.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    :param interval: seconds between two looks.
    :param existing: tell also of the version that has the alias at the first look.
    :param version: wait for this version only; None means any.
    :param former: wait for another version than this; None means any.
    :param deadline: seconds since the epoch at which to give up; None means never, and an event a move.
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
        """Return a key of its own for a watcher: only streams learn when their events have been saved."""
        if self.deadline is not None:
            return None
        return (type(self).__qualname__, *(str(value) for value in self.serialize()[1].values()))

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
        """Wait until the alias is where it is waited for, or the deadline has passed."""
        watch = _Watch(self)
        while True:
            found = await self._look_in_time(watch)
            if found is not None and self.wanted(found):
                yield TriggerEvent({"version": found})  # type: ignore[no-untyped-call]
                return
            if self.deadline is not None and time.time() >= self.deadline:
                yield TriggerEvent({"version": None})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.interval)

    async def _look_in_time(self, watch: _Watch) -> str | None:
        """Look, and give up if that takes beyond the deadline; None also then."""
        left = None if self.deadline is None else self.deadline - time.time()
        try:
            # Many may have to wait for their turn while MLflow is silent. Who comes late, as after a restart of the
            # triggerer, has time for one look all the same.
            return await asyncio.wait_for(watch.look(), None if left is None else max(left, self.interval))
        except TimeoutError:
            return None

    def wanted(self, found: str) -> bool:
        """Tell whether a version is one that is waited for."""
        return self.version in (None, found) and self.former != found

    def look(self) -> str | None:
        """Return the version that has the alias; None if none has.

        :raises RegistryUnavailable: if MLflow does not answer.
        """
        return registry.alias_version(MlflowHook(self.mlflow_conn_id).get_conn(), self.model, self.alias)


@dataclass(eq=False)
class _Watch(SharedStreamProducer):
    """Look again and again, and remember what was told.

    :param trigger: what looks.
    :param told: the version that was told last and saved; None if none was.
    :param sent: the version whose event is on its way; None if none is.
    """

    trigger: ModelAliasTrigger
    told: str | None = None
    sent: str | None = None
    store: AssetStateStoreAccessors | None = None
    complaint: str = ""

    @property
    def key(self) -> str:
        """Where the asset's state has what was told."""
        return f"airflow_mlops.alias.{self.trigger.model}.{self.trigger.alias}"

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Yield events, after a question for the asset's state."""
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
            found = await self.look()
            # One after the other, so that each says what came before it.
            if found is not None and self.sent is None and found != self.told:
                self.sent = found
                payload = {"model": self.trigger.model, "alias": self.trigger.alias, "version": found}
                yield payload | {"former": self.told}, found
            await asyncio.sleep(self.trigger.interval)

    async def look(self) -> str | None:
        """Look once; None also if MLflow does not answer."""
        try:
            # Looked in a thread: blocking the loop would hold up every other trigger.
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(_MLFLOW, copy_context().run, self.trigger.look)
        # Whatever is wrong with the server or the connection may be mended, and a trigger that ends would not look again.
        except Exception as error:  # noqa: BLE001
            if str(error) != self.complaint:
                self.trigger.log.warning("Cannot look for %s, and try again: %s", self.trigger.model, error)
            self.complaint = str(error)
            return None
        self.complaint = ""
        return found

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Note which events were saved; the others are sent again."""
        for item in batch:
            if item.broker_payload is None:
                continue
            self.sent = None
            if item.outcome.is_clean:
                self.told = item.broker_payload
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
            self.told = None if kept == _NONE else kept
            return
        if not self.trigger.existing:
            self.told = await self._first()
        await self._save()

    async def _first(self) -> str | None:
        # Until MLflow has answered once, nobody knows what is new.
        while (found := await self.look()) is None and self.complaint:
            await asyncio.sleep(self.trigger.interval)
        return found

    async def _save(self) -> None:
        assert self.store is not None
        await self.store.aset(self.key, self.told or _NONE)
