"""Read a spec's YAML into plain values, with the line of each value and without YAML's traps.

Scalars follow YAML 1.2's JSON schema: ``yes``, ``no``, ``on``, ``off``, dates and ``007`` stay text. Tags, anchors,
aliases, duplicate keys, NaN and infinity are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import isinf
from pathlib import Path
from typing import Any

from airflow_mlops.exceptions import SpecError

Place = tuple[str | int, ...]

LARGEST = 1 << 20
DEEPEST = 20
MOST = 10_000

_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_HINTS = {
    "mapping values are not allowed": "text that holds a colon and a space needs quotes",
    "cannot start any token": "indent with spaces, not tabs, and quote text that begins with @ or `",
    "did not find expected": "indent alike what belongs together, and quote text that begins with { [ or a quote",
}


@dataclass
class Node:
    """A place in a file: its line, and the places within it."""

    line: int
    children: dict[str | int, Node] = field(default_factory=dict)


@dataclass
class Problem:
    """One thing that is wrong with a file.

    :param place: keys and positions that lead to the wrong value; empty for the whole file.
    :param text: what is wrong, in words.
    :param line: line in the file, from 1; None if unknown.
    """

    place: Place
    text: str
    line: int | None = None


@dataclass
class Document:
    """The content of a YAML file.

    :param value: plain mappings, lists, text, numbers, booleans and None.
    :param root: the place of the whole file, with the places of all values below it.
    :param problems: what had to be refused; the value at such a place is None, or the first of several values.
    """

    value: Any = None
    root: Node = field(default_factory=lambda: Node(1))
    problems: list[Problem] = field(default_factory=list)

    def line(self, place: Place) -> int | None:
        """Return the line of a place, or of the nearest place above it that exists; None if that is the whole file."""
        node = self.root
        for part in place:
            only = next(iter(node.children.values())) if len(node.children) == 1 else Node(0)
            # `- name: {…}` is short for a record with a name, so the place may lack this single key.
            node = node.children.get(part) or only.children.get(part) or node
        return None if node is self.root else node.line


def find(path: str | Path, caller: str | None) -> Path:
    """Return the file at a relative path: beside the caller's file, else in the current directory.

    :param caller: Python file that loads the spec; None if there is no such file.
    :raises SpecError: if there is no such file in either folder.
    """
    folders = [Path(caller).resolve().parent] if caller else []
    candidates = list(dict.fromkeys(folder / path for folder in [*folders, Path.cwd()]))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise SpecError([f"there is no such file; looked for {' and '.join(map(str, candidates))}"], path)


def read(file: Path) -> Document:
    """Read one YAML file.

    :raises SpecError: if the file cannot be read at all; other problems are in the document.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise SpecError([f"cannot be read: {error.strerror or error}"], file) from error
    if len(content) > LARGEST:
        raise SpecError(["is larger than 1 MiB, which no spec needs"], file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError([f"line {line}: is not UTF-8 text; save it as UTF-8"], file) from error
    return parse(text, file)


def parse(text: str, source: str | Path = "spec") -> Document:
    """Read one YAML document from text.

    :raises SpecError: if the text is no YAML, is empty, or is no mapping.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = _Builder(yaml.parse(text, Loader=loader)).build()
    except yaml.YAMLError as error:
        raise SpecError([_syntax(error)], source) from error
    except _Unreadable as error:
        raise SpecError([str(error)], source) from error
    if document.value is None and not document.problems:
        raise SpecError(["is empty; the shortest spec is in docs/model-spec.md"], source)
    if not isinstance(document.value, dict):
        raise SpecError([f"must be a mapping of keys to values, not {describe(document.value)}"], source)
    return document


def describe(value: Any) -> str:
    """Return what a value of a file is, in words for people."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {shorten(repr(value))}"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f"an object of type {type(value).__name__}"


def shorten(text: str, length: int = 60) -> str:
    """Return text, cut if it is too long for a message."""
    return text if len(text) <= length else text[: length - 1] + "…"


class _Unreadable(Exception):
    """The file is such that reading cannot go on."""


def _syntax(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or " ".join(str(error).split())
    hint = next((hint for sign, hint in _HINTS.items() if sign in what), None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}is no YAML: {what}" + (f" ({hint})" if hint else "")


class _Builder:
    """Build plain values from YAML events, so that no alias is expanded and no object is constructed."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.problems: list[Problem] = []
        self.read = 0

    def build(self) -> Document:
        from yaml import DocumentStartEvent, StreamEndEvent

        next(self.events)
        if isinstance(next(self.events), StreamEndEvent):
            return Document()
        value, root = self._value(next(self.events), ())
        after = next(islice(self.events, 1, None))
        if isinstance(after, DocumentStartEvent):
            self._refuse((), after, "a second document begins here; a file holds one spec")
        return Document(value, root, self.problems)

    def _refuse(self, place: Place, event: Any, text: str) -> None:
        self.problems.append(Problem(place, text, event.start_mark.line + 1))

    def _value(self, event: Any, place: Place) -> tuple[Any, Node]:
        from yaml import AliasEvent, MappingStartEvent, SequenceStartEvent

        node = Node(event.start_mark.line + 1)
        self.read += 1
        if self.read > MOST:
            raise _Unreadable(f"line {node.line}: holds more than {MOST:,} values, which no spec needs")
        if len(place) > DEEPEST:
            raise _Unreadable(f"line {node.line}: is nested deeper than {DEEPEST} levels")
        if isinstance(event, AliasEvent):
            self._refuse(place, event, f"aliases are not allowed; write out what *{event.anchor} stands for")
            return None, node
        if event.anchor:
            self._refuse(place, event, f"anchors are not allowed; remove &{event.anchor}")
        if event.tag:
            self._refuse(place, event, f"tags are not allowed; remove {shorten(event.tag)}")
        if isinstance(event, MappingStartEvent):
            return self._mapping(node, place), node
        if isinstance(event, SequenceStartEvent):
            return self._sequence(node, place), node
        return self._scalar(event, place), node

    def _sequence(self, node: Node, place: Place) -> list[Any]:
        from yaml import SequenceEndEvent

        values: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            value, node.children[len(values)] = self._value(event, (*place, len(values)))
            values.append(value)
        return values

    def _mapping(self, node: Node, place: Place) -> dict[str, Any]:
        from yaml import MappingEndEvent, ScalarEvent

        values: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            key, _ = self._value(event, (*place, "?"))
            line = event.start_mark.line + 1
            name = key if isinstance(key, str) else f"?{line}"
            value, child = self._value(next(self.events), (*place, name))
            if not isinstance(event, ScalarEvent) or not isinstance(key, str):
                self._refuse(place, event, f"a key must be text, not {describe(key)}")
            elif key in values:
                first = node.children[key].line
                self._refuse((*place, key), event, f"is given twice, on lines {first} and {line}; keep one")
            else:
                values[key], node.children[key] = value, Node(line, child.children)
        return values

    def _scalar(self, event: Any, place: Place) -> Any:
        text: str = event.value
        if event.style:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            if len(text) <= 20:
                return int(text)
            self._refuse(place, event, f"{shorten(text)} has too many digits; quote it if it is text")
        elif _NOT_FINITE.fullmatch(text):
            self._refuse(place, event, f"{text} is not allowed; give a finite number")
        elif _FLOAT.fullmatch(text):
            number = float(text)
            if not isinf(number):
                return number
            self._refuse(place, event, f"{shorten(text)} is too large a number")
        else:
            return text
        return None
