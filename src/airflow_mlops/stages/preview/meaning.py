"""Specs by their meaning: where two differ, whatever the order and the comments of their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.addresses import shown
from airflow_mlops.domain.facts.preview import SpecChange
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


def _changes(place: str, before: Any, after: Any) -> Iterator[SpecChange]:
    if place in _SETS:
        former, present = before or [], after or []
        yield from (SpecChange(place=place, after=value) for value in present if value not in former)
        yield from (SpecChange(place=place, before=value) for value in former if value not in present)
    elif place in _ENTRIES:
        former, present = (_by_name(entries or [], _ENTRIES[place]) for entries in (before, after))
        for name in dict.fromkeys([*present, *former]):
            entry = f"{place}.{name}"
            if name in former and name in present:
                yield from _changes(entry, former[name], present[name])
            else:
                yield SpecChange(place=entry, before=former.get(name), after=present.get(name))
    elif isinstance(before or after, Mapping):
        # A section that is turned off has the value null.
        former, present = before or {}, after or {}
        for key in dict.fromkeys([*present, *former]):
            yield from _changes(f"{place}.{key}" if place else key, former.get(key), present.get(key))
    elif before != after:
        yield SpecChange(place=place, before=before, after=after)


def _by_name(entries: list[Any], describe: Any) -> dict[str, Any]:
    names: Counter[str] = Counter()
    named = {}
    for name, settings in map(describe, entries):
        names[name] += 1
        named[name if names[name] == 1 else f"{name} ({names[name]})"] = settings
    return named


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
