"""The report of a replay: its facts as JSON, and a picture of quality over time and of what each policy did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.replay import ORACLE, Point, Replay
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.learning.pictures.style import DPI, PALETTE, REFERENCE, label_axes
from airflow_mlops.reporting.verdicts import COLOURS, Tone
from airflow_mlops.stages.replay.cache import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# They tell policies of the same colour apart.
_DASHES = ("-", "--", "-.")
_RED = COLOURS[Tone.BAD].terminal
_LABELS = 24


def write(replay: Replay, folder: Path) -> None:
    """Write ``replay.json`` and ``replay.png`` to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "replay.json", replay.to_dict())
    draw(replay).savefig(folder / "replay.png")


def draw(replay: Replay) -> Figure:
    """Draw the metric of each policy and partition above, and trainings, alarms and degraded partitions below."""
    from matplotlib.figure import Figure

    count = len(replay.points)
    width = min(14.0, 5 + 0.35 * len(replay.partitions))
    figure = Figure(figsize=(width, 4.0 + 0.5 * count), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, 0.55 * count + 0.4])
    _qualities(above, replay)
    _events(below, replay)
    places = range(0, len(replay.partitions), 1 + (len(replay.partitions) - 1) // _LABELS)
    below.set_xticks(list(places), [replay.partitions[place] for place in places], rotation=45, ha="right")
    figure.legend(
        *below.get_legend_handles_labels(), fontsize=8, frameon=False, ncols=5, loc="outside lower center"
    )
    return figure


def _qualities(axes: Any, replay: Replay) -> None:
    for place, (policy, points) in enumerate(replay.points.items()):
        style = {"color": PALETTE[place % len(PALETTE)], "linestyle": _DASHES[place // len(PALETTE) % 3]}
        scores = [point.quality.get(replay.metric) for point in points]
        axes.plot(_finite(scores), label=policy, linewidth=1.6, marker=".", **style)
    if replay.oracle:
        scores = [served.quality.get(replay.metric) for served in replay.oracle]
        axes.plot(_finite(scores), label=ORACLE, **{**REFERENCE, "color": "0.35"})
    if replay.metric in replay.floor:
        axes.axhline(replay.floor[replay.metric], color=_RED, linewidth=0.9, label="floor")
    label_axes(axes, f"{replay.model}: quality in hindsight", "", replay.metric)
    axes.legend(fontsize=8, frameon=False, ncols=3)


def _finite(scores: Sequence[float | None]) -> list[float]:
    return [float("nan") if score is None else score for score in scores]


def _events(axes: Any, replay: Replay) -> None:
    def mark(chosen: Any, offset: float, label: str, **style: Any) -> None:
        spots = [
            (place, row + offset)
            for row, points in enumerate(replay.points.values())
            for place, point in enumerate(points)
            if chosen(point)
        ]
        if spots:
            across, down = zip(*spots, strict=True)
            axes.scatter(across, down, label=label, **style)

    mark(
        lambda point: point.degraded,
        0,
        "below the floor",
        marker="s",
        s=220,
        color=_RED,
        alpha=0.25,
        linewidths=0,
    )
    mark(_promoted, 0, "promoted", marker="^", s=42, color=COLOURS[Tone.GOOD].terminal)
    mark(_refused, 0, "trained in vain", marker="x", s=32, color="0.3")
    mark(_failed("drift"), 0.3, "drift alarm", marker=".", s=36, color=COLOURS[Tone.WARN].terminal)
    mark(_failed("performance"), -0.3, "performance alarm", marker="d", s=18, color=_RED)
    axes.set_yticks(range(len(replay.points)), list(replay.points))
    axes.set_ylim(len(replay.points) - 0.5, -0.5)
    label_axes(axes, "", "", "")


def _promoted(point: Point) -> bool:
    return point.promoted


def _refused(point: Point) -> bool:
    return point.retrain and point.action not in (Action.PROMOTED, Action.CHALLENGING)


def _failed(check: str) -> Any:
    return lambda point: getattr(point, check) is Verdict.FAIL
