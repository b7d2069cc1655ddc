"""Turn validation errors of a spec into plain sentences, with the place, the allowed values and a suggestion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from airflow_mlops.domain.spec.loading import Document, Place, Problem, describe, shorten
from airflow_mlops.exceptions import SpecError

MOST = 50
"""Largest number of problems that one error lists."""

# Parts of a place that pydantic adds and that are no keys of the file: a mark for a key itself, and tags of unions.
_NO_KEYS = ("[key]", "[expectation]", "[suite]")
# What it adds of a value that may be of one type or another, for the complaint of each: these always, and those beside them.
_ALTERNATIVE = re.compile(r"constrained-\w+|literal\[.*\]")
_TYPES = ("str", "int", "float", "bool")


class Problems(ValueError):
    """Several problems of one value, raised together by its validator.

    :param complaints: pairs of the place below the validated value and what is wrong there.
    """

    def __init__(self, complaints: Iterable[tuple[Place, str]]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("; ".join(text for _, text in self.complaints))

    @classmethod
    def raise_any(cls, complaints: Iterable[tuple[Place, str]]) -> None:
        """Raise all complaints as one error, if there are any."""
        if problems := tuple(complaints):
            raise cls(problems)


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return the end of a complaint about an unknown word: the closest allowed word, if one is close, else a semicolon."""
    close = get_close_matches(word[:100].lower(), list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ";"


def one_of(word: str, allowed: Iterable[str]) -> str:
    """Return the end of a complaint about an unknown word: a suggestion, and all allowed words."""
    choices = list(allowed)
    return f"{did_you_mean(word, choices)} allowed: {', '.join(choices)}"


def spec_error(
    model: type[BaseModel],
    source: str | Path,
    document: Document,
    error: ValidationError | None = None,
) -> SpecError:
    """Return one error that lists every problem in the order of the file.

    :param source: the file, or what else the spec came from.
    :param document: the document that was validated.
    :param error: the error of validation; None if only reading the document found problems.
    """
    problems = list(document.problems)
    reported = {(problem.line, problem.place[-1:]) for problem in problems}
    for problem in explain(model, document.value, error) if error else ():
        problem.line = document.line(problem.place)
        # A value that reading has refused is missing from the document, so validation only complains about its absence.
        if problem.line is None or (problem.line, problem.place[-1:]) not in reported:
            problems.append(problem)
    problems.sort(key=lambda problem: problem.line or 0)
    lines = [render(problem) for problem in problems[:MOST]]
    if len(problems) > MOST:
        lines.append("… and more")
    return SpecError(lines, source)


def explain(model: type[BaseModel], values: Any, error: ValidationError) -> list[Problem]:
    """Return all problems of the values of a spec or section, in plain words.

    Pydantic checks a section as a whole, and against other sections, only once all its parts are right. So wrong values
    are removed and the rest is validated again, until no new problem appears.
    """
    problems: list[Problem] = []
    removed: list[Place] = []
    while True:
        fresh = [problem for problem in _problems(error, model) if _is_news(problem, problems, removed)]
        problems += fresh
        if not fresh or len(problems) > MOST:
            return problems
        removed = [_outside_lists(problem.place) for problem in problems]
        for place in removed:
            values = _without(values, place)
        try:
            model.model_validate(values)
        except ValidationError as again:
            error = again
        else:
            return problems


def _is_news(problem: Problem, earlier: list[Problem], removed: list[Place]) -> bool:
    # A complaint about a value that is missing because it was removed before is no news.
    return problem not in earlier and not any(
        place[: len(problem.place)] == problem.place for place in removed
    )


def _outside_lists(place: Place) -> Place:
    return tuple(takewhile(lambda part: isinstance(part, str), place))


def _without(values: Any, place: Place) -> Any:
    if not isinstance(values, dict) or not place or place[0] not in values:
        return values
    rest = {key: value for key, value in values.items() if key != place[0]}
    if place[1:] and isinstance(inner := values[place[0]], dict):
        return {**rest, place[0]: _without(inner, place[1:])}
    return rest


def _problems(error: ValidationError, model: type[BaseModel]) -> Iterator[Problem]:
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details if detail["loc"]]
    unions = {loc[:-1] for loc in places if _ALTERNATIVE.fullmatch(str(loc[-1]))}
    alternatives: dict[Place, list[str]] = {}
    for detail in details:
        place = tuple(part for part in detail["loc"] if part not in _NO_KEYS)
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, Problems):
            yield from (Problem((*place, *below), text) for below, text in cause.complaints)
        elif cause is not None:
            yield Problem(place, str(cause))
        elif detail["loc"][:-1] in unions and _is_alternative(detail["loc"][-1]):
            sentences = alternatives.setdefault(place[:-1], [])
            sentences.append(_sentence(detail, place[:-1], model))
        elif not _follows(detail):
            yield Problem(place, _sentence(detail, place, model))
    for place, sentences in alternatives.items():
        yield Problem(place, "; or ".join(dict.fromkeys(sentences)))


