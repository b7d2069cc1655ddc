from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.shared_stream import SharedStreamManager
from deltalake import write_deltalake

from airflow_mlops.triggers.new_data import NewDataTrigger, _Watch

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more


class State:
    """The state of one asset, which outlives triggerers."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


class Triggerer:
    """What Airflow's triggerer does with the trigger of a watcher: a stream, and word of what was saved.

    :param saves: whether events reach the metadata database.
    """

    def __init__(self, state: State, *, saves: bool = True, **arguments: Any) -> None:
        self.trigger = NewDataTrigger(**{"settle": 0.05, "interval": 0.02, **arguments})
        self.trigger.asset_state_store = state  # type: ignore[assignment]
        self.saves = saves
        self.events: list[dict[str, Any]] = []

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Run until a condition holds, and then be killed."""
        manager = SharedStreamManager(log=self.trigger.log)
        key = self.trigger.shared_stream_key()
        stream = manager.subscribe(trigger_id=1, trigger=self.trigger, key=key)

        async def consume() -> None:
            async for event in self.trigger.filter_shared_stream(stream):
                self.events.append(json.loads(json.dumps(event.payload)))
                seq = manager.bind_pending_event(trigger_id=1, key=key)
                if self.saves and seq is not None:
                    asyncio.get_running_loop().call_later(0.05, manager.confirm_persisted, [seq])

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

    def run(self, looks: int = 12, until: Callable[[], bool] | None = None) -> list[dict[str, Any]]:
        """Look so often, and return the events."""
        look, seen = self.trigger.look, []

        def counted() -> dict[str, dict[str, Any]]:
            seen.append(1)
            return look()

        # The stream makes a trigger of its own, from what is serialised.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(NewDataTrigger, "look", lambda trigger: counted())
            asyncio.run(self.until(until or (lambda: len(seen) >= looks)))
        return self.events


def names(events: list[dict[str, Any]]) -> list[str]:
    return sorted(Path(event["path"]).name for event in events)


def test_each_new_file_is_told_once(tmp_path: Path) -> None:
    state, path = State(), f"{tmp_path}/{{partition}}/*.csv"
    for partition in ("2013-01", "2013-02"):
        (tmp_path / partition).mkdir()
    (tmp_path / "2013-01" / "old.csv").write_text("a\n1\n")
    assert Triggerer(state, path=path).run() == []
    (tmp_path / "2013-01" / "new.csv").write_text("a\n1\n")
    (tmp_path / "2013-02" / "other.csv").write_text("a\n1\n2\n")
    (tmp_path / "2013-02" / "other.txt").write_text("a\n")
    # How it looks may change meanwhile.
    events = Triggerer(state, path=path, grain="month", interval=0.01).run()
    assert {event["path"]: (event["size"], event["partition"]) for event in events} == {
        f"{tmp_path}/2013-01/new.csv": (4, "2013-01"),
        f"{tmp_path}/2013-02/other.csv": (6, "2013-02"),
    }
    assert Triggerer(state, path=path).run() == []


def test_what_comes_while_no_triggerer_runs_is_told_by_the_next(tmp_path: Path) -> None:
    state, path = State(), f"{tmp_path}/*.csv"
    assert Triggerer(state, path=path).run() == []
    (tmp_path / "a.csv").write_text("1\n")
    assert names(Triggerer(state, path=path).run()) == ["a.csv"]
    (tmp_path / "b.csv").write_text("1\n")
    (tmp_path / "a.csv").unlink()
    assert names(Triggerer(state, path=path).run()) == ["b.csv"]


def test_what_was_there_before_is_told_if_that_is_asked_for(tmp_path: Path) -> None:
    state = State()
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("1\n")
    arguments = {"path": f"{tmp_path}/*.csv", "existing": True}
    assert names(Triggerer(state, **arguments).run()) == ["a.csv", "b.csv"]
    assert Triggerer(state, **arguments).run() == []


def test_an_event_that_was_not_saved_comes_again_with_the_same_id(tmp_path: Path) -> None:
    state, path = State(), f"{tmp_path}/*.csv"
    Triggerer(state, path=path).run()
    (tmp_path / "a.csv").write_text("1\n")
    killed = Triggerer(state, path=path, saves=False).run()
    assert names(killed) == ["a.csv"]
    assert Triggerer(state, path=path).run() == killed
    assert Triggerer(state, path=path).run() == []


def test_a_file_is_told_when_it_has_stopped_growing_and_again_when_it_was_changed(tmp_path: Path) -> None:
    state, file = State(), tmp_path / "a.csv"
    arguments = {"path": f"{tmp_path}/*.csv", "settle": 0.3}
    Triggerer(state, **arguments).run()
    triggerer, grown = Triggerer(state, **arguments), []

    def grow() -> bool:
        # Each time that is asked, it is 10 ms later.
        if len(grown) < 100:
            grown.append(1)
            with file.open("a") as growing:
                growing.write("1\n")
        return bool(triggerer.events)

    assert [event["size"] for event in triggerer.run(until=grow)] == [200]
    file.write_text("changed\n")
    again = Triggerer(state, **arguments)
    assert [event["size"] for event in again.run(until=lambda: bool(again.events))] == [8]


