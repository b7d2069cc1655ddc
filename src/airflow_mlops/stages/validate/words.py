"""Words for expectations: what an expectation requires, and what is wrong with the rows that break it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

LISTED = 10
"""Maximum number of values of a list that are spelled out."""

LENGTH = 100
"""Maximum number of characters of one value that are shown."""

_NULLS = frozenset({"None", "nan", "NaN", "NaT", "<NA>"})
_OPPOSITE = {"at least": "below", "above": "at or below", "at most": "above", "below": "at or above"}
_DESCRIBED_ELSEWHERE = frozenset(
    {
        "column",
        "column_A",
        "column_B",
        "column_list",
        "mostly",
        "row_condition",
        "condition_parser",
        "ignore_row_if",
    }
    | {"strict_min", "strict_max", "description", "notes", "meta", "id", "windows", "rendered_content"}
)


class Words(NamedTuple):
    """One expectation in words.

    :param columns: the columns that it is about; empty if it is about the table.
    :param expected: the condition, e.g. ``at least 0``.
    :param broken: what is wrong when it does not hold, e.g. ``distance is below 0``.
    """

    columns: tuple[str, ...]
    expected: str
    broken: str


def describe(name: str, args: Mapping[str, Any]) -> Words:
    """Return an expectation in words, by the grammar of its name, ``expect_<subject>_to_<predicate>``.

    :param name: name as Great Expectations spells it.
    :param args: its arguments.
    """
    subject, _, predicate = name.removeprefix("expect_").partition("_to_")
    columns = () if subject.startswith("table_") else _columns(args)
    about = subject.removeprefix("table_").removeprefix("column_").replace("_", " ")
    whose = [", ".join(columns), "" if about in ("values", "column") else about]
    bounded = predicate == "be_between" and not {"min_value", "max_value"}.isdisjoint(args)
    expected, broken = _bounds(args) if bounded else _predicate(predicate or "hold", args)
    if args.get("mostly", 1) != 1:
        expected += f", for at least {text(args['mostly'])} of the values"
    if args.get("row_condition"):
        expected += f", where {text(args['row_condition'])}"
    return Words(columns, expected, " ".join(part for part in [*whose, broken] if part))


def text(value: Any) -> str:
    """Return a value as short text; every kind of missing value is ``null``."""
    if isinstance(value, Mapping):
        short = ", ".join(f"{key} {text(element)}" for key, element in list(value.items())[:LISTED])
    elif isinstance(value, (list, tuple, set, frozenset)):
        short = ", ".join(text(element) for element in list(value)[:LISTED]) + (
            ", …" if len(value) > LISTED else ""
        )
    elif isinstance(value, str):
        short = value or '""'
    elif isinstance(value, float) and isfinite(value):
        short = f"{value:.12g}"
    else:
        short = "null" if str(value) in _NULLS else str(value)
    return short if len(short) <= LENGTH else short[: LENGTH - 1] + "…"


def _columns(args: Mapping[str, Any]) -> tuple[str, ...]:
    single = [args[key] for key in ("column", "column_A", "column_B") if key in args]
    return tuple(str(name) for name in [*single, *(args.get("column_list") or ())])


def _bounds(args: Mapping[str, Any]) -> tuple[str, str]:
    lower = "above" if args.get("strict_min") else "at least"
    upper = "below" if args.get("strict_max") else "at most"
    bounds = [(lower, args.get("min_value")), (upper, args.get("max_value"))]
    limits = [(word, text(bound)) for word, bound in bounds if bound is not None]
    expected = " and ".join(f"{word} {bound}" for word, bound in limits)
    return expected, "is " + " or ".join(f"{_OPPOSITE[word]} {bound}" for word, bound in limits)


def _predicate(predicate: str, args: Mapping[str, Any]) -> tuple[str, str]:
    arguments = [(key, text(value)) for key, value in args.items() if key not in _DESCRIBED_ELSEWHERE]
    if len(arguments) == 1:
        rest = f" {arguments[0][1]}"
    else:
        rest = " " + ", ".join(f"{key} {value}" for key, value in arguments) if arguments else ""
    words = predicate.replace("_", " ")
    return words + rest, _negated(words) + rest


def _negated(words: str) -> str:
    for start, opposite in (("not be ", "is "), ("be ", "is not "), ("not ", "does "), ("", "does not ")):
        if words.startswith(start):
            return opposite + words.removeprefix(start)
    return words
