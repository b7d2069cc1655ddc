from __future__ import annotations

import pytest
from airflow.cli.simple_table import AirflowConsole

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


NAMES = ("when (UTC)", "what", "why")
ROWS = [
    ("2013-02-01 09:30", "promoted OVERRIDDEN", "better beyond chance; approved by anna: looked at it\nby flights.train/run-2"),
    ("2013-03-01 09:30", "kept", "nothing has drifted"),
]  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], room: int | None = None) -> list[str]:
    AirflowConsole().print(terminal.table(NAMES, ROWS, room=room))
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


@pytest.mark.parametrize("room", [53, 60, 80, 100, 140])
def test_a_table_fits_its_room_and_ends_its_lines_between_words(
    capsys: pytest.CaptureFixture[str], room: int
) -> None:
    lines = printed(capsys, room)
    assert max(map(len, lines)) <= room
    words = {word for line in lines for word in line.split() if word != "|"}
    assert {word for row in ROWS for cell in row for word in cell.split()} <= words


def test_a_table_is_as_wide_as_it_needs_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    head, _, first, *_ = printed(capsys, 140)
    assert head == "when (UTC)       | what                | why"
    assert first.startswith("2013-02-01 09:30 | promoted OVERRIDDEN | better beyond chance; approved by anna")


def test_a_table_takes_the_width_of_its_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "width", lambda: 60)
    assert max(map(len, printed(capsys))) <= 60


def test_only_a_word_that_is_longer_than_the_last_column_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/data/" + "x" * 80
    AirflowConsole().print(terminal.table(NAMES, [("2013-02-01", "kept", f"see {path} for more")], room=60))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 60
    assert path in "".join(line.rpartition("|")[2].strip() for line in lines)


def test_markup_and_control_codes_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    AirflowConsole().print(terminal.table(("a",), [("[red]\x1b[2J[/red]",)]))
    assert "[red]\ufffd[2J[/red]" in capsys.readouterr().out


def test_records_are_a_table_that_fits_a_terminal_and_one_line_each_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        {"reason": "a key that occurs twice in its partition", "columns": ["customer", "day"], "rows": None}
    ]
    terminal.print_as(records, "table")
    assert "a key that occurs twice in its partition | customer,day" in capsys.readouterr().out
    monkeypatch.setattr(terminal, "width", lambda: 40)
    terminal.print_as(records, "table")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 40
    assert "customer," in " ".join(lines).split()
    terminal.print_as(records, "plain")
    assert "a key that occurs twice in its partition" in capsys.readouterr().out
