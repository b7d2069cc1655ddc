"""What a terminal has room for."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 140
"""Characters of a line in which a table has room for all of its columns; none is wider."""
PIPE = 80
"""Characters of a line in a file or a pipe, for tables of figures."""
_SEPARATOR = len(" | ")
_LEAST = 24
"""Characters of the last column below which it is not narrowed, so that only longer words are cut."""


def width() -> int | None:
    """Return how many characters a line has; None if nobody looks at it, as in a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(sentence: str) -> str:
    """Return a sentence in lines that end between words, the later ones indented; as it is in a file or a pipe."""
    columns = width()
    if columns is None:
        return sentence
    return textwrap.fill(
        sentence, columns, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def shown(text: object) -> Any:
    """Return text that a terminal shows literally, without markup and control codes."""
    from rich.text import Text

    return Text(printable(str(text)))


def printable(text: str) -> str:
    """Return text without control codes, which a terminal would obey."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


def table(
    names: Sequence[str], rows: Iterable[Sequence[object]], *, room: int | None = None, leading: int = 0
) -> Table:
    """Return a table that ends its lines between words, and fits the terminal if its words do.

    Only the last column may cut a word, one that is longer than what the others leave.

    :param room: characters of a line; None for those of the terminal, up to :data:`WIDE`.
    :param leading: empty lines between rows.
    """
    from rich import box
    from rich.table import Table

    room = room or min(width() or WIDE, WIDE)
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    columns = [[name, *column] for name, *column in zip(names, *cells, strict=True)]
    # As Airflow draws its tables, which to import takes seconds.
    page = Table(box=box.ASCII_DOUBLE_HEAD, show_edge=False, pad_edge=False, leading=leading, caption=" ")
    for name, characters in zip(names, _widths(columns, room), strict=True):
        page.add_column(name, width=characters, overflow="fold")
    for row in cells:
        page.add_row(*map(shown, row))
    return page


def print_as(
    data: Sequence[Any], output: str, mapper: Callable[[Any], Mapping[str, Any]] | None = None
) -> None:
    """Print records as Airflow does, but a table in the form of ours; in a file or a pipe each record stays one line."""
    from airflow.cli.simple_table import AirflowConsole

    console = AirflowConsole()
    if output != "table" or not data or width() is None:
        console.print_as(data=data, output=output, mapper=mapper)  # type: ignore[arg-type]
        return
    records = [mapper(record) if mapper else record for record in data]
    rows = [[_text(value) for value in record.values()] for record in records]
    console.print(table(list(records[0]), rows, room=width()))


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return how wide each column is: as its longest line, or less, but as its longest word at least."""
    lines = [max(len(line) for cell in column for line in cell.splitlines() or [""]) for column in columns]
    widths = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    room -= _SEPARATOR * (len(columns) - 1)
    if sum(widths) > room:
        widths[-1] = max(min(widths[-1], _LEAST), room - sum(widths[:-1]))
    # What is left goes to those first that lack least, so that the most columns are as wide as they would be.
    for place in sorted(range(len(columns)), key=lambda place: lines[place] - widths[place]):
        spare = room - sum(widths)
        widths[place] += max(0, min(spare, lines[place] - widths[place]))
    return widths
