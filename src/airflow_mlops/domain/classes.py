"""Classes: what a classifier tells apart, each known by its text."""

from __future__ import annotations

import re
from collections.abc import Iterable

BINARY = ("0", "1")
"""The classes of labels 0 and 1, or false and true."""
MOST = 1_000
"""Maximum number of classes; what has more is a number, or needs another kind of model."""


def class_name(value: str | float) -> str:
    """Return the text that a class is known by: ``1`` for 1, 1.0, ``"1"`` and true; a text is its own."""
    return value if isinstance(value, str) else str(int(value))


def are_texts(classes: Iterable[str]) -> bool:
    """Tell whether a class is no number as we write it, such as ``late`` or ``01``: labels are then read as text."""
    return any(not re.fullmatch(r"0|-?[1-9][0-9]*", name) for name in classes)


def union(*orders: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of several models, in the order of the first, then those that only later ones have."""
    return tuple(dict.fromkeys(name for order in orders for name in order))
