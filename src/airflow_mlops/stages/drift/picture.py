"""A small picture of a drift: the columns with the largest distances, in training and now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Check
from airflow_mlops.learning.pictures import pictures
from airflow_mlops.learning.pictures.style import OURS, THEIRS, label_axes, legend, make_panels
from airflow_mlops.learning.summaries import categories
from airflow_mlops.learning.summaries.summary import Column, ColumnKind

if TYPE_CHECKING:
    import numpy as np

_PANELS = 3
_BARS = 6
_LONGEST = 22


def draw(title: str, columns: Mapping[str, tuple[Check, Column, Column]]) -> bytes | None:
    """Return a PNG of the three columns with the largest distances, at most 30 kB; None without columns.

    :param columns: measured columns by name: the check, the reference's summary, and the current summary.
    """
    worst = sorted(columns, key=lambda name: (-(columns[name][0].observed or 0.0), name))[:_PANELS]
    if not worst:
        return None
    figure, panels = make_panels(len(worst), width=2.9, height=2.4)
    for axes, name in zip(panels, worst, strict=True):
        check, before, now = columns[name]
        (_lines if before.kind is ColumnKind.NUMERIC else _bars)(axes, before, now)
        label_axes(axes, f"{_short(name)}: {check.observed:.2f}", "", "share of rows")
    legend(panels[0])
    figure.suptitle(_short(title, 90), fontsize=9)
    return pictures.png(figure)


def _lines(axes: Any, before: Column, now: Column) -> None:
    import numpy as np

    ends = np.concatenate([_quantiles(column, [0.005, 0.995]) for column in (before, now)])
    low, high = float(ends.min()), float(ends.max())
    if not low < high:
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, 31)
    for column, name, style in _sides(before, now):
        shares, _ = np.histogram(column.values, edges, weights=column.counts / column.present)
        axes.step(edges[:-1], shares, where="post", label=name, **style)


def _bars(axes: Any, before: Column, now: Column) -> None:
    import numpy as np

    labels, *counts = categories.together(before, now)
    shares = [side / side.sum() for side in counts]
    changed = np.argsort(-np.abs(shares[0] - shares[1]), kind="stable")[:_BARS]
    chosen = [place for place in changed.tolist() if shares[0][place] or shares[1][place]]
    for offset, share, (_, name, style) in zip((-0.2, 0.2), shares, _sides(before, now), strict=True):
        axes.bar(np.arange(len(chosen)) + offset, share[chosen], 0.4, label=name, color=style["color"])
    axes.set_xticks(range(len(chosen)), [_short(labels[place], 10) for place in chosen], rotation=30)


def _sides(before: Column, now: Column) -> tuple[tuple[Column, str, dict[str, Any]], ...]:
    return (before, "training", THEIRS), (now, "now", OURS)


def _quantiles(column: Column, ranks: list[float]) -> np.ndarray:
    import numpy as np

    ends = np.cumsum(column.counts)
    places = np.searchsorted(ends, np.array(ranks) * ends[-1], side="left")
    values: np.ndarray = column.values[np.minimum(places, len(column.values) - 1)]
    return values


def _short(text: str, most: int = _LONGEST) -> str:
    # Matplotlib reads text between two dollar signs as a formula.
    text = text.replace("$", r"\$")
    return text if len(text) <= most else f"{text[: most - 1]}…"
