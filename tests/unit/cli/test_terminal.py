from __future__ import annotations

import pytest

from airflow_mlops.cli import terminal

SENTENCE = "source.files: 'x' is text, and looks like numbers: '1,5' (line 2 of /data/a-very-long-path-of-a-file/2026-01.csv)"


def test_a_sentence_ends_its_lines_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "width", lambda: 40)
    lines = terminal.wrapped(SENTENCE).splitlines()
    assert max(map(len, lines[:-1])) <= 40
    assert " ".join(line.strip() for line in lines) == SENTENCE
    assert all(line.startswith("    ") for line in lines[1:])


def test_a_sentence_in_a_pipe_stays_a_line() -> None:
    assert terminal.width() is None
    assert terminal.wrapped(SENTENCE) == SENTENCE
