"""What the page about `init` shows is what happens."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "init.md"


def commands() -> list[tuple[str, list[str]]]:
    """Return the commands of the page, each with the lines that it prints."""
    blocks = re.findall(
        r"<!-- test: init -->\n```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    parts = [part for block in blocks for part in block.split("$ ")[1:]]
    return [(part.splitlines()[0], part.splitlines()[1:]) for part in parts]


@pytest.mark.slow
def test_the_commands_of_the_page_print_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert len(commands()) == 3
    for command, output in commands():
        program, *words = shlex.split(command)
        if program == "python":
            subprocess.run([sys.executable, *words], check=True)
            continue
        assert program == "airflow-mlops"
        main.main(words)
        assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == output
