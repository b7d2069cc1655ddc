"""Whoever follows a page, command by command, gets what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tools.reference.tables import layouts

from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r"```(?:python|yaml)\n(# ([\w/]+\.(?:py|yaml))\n.*?)```", re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.thorough]  # fits


def follow(page: str, folder: Path, *, until: str) -> None:
    """Write the files of a page, and type its commands, until one begins with a text; an environment is there already."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for content, name in FILE.findall(text):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    commands = re.findall(r"^\$ (.*)$", "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)), re.M)
    # Nothing is configured yet.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AIRFLOW"))}
    environment = {**kept, "HOME": str(folder), "MPLCONFIGDIR": str(folder / ".matplotlib")}
    programs = Path(sys.executable).parent
    for line in commands:
        if line.startswith(until):
            return
        program, *words = shlex.split(line)
        if program in ("python3", "source") or program.startswith("venv/"):
            continue
        answer = subprocess.run(
            [programs / program, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert answer.returncode == 0, f"{line}\n{answer.stdout}{answer.stderr}"


def champion(storage: Path, model: str) -> str | None:
    moves = ledger.moves(tables.uri_of(f"file://{storage}", model, "ledger"))
    return moves[-1].after if moves else None


def test_the_first_ten_minutes_end_with_a_champion(tmp_path: Path) -> None:
    follow("start.md", tmp_path, until="airflow-mlops start")
    assert champion(tmp_path / ".airflow-mlops" / "storage", "parcels")


def test_churn_ends_with_a_champion_and_tables_that_have_the_columns_of_the_reference(tmp_path: Path) -> None:
    follow("recipes/churn.md", tmp_path, until="nothing")
    assert champion(tmp_path / "store", "churn")
    described = layouts()
    for folder in (tmp_path / "store" / "churn").iterdir():
        columns = set(tables.schema_of(tables.dataset(f"file://{folder}").schema)) - {tables.PARTITION}
        layout = described[folder.name]
        unknown = columns - set(layout.columns)
        assert not unknown or layout.data, f"{folder.name}: {unknown}"
        assert unknown <= {"customer", "seen_at", "months", "calls", "plan", "left"}, folder.name
        # What is not always there says when it is.
        absent = {
            name for name in layout.columns if name not in columns and "only" not in layout.columns[name]
        }
        assert not absent - {"score_low", "score_high"}, f"{folder.name}: {absent}"
