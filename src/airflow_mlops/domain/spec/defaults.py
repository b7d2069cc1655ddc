"""Defaults by their edition: a spec keeps those that it was written with, until it names newer ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.section import Section

NEWEST = 2
"""The newest edition of the defaults, which new specs are written with."""
SECOND: Mapping[Place, Any] = {
    # The tests of a whole stream share one error budget, so that a single FAIL is no chance.
    ("monitor", "performance", "chance"): 0.05,
    # Seasons and trends that the champion does well on are no news.
    ("monitor", "drift", "reference"): "seen",
    ("gates", "versus_champion", "evidence"): "adds_up",
    ("gates", "versus_champion", "rescue"): {},
    ("gates", "versus_champion", "more_data"): 2,
    ("train", "window"): ["all", 4, 2],
    ("train", "recalibrate"): True,
    ("retrain", "when"): {"performance": "1 of 1", "growth": 4},
    ("retrain", "again"): "growing",
    ("retrain", "budget"): "3 of 8",
}
"""Values of the second edition, by the place of a key that a spec leaves out; a key that it has is left alone, with its parts."""
_BESIDE: Mapping[Place, Place] = {("retrain", "budget"): ("retrain", "when")}
"""Keys that are set only beside another one of the edition: who names the rules says how often, too."""
_OF_TASK: Mapping[Place, Task] = {("train", "recalibrate"): Task.CLASSIFICATION}
"""The task that a value is for, where it is not for any."""
_OF_CHAMPION: Mapping[Place, str] = {("monitor", "drift", "reference"): "train"}
"""The section that a kind of spec needs besides, as only a champion of ours has training data."""
_ELSEWHERE = ("train", "retrain")
"""Sections that say how models are trained here, which a spec of models that are trained elsewhere must not."""


def filled(values: Mapping[str, Any], sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a spec with those of the edition that it names in ``defaults``; any mistakes in them are left there.

    :param values: in the form of YAML, or of Python, where sections may be objects.
    :param sections: keys that the kind of spec has.
    """
    if values.get("defaults") != NEWEST:
        return dict(values)
    train = values.get("train")
    elsewhere = train.get("elsewhere") if isinstance(train, Mapping) else getattr(train, "elsewhere", None)
    whole = dict(values)
    for place, value in SECOND.items():
        beside, task = _BESIDE.get(place), _OF_TASK.get(place)
        if (beside and _at(values, beside) is not None) or task not in (None, values.get("task")):
            continue
        needs = {place[0], _OF_CHAMPION.get(place, place[0])}
        if needs <= set(sections) and not (elsewhere and place[0] in _ELSEWHERE):
            whole = _put(whole, place, value)
    return whole


def _put(values: Any, place: Place, value: Any) -> Any:
    """Return values with one more, where its place is free."""
    values = _written(values)
    key, *rest = place
    if not isinstance(values, Mapping) or (not rest and key in values):
        return values
    return {**values, key: _put(values.get(key, {}), tuple(rest), value) if rest else value}


def newer(spec: Section) -> dict[str, Any]:
    """Return the values that a spec of an older edition would get from the newest one, by the place of their key.

    What the spec says itself stays as it is.
    """
    written = _written(spec)
    if written.get("defaults") == NEWEST:
        return {}
    upgraded = filled({**written, "defaults": NEWEST}, type(spec).model_fields)
    return {
        ".".join(map(str, place)): value
        for place, value in SECOND.items()
        if _at(upgraded, place) == value and _at(written, place) != value
    }


def _at(values: Any, place: Place) -> Any:
    for key in place:
        values = _written(values)
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _written(values: Any) -> Any:
    return (
        values.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if isinstance(values, Section)
        else values
    )
