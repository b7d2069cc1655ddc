from __future__ import annotations

import asyncio
import importlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.shared_stream import SharedStreamManager
from structlog.testing import capture_logs

from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.stores.registry import registry
from airflow_mlops.triggers.alias import ModelAliasTrigger
from contexts import deploy
from history import MODEL, History

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.client.create_registered_model(MODEL)
        for _ in range(3):
            history.client.create_model_version(MODEL, "file:///nowhere")
        yield history


class State:
    """The state of one asset, which outlives triggerers."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


class Triggerer:
    """What Airflow's triggerer does with the trigger of a watcher: a stream, and word of what was saved.

    :param saves: whether events reach the metadata database.
    """

    def __init__(self, state: State, *, saves: bool = True, **arguments: Any) -> None:
        self.trigger = ModelAliasTrigger(**{"model": MODEL, "interval": 0.02, **arguments})
        self.trigger.asset_state_store = state  # type: ignore[assignment]
        self.saves = saves
        self.events: list[dict[str, Any]] = []

    async def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> list[dict[str, Any]]:
        """Run until a condition holds, and then be killed."""
        manager = SharedStreamManager(log=self.trigger.log)
        key = self.trigger.shared_stream_key()
        assert key is not None
        stream = manager.subscribe(trigger_id=1, trigger=self.trigger, key=key)

        async def consume() -> None:
            async for event in self.trigger.filter_shared_stream(stream):
                self.events.append(json.loads(json.dumps(event.payload)))
                seq = manager.bind_pending_event(trigger_id=1, key=key)
                if self.saves and seq is not None:
                    asyncio.get_running_loop().call_later(0.02, manager.confirm_persisted, [seq])

        consuming = asyncio.create_task(consume())
        try:
            async with asyncio.timeout(seconds):
                while not condition() and not consuming.done():
                    await asyncio.sleep(0.01)
        finally:
            consuming.cancel()
            await asyncio.gather(consuming, return_exceptions=True)
            await manager.stop_all()
        if not consuming.cancelled() and consuming.exception():
            raise consuming.exception()  # type: ignore[misc]
        return self.events


def look(monkeypatch: pytest.MonkeyPatch, then: Callable[[int], Any] = lambda number: None) -> list[int]:
    """Count the looks; ``then`` is called before each with its number, from 1 on."""
    honest, seen = ModelAliasTrigger.look, []

    def counted(trigger: ModelAliasTrigger) -> str | None:
        seen.append(len(seen) + 1)
        then(len(seen))
        return honest(trigger)

    monkeypatch.setattr(ModelAliasTrigger, "look", counted)
    return seen


def run(triggerer: Triggerer, until: Callable[[], Any]) -> list[dict[str, Any]]:
    return asyncio.run(triggerer.until(until))


def told(state: State) -> str:
    return state.values.get(f"airflow_mlops.alias.{MODEL}.champion", "").strip('"')


def test_each_move_is_told_once_back_and_forth_too(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State()
    triggerer = Triggerer(state)

    def move(number: int) -> None:
        expected = {3: "1", 12: "2", 24: "1"}.get(number)
        if expected:
            registry.set_champion(history.client, MODEL, expected)

    seen = look(monkeypatch, move)
    events = run(triggerer, lambda: len(seen) > 36)
    assert [(event["version"], event["former"]) for event in events] == [
        ("1", None),
        ("2", "1"),
        ("1", "2"),
    ]
    assert {(event["model"], event["alias"]) for event in events} == {(MODEL, "champion")}
    assert told(state) == "1"


def test_what_was_there_before_is_told_only_if_that_is_asked_for(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_champion(history.client, MODEL, "2")
    seen = look(monkeypatch)
    assert run(Triggerer(State()), lambda: len(seen) > 8) == []
    state = State()
    asked = Triggerer(state, existing=True)
    assert [event["version"] for event in run(asked, lambda: told(state) == "2")] == ["2"]


def test_a_move_while_no_triggerer_runs_is_told_by_the_next(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, seen = State(), look(monkeypatch)
    run(Triggerer(state), lambda: len(seen) > 2)
    registry.set_champion(history.client, MODEL, "3")
    # How often it looks may change meanwhile.
    after = Triggerer(state, interval=0.03)
    assert [event["version"] for event in run(after, lambda: told(state) == "3")] == ["3"]
    seen.clear()
    assert run(Triggerer(state), lambda: len(seen) > 5) == []


def test_an_event_that_was_not_saved_comes_again(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    state, seen = State(), look(monkeypatch)
    run(Triggerer(state), lambda: len(seen) > 2)
    registry.set_champion(history.client, MODEL, "1")
    killed = Triggerer(state, saves=False)
    assert len(run(killed, lambda: killed.events)) == 1
    assert run(Triggerer(state), lambda: told(state) == "1") == killed.events


def test_another_alias_is_another_matter(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State()

    def move(number: int) -> None:
        if number == 3:
            registry.set_champion(history.client, MODEL, "1")
            history.client.set_registered_model_alias(MODEL, "challenger", "2")

    seen = look(monkeypatch, move)
    events = run(Triggerer(state, alias="challenger"), lambda: len(seen) > 12)
    assert [event["version"] for event in events] == ["2"]


def test_an_alias_that_is_gone_is_no_event(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.set_champion(history.client, MODEL, "1")

    def remove(number: int) -> None:
        if number == 3:
            history.client.delete_registered_model_alias(MODEL, "champion")

    seen = look(monkeypatch, remove)
    assert run(Triggerer(State()), lambda: len(seen) > 8) == []


def test_a_server_that_is_away_is_said_once_and_asked_again(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_champion(history.client, MODEL, "1")
    state = State()

    def fail(number: int) -> None:
        if number < 6:
            raise RegistryUnavailable("MLflow is away")
        registry.set_champion(history.client, MODEL, "1" if number < 10 else "2")

    look(monkeypatch, fail)
    triggerer = Triggerer(state)
    with capture_logs() as logged:
        events = run(triggerer, lambda: triggerer.events)
    # The champion of before is no news, though MLflow was away at first.
    assert [event["version"] for event in events] == ["2"]
    assert [each["event"] for each in logged if each["log_level"] == "warning"] == [
        f"Cannot look for {MODEL}, and try again: MLflow is away"
    ]


def test_a_watch_without_an_asset_says_what_to_use(history: History) -> None:
    triggerer = Triggerer(State())
    triggerer.trigger.asset_state_store = None
    with pytest.raises(RuntimeError, match="use it as the trigger of an AssetWatcher, or ModelAliasSensor"):
        run(triggerer, lambda: False)


async def first(trigger: ModelAliasTrigger) -> Any:
    return (await anext(trigger.run())).payload


def test_a_wait_ends_with_the_version_or_at_its_deadline(history: History) -> None:
    def waiting(seconds: float, **arguments: Any) -> ModelAliasTrigger:
        return ModelAliasTrigger(MODEL, interval=0.02, deadline=time.time() + seconds, **arguments)

    async def story() -> Any:
        task = asyncio.create_task(first(waiting(60, former="1")))
        for version in ("1", "2"):
            assert not task.done()
            await asyncio.to_thread(registry.set_champion, history.client, MODEL, version)
        return await task

    assert asyncio.run(story()) == {"version": "2"}
    assert asyncio.run(first(waiting(0.1, version="3"))) == {"version": None}
    assert waiting(60).shared_stream_key() is None


def test_looking_does_not_hold_up_other_triggers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelAliasTrigger, "look", lambda trigger: time.sleep(0.3))

    async def story() -> int:
        waiting = asyncio.create_task(
            first(ModelAliasTrigger(MODEL, interval=0.01, deadline=time.time() + 0.2))
        )
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert asyncio.run(story()) > 10


def test_many_waits_end_at_their_deadline_while_one_look_is_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer, looks = threading.Event(), []

    def silent(trigger: ModelAliasTrigger) -> None:
        looks.append(trigger.model)
        answer.wait(20)

    monkeypatch.setattr(ModelAliasTrigger, "look", silent)

    async def story() -> list[Any]:
        deadline = time.time() + 0.2
        waits = (first(ModelAliasTrigger(MODEL, interval=0.01, deadline=deadline)) for _ in range(5))
        try:
            return await asyncio.wait_for(asyncio.gather(*waits), 10)
        finally:
            answer.set()

    assert asyncio.run(story()) == [{"version": None}] * 5
    assert looks == [MODEL]


def test_a_deadline_that_passed_while_no_triggerer_ran_leaves_time_for_one_look(history: History) -> None:
    registry.set_champion(history.client, MODEL, "2")
    late = ModelAliasTrigger(MODEL, interval=20, former="1", deadline=time.time() - 60)
    assert asyncio.run(first(late)) == {"version": "2"}


def test_it_is_the_trigger_of_a_watcher_and_made_again_from_what_is_serialised() -> None:
    trigger = ModelAliasTrigger(MODEL, alias="challenger", mlflow_conn_id="other", interval=5, existing=True)
    asset = Asset("flights/watched", watchers=[AssetWatcher(name="champion", trigger=trigger)])
    path, arguments = asset.watchers[0].trigger.serialize()
    module, _, name = path.rpartition(".")
    copy = getattr(importlib.import_module(module), name)(**arguments)
    assert copy.serialize() == (path, arguments)
    assert copy.shared_stream_key() == trigger.shared_stream_key()
    assert copy.shared_stream_key() != ModelAliasTrigger(MODEL).shared_stream_key()
