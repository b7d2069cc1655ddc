from __future__ import annotations

import stat
from pathlib import Path

import pytest

from airflow_mlops.local import home
from airflow_mlops.local.home import Running

RUNNING = Running("http://127.0.0.1:8080", "admin", "a-password")


def test_who_runs_is_known_only_while_it_runs_and_only_to_this_user(tmp_path: Path) -> None:
    folder = home.of(tmp_path / "dags")
    assert folder == tmp_path / ".airflow-mlops"
    assert home.running(folder) is None
    with home.locked(folder):
        assert home.running(folder) is None
        home.write(folder, RUNNING)
        assert home.running(folder) == RUNNING
        assert stat.S_IMODE((folder / "running.json").stat().st_mode) == 0o600
    assert home.running(folder) is None
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_folder_is_for_one_airflow(tmp_path: Path) -> None:
    with home.locked(tmp_path), pytest.raises(BlockingIOError), home.locked(tmp_path):
        pass


def test_a_shell_is_told_of_an_airflow_that_was_started_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home.of(tmp_path / "dags")
    home.make(folder)
    assert home.sourcing(folder) is None
    home.write_environment(folder, "export A=1\n")
    assert home.sourcing(folder) == f"source {folder}/env"
    monkeypatch.chdir(tmp_path)
    assert home.sourcing(folder) == "source .airflow-mlops/env"
