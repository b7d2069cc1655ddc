"""The window of a training: how many partitions it learns from, or several of which the best is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from airflow_mlops.domain.spec.fields import MOST_PARTITIONS, too_many
from airflow_mlops.domain.spec.loading import describe
from airflow_mlops.domain.spec.problems import Problems

Span = Literal["all"] | int
"""A number of partitions, or ``all``."""
LEAST = 2
"""Fewest partitions of a window among several: its newest one says how good it is, and it learns from those before."""


def _window(value: Any) -> Any:
    spans_of = value if isinstance(value, list | tuple) else (value,)
    for span in spans_of:
        if type(span) is int and span > MOST_PARTITIONS:
            raise ValueError(too_many(span))
    if value == "all" or (type(value) is int and value >= 1):
        return value
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be all, or a number of partitions from 1, not {describe(value)}")
    Problems.raise_any(
        (
            (place,),
            f"must be all, or a number of partitions from {LEAST}: the newest one says how good the window is; not {describe(span)}",
        )
        for place, span in enumerate(value)
        if not (span == "all" or (type(span) is int and span >= LEAST))
    )
    if len(set(value)) < max(len(value), 2):
        raise ValueError("must have several windows to choose from, each once, such as [all, 3]")
    return tuple(sorted(value, key=lambda span: -_length(span)))


def _length(span: Span) -> float:
    return inf if span == "all" else span


Window = Annotated[
    int | Literal["all"] | tuple[Span, ...],
    PlainValidator(_window),
    PlainSerializer(lambda window: list(window) if isinstance(window, tuple) else window, return_type=Any),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "all"},
                {"type": "integer", "minimum": 1, "maximum": MOST_PARTITIONS},
                {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            {"const": "all"},
                            {"type": "integer", "minimum": LEAST, "maximum": MOST_PARTITIONS},
                        ]
                    },
                    "minItems": 2,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
"""How many partitions are trained on; several are kept longest first."""


def spans(window: Span | Sequence[Span]) -> tuple[Span, ...]:
    """Return the windows to choose from, the longest first; of a single one, that one."""
    return (window,) if isinstance(window, str | int) else tuple(window)


def of_text(window: str | int | Sequence[Span]) -> Span | tuple[Span, ...]:
    """Return the window that :func:`text` wrote, or that is one already.

    :raises ValueError: if it is none.
    """
    if isinstance(window, str) and window != "all":
        parts = [part.strip() for part in window.split(",")]
        numbers: list[Any] = [int(part) if part.isdecimal() else part for part in parts]
        window = numbers[0] if len(numbers) == 1 else numbers
    checked: Span | tuple[Span, ...] = _window(window)
    return checked


def text(window: Span | Sequence[Span]) -> str:
    """Return a window as one word for a template: ``all``, ``3`` or ``all,3``."""
    return ",".join(map(str, spans(window)))


def phrase(window: Span | Sequence[Span]) -> str:
    """Return a window in words."""
    several = spans(window)
    if len(several) == 1:
        return str(several[0])
    return f"{', '.join(map(str, several[:-1]))} or {several[-1]}, whichever predicts the newest training partition best"
