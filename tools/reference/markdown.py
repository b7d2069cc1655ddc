"""Docstrings as Markdown, and tables of Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

NOTE = "<!-- Written by python -m tools.reference docs: change the code, not this page. -->"

_FIELD = re.compile(r"^:(param|raises|return|returns) ?([^:]*): ?", re.MULTILINE)


class Docstring(NamedTuple):
    """A docstring in Airflow's form, taken apart.

    :param text: paragraphs before the first field, as Markdown.
    :param parameters: meaning of each parameter, as Markdown.
    """

    text: str
    parameters: dict[str, str]


def parse(documented: object) -> Docstring:
    """Take the docstring of an object apart."""
    text = inspect.getdoc(documented) or ""
    matches = list(_FIELD.finditer(text))
    ends = [*(match.start() for match in matches[1:]), len(text)]
    parameters = {
        match[2]: inline(text[match.end() : end])
        for match, end in zip(matches, ends[: len(matches)], strict=True)
        if match[1] == "param"
    }
    return Docstring(inline(text[: matches[0].start()] if matches else text), parameters)


def inline(text: str) -> str:
    """Return text of a docstring as Markdown: lines of a paragraph are joined, roles and literals are code."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`(?:\(\))?", r"`\1`", text)
    text = re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a stroke in a cell does not end it, and what stands in brackets is no tag."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else escape(part, quote=False) for part in parts)


def page(title: str, *parts: str) -> str:
    """Return a page under its title."""
    return "\n\n".join([f"# {title}", NOTE, *parts]) + "\n"