def test_an_object_store_is_watched(tmp_path: Path) -> None:
    store, state, path = fsspec.filesystem("memory"), State(), f"memory://{tmp_path.name}/{{partition}}.csv"
    assert Triggerer(state, path=path).run() == []
    store.pipe_file(f"/{tmp_path.name}/2013-01.csv", b"a\n")
    [event] = Triggerer(state, path=path).run()
    assert event["path"] == f"memory:///{tmp_path.name}/2013-01.csv"
    assert event["partition"] == "2013-01"
    store.rm(f"/{tmp_path.name}", recursive=True)


def test_each_version_of_a_table_is_told_once(tmp_path: Path) -> None:
    state, uri = State(), f"file://{tmp_path}/t"
    assert Triggerer(state, table=uri).run() == []
    for _ in range(3):
        write_deltalake(f"{tmp_path}/t", pa.table({"a": [1]}), mode="append")
    events = Triggerer(state, table=uri).run()
    assert [(event["uri"], event["version"]) for event in events] == [(uri, 0), (uri, 1), (uri, 2)]
    write_deltalake(f"{tmp_path}/t", pa.table({"a": [1]}), mode="append")
    assert [event["version"] for event in Triggerer(state, table=uri).run()] == [3]
    assert Triggerer(state, table=uri).run() == []


def test_a_place_that_cannot_be_reached_for_a_while_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, path = State(), f"{tmp_path}/*.csv"
    Triggerer(state, path=path).run()
    (tmp_path / "a.csv").write_text("1\n")
    triggerer = Triggerer(state, path=path)
    look, failures = (
        triggerer.trigger.look,
        iter([OSError("timed out"), RuntimeError("no credentials"), OSError("timed out")]),
    )

    def flaky(trigger: NewDataTrigger) -> dict[str, dict[str, Any]]:
        if error := next(failures, None):
            raise error
        return look()

    monkeypatch.setattr(NewDataTrigger, "look", flaky)
    asyncio.run(triggerer.until(lambda: bool(triggerer.events)))
    assert names(triggerer.events) == ["a.csv"]


def test_many_files_at_once_are_all_told(tmp_path: Path) -> None:
    state = State()
    for number in range(1500):
        (tmp_path / f"{number}.csv").touch()
    triggerer = Triggerer(state, path=f"{tmp_path}/*.csv", existing=True)
    asyncio.run(triggerer.until(lambda: len(triggerer.events) >= 1500, seconds=60))
    assert len(set(names(triggerer.events))) == 1500


def test_without_a_stream_it_does_the_same(tmp_path: Path) -> None:
    async def some(trigger: NewDataTrigger, count: int) -> list[str]:
        found = []
        async for event in trigger.run():
            found.append(Path(event.payload["path"]).name)
            if len(found) == count:
                break
        return sorted(found)

    trigger = NewDataTrigger(path=f"{tmp_path}/*.csv", settle=0, interval=0.01, existing=True)
    with pytest.raises(RuntimeError, match="has no asset to tell; use it as the trigger of an AssetWatcher"):
        asyncio.run(some(trigger, 1))
    trigger.asset_state_store = State()  # type: ignore[assignment]
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("1\n")
    assert asyncio.run(asyncio.wait_for(some(trigger, 2), 20)) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("arguments", [{}, {"path": "a", "table": "b"}])
def test_it_watches_either_files_or_a_table(arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="takes exactly one of path, table"):
        NewDataTrigger(**arguments)


def test_it_is_the_trigger_of_a_watcher_and_made_again_from_what_is_serialised() -> None:
    trigger = NewDataTrigger(
        path="s3://bucket/{partition}.csv", conn_id="aws", grain="month", settle=1, existing=True
    )
    asset = Asset("flights/files", watchers=[AssetWatcher(name="files", trigger=trigger)])
    path, arguments = asset.watchers[0].trigger.serialize()
    module, _, name = path.rpartition(".")
    copy = getattr(importlib.import_module(module), name)(**arguments)
    assert copy.serialize() == (path, arguments)
    assert copy.shared_stream_key() == trigger.shared_stream_key()


@pytest.mark.parametrize(("present", "announced"), [(set(), {"a", "b"}), ({"b", "c"}, {"b"})])
def test_a_folder_that_is_away_for_one_look_makes_it_forget_nothing(
    tmp_path: Path, present: set[str], announced: set[str]
) -> None:
    watch = _Watch(NewDataTrigger(path=f"{tmp_path}/*.csv"), announced={"a", "b"}, present=present)
    watch.store = State()  # type: ignore[assignment]
    asyncio.run(watch._save())
    assert watch.announced == announced
