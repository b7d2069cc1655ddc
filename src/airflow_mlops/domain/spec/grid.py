"""The grid of policies to choose from: the values of a few keys of a spec, each combination of which is a policy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import isinf, prod
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from airflow_mlops.domain.calendars import Grain
from airflow_mlops.domain.spec import loading
from airflow_mlops.domain.spec.loading import Problem, shorten
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.problems import did_you_mean, dotted, explain, render
from airflow_mlops.domain.spec.replay import CURRENT, Policy, around
from airflow_mlops.domain.spec.retrain import GROWING
from airflow_mlops.exceptions import SpecError

SECTIONS = ("retrain", "gates", "monitor")
"""Sections whose keys can be varied, beside :data:`WINDOW`."""
WINDOW = "train.window"
"""The key of ``train`` that can be varied."""
MOST = 200
"""Most policies of a grid: each goes through every partition."""
_AGAIN, _MARGIN = "retrain.again", "gates.versus_champion.margin"
_PARTITIONS = {Grain.HOUR: 168, Grain.DAY: 60, Grain.WEEK: 13, Grain.MONTH: 6}
_ANSWERED = ("drift", "performance", "baseline", "concept", "intervals", "staleness")
_WORTH = 0.01


class Grid(NamedTuple):
    """The values to try of each key.

    :param values: plain values, in the form of YAML, by the key with dots between its parts.
    """

    values: Mapping[str, tuple[Any, ...]]


class GridPolicy(NamedTuple):
    """One combination of a grid.

    :param changes: value of each key.
    """

    changes: Mapping[str, Any]
    policy: Policy


def default(spec: ModelSpec) -> Grid:
    """Return the grid that is tried if a person names none: when to train, how often again, which margin, which rows."""
    # Where all tests share one budget of error, a single failure is no chance.
    lasts = "1 of 1" if spec.monitor.performance.chance is not None else "2 of 3"
    values: dict[str, tuple[Any, ...]] = {
        "retrain.when": (
            {"performance": lasts, "growth": 4},
            {"performance": lasts, "drift": "2 of 3"},
            {"every": 3},
        ),
        _AGAIN: (None, GROWING),
    }
    gate, metric = spec.gates.versus_champion, spec.metric
    if gate is not None:
        other = gate.margin or (0.0 if isinf(metric.high - metric.low) else _WORTH)
        values[_MARGIN] = tuple(dict.fromkeys((0.0, other)))
    own = spec.to_dict()["train"]["window"]
    values[WINDOW] = ("all", _PARTITIONS[Grain(spec.partition)] if own == "all" else own)
    return Grid(values)


def read(path: Path, spec: ModelSpec) -> Grid:
    """Read a file of lists by key, such as ``retrain.when.performance: [1 of 1, 2 of 3]``.

    :param spec: the model's spec, which each value must fit, beside some values of the other keys.
    :raises SpecError: listing everything that is wrong, each with its line.
    """
    document = loading.read(path)
    problems = [*document.problems, *_misplaced(document.value, spec)]
    if not problems:
        problems += _wrong(document.value, spec)
    for problem in problems:
        problem.line = problem.line or document.line(problem.place)
    if problems:
        raise SpecError([render(problem) for problem in problems], path)
    return Grid({key: tuple(values) for key, values in document.value.items()})


def policies(grid: Grid, spec: ModelSpec) -> list[GridPolicy]:
    """Return the combinations of a grid that differ, but for those whose values do not fit each other.

    One that changes nothing is the spec's own policy.
    """
    combinations: dict[str, GridPolicy] = {}
    for changes in _combinations(grid.values):
        try:
            policy = _policy(changes, spec)
        except ValidationError:
            continue
        combinations.setdefault(_identity(policy.spec), GridPolicy(changes, policy))
    return list(combinations.values())


def sections(grid: Grid) -> tuple[str, ...]:
    """Return the sections of a spec that a grid changes."""
    return tuple(dict.fromkeys(key.partition(".")[0] for key in grid.values))


def shown(value: Any) -> str:
    """Return a plain value as YAML has it in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {shown(part)}' for key, part in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _combinations(values: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for combination in product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _policy(changes: Mapping[str, Any], spec: ModelSpec) -> Policy:
    whole = _changed(around(spec), changes)
    fitted = ModelSpec.model_validate(whole, by_alias=True, by_name=False)
    parts = {key.partition(".")[0] for key in changes}
    policy_spec = spec.model_copy(update={part: getattr(fitted, part) for part in parts})
    if policy_spec == spec:
        return Policy(CURRENT, spec)
    # Named by what it changes: so that another grid with the same combination goes on with what was computed.
    content = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()
    return Policy(f"grid-{content[:8]}", policy_spec)


