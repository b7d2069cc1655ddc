"""Markdown that shows every value as it is, whatever signs it holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from airflow_mlops.reporting.verdicts import Appearance
from airflow_mlops.reporting.words import line

if TYPE_CHECKING:
    from markupsafe import Markup


# What begins a list, a quotation, a heading, or is the rule below one, at the start of a line.
_BLOCK = re.compile(r"^(\d{0,9})([.)](?=\s|$)|[-+](?=\s|$)|>|#+(?=\s|$)|[-=](?=[-=\s]*$))")


class MarkdownLink(NamedTuple):
    """Words that link to an address; only the words are shown unless it is one of http or https."""

    words: str
    url: str


def escape(value: Any) -> Markup:
    """Return a value as Markdown that shows it literally, on one line: none of its signs acts as markup."""
    from markupsafe import Markup

    if isinstance(value, Markup):
        return value
    if isinstance(value, MarkdownLink):
        return _link(value)
    if isinstance(value, Appearance):
        return Markup(f"**{value}**")
    text = re.sub(r"([\\`*\[\]<|~])", r"\\\1", line(str(value)))
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
    text = re.sub(r"&(?=[#\w])", r"\\&", text)
    return Markup(_BLOCK.sub(r"\1\\\2", text))


def _link(link: MarkdownLink) -> Markup:
    from markupsafe import Markup

    words, url = escape(link.words), quote(link.url, safe=":/?#[]@!$&'()*+,;=%~")
    # Anything else, such as javascript:, is not to be clicked.
    is_web = urlsplit(link.url).scheme in ("http", "https")
    return Markup(f"[{words}](<{url}>)") if is_web else words
