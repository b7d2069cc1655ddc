"""What a terminal has room for."""

from __future__ import annotations

import shutil
import sys
import textwrap

WIDE = 140
"""Characters of a line in which a table has room for all of its columns."""


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
