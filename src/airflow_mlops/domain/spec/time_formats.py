"""Formats of times, as `strptime` spells them: which are read, and as what."""

from __future__ import annotations

import re
from collections import Counter

_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"1[0-2]|0?[1-9]",
    "b": "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec",
    "d": r"3[01]|[12]\d|0?[1-9]",
    "H": r"2[0-3]|[01]?\d",
    "I": r"1[0-2]|0?[1-9]",
    "p": "am|pm",
    "M": r"[0-5]?\d",
    "S": r"[0-5]?\d",
    "f": r"\d{1,6}",
    "z": r"Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d",
}
MONTHS = tuple(_DIRECTIVES["b"].split("|"))
"""English names of months, as `%b` reads them."""
DATE = (frozenset("Yy"), frozenset("mb"), frozenset("d"))
"""Directives of which a format has one each."""


def pattern(format: str) -> str:
    """Return a regular expression for texts of a format, with a group for each directive.

    :raises ValueError: if a format has a directive that is not read, or leaves the time open.
    """
    names = _names(format)
    parts = re.split(r"%([a-zA-Z])", format)
    text = "".join(
        _group(part) if position % 2 else re.escape(part.replace("%%", "%"))
        for position, part in enumerate(parts)
    )
    return f"(?i)^{text}$" if names else ""


def has_time(format: str) -> bool:
    """Tell whether a format has a time of day; without one it is a date."""
    return not {"H", "I"}.isdisjoint(_names(format))


def _group(name: str) -> str:
    # Digits of a second beyond the sixth are cut off.
    return f"(?P<{name}>{_DIRECTIVES[name]})" + (r"\d{0,3}" if name == "f" else "")


def _names(format: str) -> list[str]:
    names = re.findall(r"%(.?)", format.replace("%%", ""))
    allowed = ", ".join(f"%{name}" for name in _DIRECTIVES)
    if unknown := [name for name in names if name not in _DIRECTIVES]:
        raise ValueError(f"holds %{unknown[0]}; allowed: {allowed}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"holds %{twice[0]} twice")
    if any(len(kind.intersection(names)) != 1 for kind in DATE):
        raise ValueError(
            "must have a year (%Y or %y), a month (%m or %b) and a day (%d), such as %d.%m.%Y %H:%M"
        )
    for name, other in (("I", "p"), ("p", "I"), ("M", "HI"), ("S", "M"), ("f", "S"), ("z", "HI")):
        if name in names and not set(other).intersection(names):
            raise ValueError(f"has %{name} without {' or '.join(f'%{letter}' for letter in other)}")
    if {"H", "I"} <= set(names):
        raise ValueError("has both %H and %I; write one of them")
    return names
