"""Words for values: one printable line, shares in per cent, numbers, intervals and times."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import TrainedModel


def line(value: str) -> str:
    """Return a text as one printable line: line breaks and signs that cannot be printed become blanks."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in value).split())


def percent(share: float) -> str:
    """Return a share in per cent; what is not quite none or all is not rounded to 0 or 100."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %"


def number(value: float | None) -> str:
    """Return a number in four significant digits, and None in words."""
    return "undefined" if value is None else f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.4g}"


def interval(limits: tuple[float, float] | None) -> str:
    """Return an interval in words; empty if there is none."""
    return f"{number(limits[0])} to {number(limits[1])}" if limits else ""


def moment(at: datetime) -> str:
    """Return a time as ``YYYY-MM-DD HH:MM``, which everyone reads alike."""
    return f"{at:%Y-%m-%d %H:%M}"


def learned(model: TrainedModel) -> str:
    """Say which rows a model has learned from, and of several windows in which."""
    window = f"{model.window.phrase}, " if model.window else ""
    return f"{window}{counted(model.split.train_rows, 'row')} before {model.split.cut:%Y-%m-%d}"


def windows(model: TrainedModel) -> str:
    """Say which of several windows a model has learned from, and how good each was; empty of a single one."""
    if (choice := model.window) is None:
        return ""
    if len(choice.scores) < 2:
        return f"{choice.phrase}: no shorter window has other rows yet"
    scores = ", ".join(
        f"{name} {'not measured' if score is None else number(score)}"
        for name, score in choice.scores.items()
    )
    measured = f"{model.metric} of each window on {choice.partition}, fitted to its rows before"
    return f"{choice.phrase}: {measured}: {scores}"
