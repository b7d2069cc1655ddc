from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.stages.replay import workers
from airflow_mlops.stages.replay.cache import cached, key_of, load, save


def never() -> Any:
    raise AssertionError("computed twice")


def test_what_was_computed_is_kept(tmp_path: Path) -> None:
    assert cached(tmp_path, "kind", "key", lambda: {"a": 1}) == {"a": 1}
    assert cached(tmp_path, "kind", "key", never) == {"a": 1}
    assert cached(tmp_path, "other", "key", list) == []
    assert cached(tmp_path, "other", "key", never) == []


def test_what_failed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        cached(tmp_path, "kind", "key", never)
    assert cached(tmp_path, "kind", "key", lambda: 2) == 2


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    save(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        save(tmp_path / "a.json", {"a": object()})
    assert load(tmp_path / "a.json") == 1
    assert load(tmp_path / "b.json") is None


def test_a_key_tells_contents_apart_and_not_the_order_of_names() -> None:
    assert key_of({"a": 1, "b": 2}, 3) == key_of({"b": 2, "a": 1}, 3)
    assert key_of({"a": 1}) != key_of({"a": 2})


def count_once(folder: str) -> int:
    """Count the calls that really compute."""

    def compute() -> int:
        marks = Path(folder, "marks")
        with marks.open("a") as file:
            file.write("x")
        return len(marks.read_text())

    found: int = cached(Path(folder), "kind", "key", compute)
    return found


def test_processes_that_ask_for_the_same_compute_it_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(count_once, [str(tmp_path)] * 8) == [1] * 8


def test_tasks_are_told_of_and_come_back_in_order() -> None:
    told: list[None] = []
    with workers.pool(1) as pool:
        found = workers.every(pool, divmod, [(7, 2), (9, 4)], lambda: told.append(None))
    assert (found, len(told)) == ([(3, 1), (2, 1)], 2)
