"""Streams with a known truth: what the rows of each partition are like, and when what they mean changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Columns = dict[str, Any]
"""Features by name, and the target as ``y``."""
Draw = Callable[[np.random.Generator, float, int], Columns]
"""Draws rows of a partition: with random numbers, how much of the stream is over (0 up to 1), and how many rows."""

_WEIGHTS = np.array([1.2, -0.9, 0.7, 0.0, 0.5, -0.3])
_LATER = np.array([-0.4, 0.9, 0.7, 1.1, -0.5, 0.0])
_LAST = np.array([0.6, 0.3, -1.1, 0.9, 0.8, 0.4])
_KINDS = np.array(["a", "b", "c", "d"])
_EFFECTS = np.array([0.0, 0.6, -0.6, 0.3])


@dataclass(frozen=True)
class Stream:
    """A kind of stream.

    :param draw: its rows.
    :param changes: how much of the stream is over when a model that learned before becomes worse; empty if none ever does,
        None if all do all the time.
    :param held_out: whether it is looked at only once the defaults are chosen.
    :param rows: rows of a partition; 0 for as many as the stream may have.
    :param task: of the spec.
    :param spec: further keys of the spec.
    """

    name: str
    draw: Draw
    changes: tuple[float, ...] | None = ()
    held_out: bool = False
    rows: int = 0
    task: str = "classification"
    spec: Mapping[str, Any] = field(default_factory=dict)


def _features(random: np.random.Generator, count: int, mean: np.ndarray | float = 0.0) -> Columns:
    values = random.normal(mean, 1.0, (count, 6))
    return {
        **{f"x{place}": values[:, place] for place in range(6)},
        "kind": _KINDS[random.integers(0, 4, count)],
    }


def _signal(rows: Columns, weights: np.ndarray = _WEIGHTS) -> np.ndarray:
    """Return a sum of the features, of a product of two, and of what each kind adds."""
    values = np.column_stack([rows[f"x{place}"] for place in range(6)])
    signal: np.ndarray = (
        values @ weights + 0.6 * values[:, 0] * values[:, 1] + _EFFECTS[np.searchsorted(_KINDS, rows["kind"])]
    )
    return signal


def _labelled(random: np.random.Generator, rows: Columns, logits: np.ndarray) -> Columns:
    return {**rows, "y": random.random(logits.size) < 1 / (1 + np.exp(-logits))}


def quiet(random: np.random.Generator, over: float, count: int) -> Columns:
    """Nothing changes."""
    rows = _features(random, count)
    return _labelled(random, rows, _signal(rows) - 0.5)


def jumps(random: np.random.Generator, over: float, count: int) -> Columns:
    """The relation jumps twice; before, one column has moved for good; positives become rare, as scores do not say."""
    rows = _features(random, count, np.array([0, 0, 0, 0, 0, 1.5 * (over >= 0.25)]))
    weights = _WEIGHTS if over < 1 / 3 else _LATER if over < 2 / 3 else _LAST
    return _labelled(random, rows, _signal(rows, weights) - (0.5 if over < 1 / 3 else 2.0))


def slow(random: np.random.Generator, over: float, count: int) -> Columns:
    """The relation of a number drifts slowly."""
    rows = _features(random, count)
    return {
        **rows,
        "y": _signal(rows, (1 - over) * _WEIGHTS + over * _LATER) + random.normal(0, 1.0, count),
    }


def seasons(random: np.random.Generator, over: float, count: int, *, years: float) -> Columns:
    """A number and its features have seasons, of which the features do not tell all."""
    turn = 2 * np.pi * years * over
    rows = _features(random, count, np.array([np.sin(turn), 0, 0, 0, 0.7 * np.cos(turn), 0]))
    return {**rows, "y": _signal(rows) + 0.5 * np.sin(turn) + random.normal(0, 1.0, count)}


def broken(random: np.random.Generator, over: float, count: int) -> Columns:
    """A feature comes in another unit for a while, and later another one is missing for a while; both are mended."""
    rows = _features(random, count)
    labelled = _labelled(random, rows, _signal(rows) - 0.5)
    if 0.4 <= over < 0.55:
        labelled["x0"] = 1000 * labelled["x0"]
    if 0.7 <= over < 0.8:
        labelled["x1"] = np.where(random.random(count) < 0.9, np.nan, labelled["x1"])
    return labelled


def calibration_decays(random: np.random.Generator, over: float, count: int) -> Columns:
    """The order of rows stays, and how probable they are does not."""
    rows = _features(random, count)
    return _labelled(random, rows, (1 - 0.7 * over) * _signal(rows) - 0.5 - 1.5 * over)


def jump(random: np.random.Generator, over: float, count: int) -> Columns:
    """The relation jumps once."""
    rows = _features(random, count)
    return _labelled(random, rows, _signal(rows, _WEIGHTS if over < 0.5 else _LATER) - 0.5)


def covariates(random: np.random.Generator, over: float, count: int) -> Columns:
    """Features move, and the relation holds."""
    rows = _features(random, count, 1.5 * over * np.array([1, -1, 0.5, 1, 0, 0.5]))
    return _labelled(random, rows, _signal(rows) - 0.5)


def recurring(random: np.random.Generator, over: float, count: int) -> Columns:
    """Two relations take turns."""
    rows = _features(random, count)
    return _labelled(random, rows, _signal(rows, (_WEIGHTS, _LATER)[int(4 * over) % 2]) - 0.5)


def base_rate(random: np.random.Generator, over: float, count: int) -> Columns:
    """Positives become twice as common, whatever their features."""
    rows = _features(random, count)
    return _labelled(random, rows, _signal(rows) - (1.6 if over < 0.5 else 0.0))


def late(random: np.random.Generator, over: float, count: int) -> Columns:
    """The relation jumps; three labels in ten never come."""
    rows = jump(random, over, count)
    return {
        **rows,
        "y": [bool(label) if random.random() < 0.7 else None for label in rows["y"]],
    }


def heavy(random: np.random.Generator, over: float, count: int) -> Columns:
    """Forty features and a number with heavy tails; the relation jumps."""
    values = random.standard_t(3, (count, 40))
    weights = np.r_[_WEIGHTS if over < 0.5 else _LATER, np.zeros(34)]
    return {
        **{f"x{place}": values[:, place] for place in range(40)},
        "y": values @ weights + 2 * random.standard_t(3, count),
    }


def three(random: np.random.Generator, over: float, count: int) -> Columns:
    """Three classes, whose relation to the features jumps."""
    rows = _features(random, count)
    turned = (_WEIGHTS, _LATER, _LAST) if over < 0.5 else (_LAST, _WEIGHTS, _LATER)
    logits = np.column_stack([_signal(rows, weights) for weights in turned])
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    codes = (likely.cumsum(axis=1)[:, :-1] < random.random((count, 1))).sum(axis=1)
    return {**rows, "y": np.array(["bronze", "gold", "silver"])[codes]}
