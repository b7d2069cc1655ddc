"""Nearest: how far a column is from the nearest of several references, each of which the champion is known to do well on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from airflow_mlops.domain.policies.drift import Measure
from airflow_mlops.learning.summaries import distance
from airflow_mlops.learning.summaries.summary import Column


class Nearest(NamedTuple):
    """A column beside the nearest reference.

    :param measures: of its values, and of its shares of rows without one.
    :param column: its summary in the reference whose values are nearest.
    """

    measures: tuple[Measure, ...]
    column: Column


def measure(name: str, references: Mapping[str, Column], now: Column, *, min_rows: int) -> Nearest:
    """Measure how far a column is from what is nearest to it of its references.

    A distance is the least of all. Its p-value is the largest: if the data is as in one of the references, whichever that is, the
    largest is at least the one that is measured against it, so that the chance of a false alarm is no larger than against it alone
    (an intersection-union test: Berger, *Technometrics* 24, 1982).

    :param references: summaries of the column by the name of what they are of, the training data first.
    :param min_rows: as for :func:`airflow_mlops.learning.summaries.distance.measure`.
    """
    by_reference = {
        reference: {each.part: each for each in distance.measure(name, column, now, min_rows=min_rows)}
        for reference, column in references.items()
    }
    first = next(iter(references))
    measured = [reference for reference, parts in by_reference.items() if parts[""].distance is not None] or [
        first
    ]
    parts = dict.fromkeys(part for reference in measured for part in by_reference[reference])
    measures = []
    for part in parts:
        # A reference without such a measure has no row of the kind, as there is none now.
        if all(part in by_reference[reference] for reference in measured):
            measures.append(_least({reference: by_reference[reference][part] for reference in measured}))
    closest = min(measured, key=lambda reference: _far(by_reference[reference][""]))
    return Nearest(tuple(measures), references[closest])


def _least(measures: Mapping[str, Measure]) -> Measure:
    nearest = min(measures, key=lambda reference: _far(measures[reference]))
    measure = measures[nearest]
    if len(measures) == 1:
        return measure
    p_values = [each.p for each in measures.values() if each.p is not None]
    reason = f"{measure.reason} from {nearest}, the nearest of {len(measures)} references"
    return measure.model_copy(update={"p": max(p_values, default=None), "reason": reason})


def _far(measure: Measure) -> float:
    return float("inf") if measure.distance is None else measure.distance
