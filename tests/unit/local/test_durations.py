from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops.local.durations import Durations


def test_how_long_a_step_took_is_told_before_the_next_time(tmp_path: Path) -> None:
    said: list[str] = []
    with Durations(tmp_path / "file", said.append).step("it starts"):
        pass
    with Durations(tmp_path / "file", said.append).step("it starts"):
        pass
    assert said == ["it starts …", "it starts … (0 s the last time)"]


def test_a_step_that_failed_is_no_measure(tmp_path: Path) -> None:
    durations = Durations(tmp_path / "file")
    with pytest.raises(ValueError, match="in vain"), durations.step("it starts"):
        raise ValueError("in vain")
    assert durations.seconds == {}


def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{")
    assert Durations(tmp_path / "file").seconds == {}