def _identity(spec: ModelSpec) -> str:
    values = spec.to_dict()
    if all(values["retrain"]["when"].get(rule) is None for rule in _ANSWERED):
        # Only of a problem that lasts does it say when it may ask again.
        values["retrain"]["again"] = None
    return json.dumps(values, sort_keys=True)


def _changed(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        values = _put(values, tuple(key.split(".")), value)
    return values


def _put(values: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    key, *rest = place
    return {**values, key: _put(values.get(key) or {}, tuple(rest), value) if rest else value}


def _misplaced(lists: Mapping[str, Any], spec: ModelSpec) -> Iterator[Problem]:
    """Yield what is wrong with keys and lists, whatever the values are."""
    of_spec = spec.to_dict()
    allowed = [key for section in SECTIONS for key in _keys(of_spec[section], section)] + [WINDOW]
    sizes = []
    for key, values in lists.items():
        outer = next((other for other in lists if key.startswith(f"{other}.")), None)
        if key != WINDOW and key.partition(".")[0] not in SECTIONS:
            which = f"name a key of {', '.join(SECTIONS)}, such as retrain.again, or {WINDOW}"
            yield Problem((key,), f"cannot be varied{did_you_mean(key, allowed)} {which}")
        elif outer is not None:
            yield Problem((key,), f"lies within {outer}, which is varied as a whole: keep one of the two")
        elif not isinstance(values, list):
            yield Problem((key,), f"must be a list of values to try, such as [{shown(values)}]")
        elif not values:
            yield Problem((key,), "has no value to try; name one, or leave the key out")
        elif (within := _scalar(of_spec, key)) is not None:
            yield Problem((key,), f"lies within {within}, which is no section: vary that, with whole values")
        else:
            yield from (
                Problem((key, place), f"{shorten(shown(value))} is listed twice")
                for place, value in enumerate(values)
                if value in values[:place]
            )
            sizes.append(len(values))
    if (size := prod(sizes)) > MOST:
        yield Problem((), f"has {size:,} combinations, and at most {MOST} are tried: leave values out")


def _keys(values: Mapping[str, Any], above: str) -> Iterator[str]:
    for name, value in values.items():
        yield f"{above}.{name}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{above}.{name}")


def _scalar(values: Any, key: str) -> str | None:
    """Return the key above another one that has a value without keys of its own; None if there is none."""
    above: list[str] = []
    for part in key.split(".")[:-1]:
        above.append(part)
        values = values.get(part)
        if values is None:
            return None
        if not isinstance(values, Mapping):
            return ".".join(above)
    return None


def _wrong(lists: Mapping[str, list[Any]], spec: ModelSpec) -> Iterator[Problem]:
    """Yield what is wrong with each value that fits no values of the other keys."""
    errors: dict[tuple[str, int], tuple[dict[str, Any], ValidationError] | None] = {}
    for places in product(*(range(len(values)) for values in lists.values())):
        chosen = dict(zip(lists, places, strict=True))
        changes = {key: lists[key][place] for key, place in chosen.items()}
        if (problem := _alone(changes, spec)) is None:
            errors |= dict.fromkeys(chosen.items())
        for place in chosen.items():
            errors.setdefault(place, problem)
    # Of several values that are wrong together, those are named that are so by themselves.
    refused = {place: error for place, error in errors.items() if error is not None}
    alone = {(key, place): _alone({key: lists[key][place]}, spec) for key, place in refused}
    by_themselves = {place: error for place, error in alone.items() if error is not None}
    for (key, position), (changes, error) in (by_themselves or refused).items():
        yield from _named(key, position, _changed(around(spec), changes), error)


def _alone(changes: dict[str, Any], spec: ModelSpec) -> tuple[dict[str, Any], ValidationError] | None:
    """Return changes with what is wrong with them; None if they are right."""
    try:
        _policy(changes, spec)
    except ValidationError as error:
        return changes, error
    return None


def _named(key: str, position: int, whole: dict[str, Any], error: ValidationError) -> Iterator[Problem]:
    for problem in explain(ModelSpec, whole, error):
        where = dotted(problem.place)
        yield Problem((key, position), problem.text if where == key else f"{where}: {problem.text}")