def _is_alternative(part: str | int) -> bool:
    return part in _TYPES or bool(_ALTERNATIVE.fullmatch(str(part)))


def _follows(detail: ErrorDetails) -> bool:
    # Errors that only follow from others: pydantic leaves wrong entries out, and then says that a list is too short or
    # that a name could not be derived.
    return detail["type"] == "default_factory_not_called" or (
        detail["type"] == "too_short" and bool(detail["input"])
    )


def render(problem: Problem) -> str:
    """Return a problem as one line: the place and what is wrong."""
    where = [f"line {problem.line}"] if problem.line else []
    if problem.place:
        where.append(dotted(problem.place))
    return ": ".join([*([", ".join(where)] if where else []), problem.text])


def dotted(place: Place) -> str:
    """Return a place as people write it, e.g. ``train.candidates[1].search``."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]+(\.[\w-]+)*", part):
            text += f".{shorten(part)}"
        else:
            text += f"[{shorten(repr(part))}]"
    return text.removeprefix(".")


def keys(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return a section's keys as a file spells them, with the section that is the key's value, or None."""
    return {field.alias or name: _section(field.annotation) for name, field in model.model_fields.items()}


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for part in get_args(annotation) if (section := _section(part))), None)


def _sentence(detail: ErrorDetails, place: Place, model: type[BaseModel]) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return f"is required{_meaning(place, model)}"
    if kind == "extra_forbidden":
        return _unknown_key(place, model)
    if value is None and place:
        return "is empty; give it a value, or leave the key out"
    if kind in {"enum", "literal_error"}:
        choices = [text or number for text, number in re.findall(r"'([^']*)'|(\d+)", context["expected"])]
        return f"cannot be {_shown(value)}{one_of(str(value), choices)}"
    if kind in {"model_type", "model_attributes_type"}:
        allowed = ", ".join(keys(_at(place, model) or model))
        return f"must be a mapping, not {describe(value)}; its keys: {allowed}"
    if kind == "tuple_type" and isinstance(value, str):
        return f"must be a list, not {describe(value)}; write [{shorten(value)}]"
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}, not {_shown(value)}"
    return _KINDS[kind](value) if kind in _KINDS else f"{detail['msg']}, not {describe(value)}"


_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}

_KINDS: Mapping[str, Callable[[Any], str]] = {
    "string_type": lambda value: f"must be text, not {describe(value)}",
    "bool_type": lambda value: f"must be true or false, not {describe(value)}",
    "bool_parsing": lambda value: f"must be true or false, not {describe(value)}",
    "int_type": lambda value: f"must be a whole number, not {describe(value)}",
    "float_type": lambda value: f"must be a number, not {describe(value)}",
    "finite_number": lambda value: f"must be a finite number, not {value}",
    "tuple_type": lambda value: f"must be a list, not {describe(value)}",
    "list_type": lambda value: f"must be a list, not {describe(value)}",
    "dict_type": lambda value: f"must be a mapping, not {describe(value)}",
    "too_short": lambda value: "must not be empty",
    "invalid_key": lambda value: "a key must be text",
}


def _shown(value: Any) -> str:
    return (
        shorten(repr(value))
        if isinstance(value, str | float)
        else describe(value).removeprefix("the number ")
    )


def _at(place: Place, model: type[BaseModel]) -> type[BaseModel] | None:
    section: type[BaseModel] | None = model
    for part in place:
        if section and isinstance(part, str):
            by_name = {name: _section(field.annotation) for name, field in section.model_fields.items()}
            section = (by_name | keys(section)).get(part)
    return section


def _meaning(place: Place, model: type[BaseModel]) -> str:
    section, last = _at(place[:-1], model), place[-1]
    for name, field in section.model_fields.items() if section else ():
        if last in (field.alias, name) and field.description:
            return f": {field.description}"
    return ""


def _unknown_key(place: Place, model: type[BaseModel]) -> str:
    section, key = _at(place[:-1], model) or model, str(place[-1])
    allowed = keys(section)
    by_name = {name: field.alias for name, field in section.model_fields.items() if field.alias}
    if key in by_name:
        return f"is no key; did you mean {by_name[key]!r}? allowed: {', '.join(allowed)}"
    homes = [dotted(home) for home in _places(key, model)]
    if homes and not get_close_matches(key, allowed, cutoff=0.8):
        return f"is no key here; did you mean {' or '.join(homes)}? allowed here: {', '.join(allowed)}"
    return f"is no key{one_of(key, allowed)}"


def _places(key: str, model: type[BaseModel], above: Place = ()) -> Iterator[Place]:
    for name, section in keys(model).items():
        if name == key:
            yield (*above, name)
        if section:
            yield from _places(key, section, (*above, name))
