"""Specs by their meaning: where two differ, whatever the order and the comments of their files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.addresses import shown
from airflow_mlops.domain.facts.preview import SpecChange
from airflow_mlops.domain.spec.specs import kind_of
from airflow_mlops.exceptions import SuiteUnreadable
from airflow_mlops.stages.validate import suites

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.domain.spec.dataset import DataSpec

# The order of other lists says something, such as that of classes, or of values in the order that a search tries them.
_SETS = {
    "key", "pii", "features.numeric", "features.categorical", "features.dates", "alerts.email", "alerts.warnings",
    "alerts.events", "gates.approval.users", "gates.slices.by", "gates.fairness.by", "monitor.performance.slices",
}  # fmt: skip
_NULL = "null"
"""A parameter of an estimator that is nothing, which is not its default."""


def values(spec: DataSpec, folder: Path | None = None) -> dict[str, Any]:
    """Return a spec in the form that YAML has, with the expectations of suites in the place of their files.

    :param folder: that relative paths of suites begin in.
    """
    document = spec.to_dict()
    try:
        expanded = suites.expand(spec.expectations, folder=folder)
        document["validate"] = [expectation.to_dict() for expectation in expanded]
    except SuiteUnreadable:
        pass  # named by its path, as the spec has it
    kept: dict[str, Any] = _without_logins(document)
    return kept


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[SpecChange, ...]:
    """Return where two specs, as :func:`values` returns them, differ by their meaning."""
    return tuple(_changes("", before, after))


def ordered(spec: DataSpec, folder: Path | None = None) -> DataSpec:
    """Return a spec that is equal for every spec of the same meaning: suites are expanded, and lists without an order sorted.

    :param folder: that relative paths of suites begin in.
    """
    document = _sorted("", values(spec, folder))
    return kind_of(document).from_dict(document)


def is_same(before: Any, after: Any, *, exactly: bool = False) -> bool:
    """Tell whether two values of a spec are the same: true and 1 are two, whatever Python says.

    :param exactly: whether 1 and 1.0 are two as well.
    """
    return bool(_typed(before, exactly) == _typed(after, exactly))


def _sorted(place: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(f"{place}.{key}" if place else key, part) for key, part in value.items()}
    if place == "train.candidates":
        value = [_of_sorted(entry) for entry in value]
    return sorted(value, key=_text_of) if value and (place in _SETS or place in _ENTRIES) else value


def _of_sorted(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a candidate with the members of an ensemble in order."""
    return {
        name: {key: sorted(part, key=str) if key == "of" else part for key, part in settings.items()}
        for name, settings in entry.items()
    }


def _text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _typed(value: Any, exactly: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _typed(part, exactly) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_typed(part, exactly) for part in value]
    kind = type(value) if exactly or not isinstance(value, int | float) or isinstance(value, bool) else float
    return kind.__name__, value


def _changes(place: str, before: Any, after: Any) -> Iterator[SpecChange]:
    if place in _SETS:
        former, present = before or [], after or []
        yield from (SpecChange(place=place, after=value) for value in present if value not in former)
        yield from (SpecChange(place=place, before=value) for value in former if value not in present)
    elif place in _ENTRIES:
        yield from _of_entries(place, before or [], after or [])
    elif all(part is None or isinstance(part, Mapping) for part in (before, after)):
        yield from _of_section(place, before or {}, after or {})
    # To an estimator 1 may be one feature, and 1.0 all of them.
    elif not is_same(before, after, exactly=place.startswith("train.candidates.")):
        yield SpecChange(place=place, before=before, after=after)


def _of_section(place: str, former: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[SpecChange]:
    for key in dict.fromkeys([*present, *former]):
        was, now = former.get(key), present.get(key)
        below = f"{place}.{key}" if place else key
        if place.startswith("train.candidates.") and (key in former, was) != (key in present, now):
            # What an estimator does by default is another thing than what it does with nothing.
            was, now = (
                _NULL if key in section and section[key] is None else value
                for section, value in ((former, was), (present, now))
            )
        # A section that is turned off has the value null.
        yield from _changes(below, was, now)


def _of_entries(place: str, before: list[Any], after: list[Any]) -> Iterator[SpecChange]:
    """Compare entries of a list by their names; of several with one name those that are the same belong together."""
    former, present = (_by_name(entries, _ENTRIES[place]) for entries in (before, after))
    for name in dict.fromkeys([*present, *former]):
        was, now = _without_same(former[name], present[name])
        for position in range(max(len(was), len(now))):
            number, old = was[position] if position < len(was) else (0, None)
            number, new = now[position] if position < len(now) else (number, None)
            entry = f"{place}.{name}" if number == 0 else f"{place}.{name} ({number + 1})"
            if old is None or new is None:
                yield SpecChange(place=entry, before=old, after=new)
            else:
                yield from _changes(entry, old, new)


def _by_name(
    entries: list[Any], describe: Callable[[Any], tuple[str, Any]]
) -> defaultdict[str, list[tuple[int, Any]]]:
    """Return the settings of entries, each with the number of earlier ones of its name, by name."""
    named: defaultdict[str, list[tuple[int, Any]]] = defaultdict(list)
    for name, settings in map(describe, entries):
        named[name].append((len(named[name]), settings))
    return named


def _without_same(
    former: list[tuple[int, Any]], present: list[tuple[int, Any]]
) -> tuple[list[tuple[int, Any]], list[tuple[int, Any]]]:
    was, now = list(former), []
    for number, settings in present:
        same = next((entry for entry in was if is_same(entry[1], settings, exactly=True)), None)
        if same is None:
            now.append((number, settings))
        else:
            was.remove(same)
    return was, now


def _candidate(entry: Mapping[str, Any]) -> tuple[str, Any]:
    [(estimator, settings)] = entry.items()
    default = settings.get("method", estimator) if estimator == "ensemble" else estimator
    name = settings.get("name") or default.replace(":", ".").rpartition(".")[2]
    others = {key: part for key, part in settings.items() if key != "name"}
    if "of" in others:
        others["of"] = sorted(others["of"], key=str)
    return name, {"estimator": estimator, **others}


def _expectation(entry: Mapping[str, Any]) -> tuple[str, Any]:
    if "suite" in entry:
        return f"suite {entry['suite']}", dict(entry)
    [(expectation, arguments)] = entry.items()
    about = arguments.get("column") or arguments.get("column_list") or arguments.get("column_A")
    return f"{expectation}({about})" if about else expectation, dict(arguments)


def _output(entry: Mapping[str, Any]) -> tuple[str, Any]:
    [(kind, settings)] = ((kind, settings) for kind, settings in entry.items() if settings)
    return f"{kind} {settings.get('table') or settings.get('path')}", settings


def _text(entry: Any) -> tuple[str, Any]:
    settings = {"column": entry} if isinstance(entry, str) else dict(entry)
    return settings["column"], settings


_ENTRIES = {
    "train.candidates": _candidate,
    "validate": _expectation,
    "score.outputs": _output,
    "features.text": _text,
}


def _without_logins(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {key: _without_logins(part) for key, part in value.items()}
    return [_without_logins(part) for part in value] if isinstance(value, list) else value
