"""Each class of a classifier on its own: whether it reaches its floor, and whether it is worse than under the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.policies import gates, gates_classes
from airflow_mlops.learning.statistics import decisions, resampling
from airflow_mlops.learning.statistics.statistic import statistic

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.spec.class_gates import ClassGates
    from airflow_mlops.learning.statistics.resampling import Resampled
    from airflow_mlops.learning.statistics.slices import Judged


def floors(gate: ClassGates, judged: Judged, classes: Sequence[str]) -> list[Check]:
    """Judge each class by its floors.

    A class fails if it is shown to be below its floor, by Holm's correction for all classes and measures: without it, one of
    twenty good classes would fail by chance. A class with few rows, or rows in few blocks of time, is INCONCLUSIVE.

    :param classes: in the order of their codes.
    """
    # A class that has floors of its own, and that no row and no model knows, is a class without rows.
    classes = [*classes, *(name for name in gate.named if name not in classes)]
    bounds = [
        (code, measure, bound)
        for code, name in enumerate(classes)
        for measure, bound in {**gate.floor, **gate.named.get(name, {})}.items()
    ]
    drawn = _resampled(judged, judged.predicted, [(code, measure) for code, measure, _ in bounds])
    estimates = [drawn.estimate(place) for place in range(len(bounds))]
    chances = [estimate.chance(bound, -1) for (_, _, bound), estimate in zip(bounds, estimates, strict=True)]
    shown = gates.holm(chances, 1 - gate.confidence)
    rows = _rows(judged, classes)
    return [
        gates_classes.floor(
            measure,
            classes[code],
            estimate.value,
            bound,
            interval=estimate.interval(gate.confidence, 0, 1),
            shown=beyond,
            n=rows[code],
            least=gate.min_rows,
        )
        for (code, measure, bound), estimate, beyond in zip(bounds, estimates, shown, strict=True)
    ]


def losses(
    gate: ClassGates,
    judged: Judged,
    champion: np.ndarray,
    classes: Sequence[str],
    rule: DecisionRule = HALF,
) -> list[Check]:
    """Compare each class with what it is under the champion: on the same rows, and the same draws of their blocks.

    A class fails if it is shown to have lost more than allowed, by Holm's correction for all classes and measures.

    :param champion: the champion's predictions, in the order of the same classes.
    :param rule: from which probability on the champion calls a row positive.
    """
    places = [(code, measure) for code in range(len(classes)) for measure in gate.loss]
    sides = ((judged.predicted, judged.rule), (champion, rule))
    both = [_statistics(judged, *side, places) for side in sides]
    drawn = resampling.resample([*both[0], *both[1]], judged.blocks.count)
    lost = [drawn.difference(place + len(places), place) for place in range(len(places))]
    shown = gates.holm(
        [estimate.chance(gate.loss[measure]) for (_, measure), estimate in zip(places, lost, strict=True)],
        1 - gate.confidence,
    )
    rows = _rows(judged, classes)
    return [
        gates_classes.loss(
            measure,
            classes[code],
            drawn.estimate(place).value,
            drawn.estimate(place + len(places)).value,
            gate.loss[measure],
            interval=lost[place].interval(gate.confidence),
            shown=shown[place],
            n=rows[code],
            least=gate.min_rows,
        )
        for place, (code, measure) in enumerate(places)
    ]


def _resampled(judged: Judged, predicted: np.ndarray, places: Sequence[tuple[int, str]]) -> Resampled:
    return resampling.resample(_statistics(judged, predicted, judged.rule, places), judged.blocks.count)


def _statistics(
    judged: Judged, predicted: np.ndarray, rule: DecisionRule, places: Sequence[tuple[int, str]]
) -> list[resampling.Statistic]:
    """Return measures of classes against the rest: of the rows that are of a class, and those that are put in it."""
    chosen = decisions.chosen(predicted, rule)
    return [
        statistic(measure, judged.truth == code, chosen == code, judged.blocks, weights=judged.weights)
        for code, measure in places
    ]


def _rows(judged: Judged, classes: Sequence[str]) -> list[int]:
    return [int((judged.truth == code).sum()) for code in range(len(classes))]
