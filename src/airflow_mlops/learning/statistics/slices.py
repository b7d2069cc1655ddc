"""Slices and groups: how a model does within parts of the data, and how far groups of people are apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.policies import gates, gates_parts
from airflow_mlops.domain.spec.gates import RATES
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.statistics import measures, resampling
from airflow_mlops.learning.statistics.resampling import Resampled
from airflow_mlops.learning.statistics.statistic import statistic

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import Fairness, Slices
    from airflow_mlops.learning.statistics.resampling import Blocks

MISSING = "missing"
"""What rows without a value are called."""
_MOST_NAMED = 5
_UNCORRECTED = 0.95


@dataclass(frozen=True)
class Judged:
    """Predictions, with the labels and rows that they are judged by.

    :param rows: the data, with the columns that parts are made by.
    :param truth: labels 0 and 1, or values.
    :param predicted: probability of label 1, or the predicted value; finite.
    :param blocks: rows that depend on each other.
    :param rule: from which probability on the version calls a row positive.
    :param weights: how much each row counts; None means that all count alike.
    """

    rows: pa.Table
    truth: np.ndarray
    predicted: np.ndarray
    blocks: Blocks
    rule: DecisionRule = HALF
    weights: np.ndarray | None = None

    def weights_of(self, chosen: np.ndarray) -> np.ndarray | None:
        """Return the weights of some of the rows."""
        return None if self.weights is None else self.weights[chosen]


class _Part(NamedTuple):
    """The rows that have one value in a column."""

    column: str
    value: str
    chosen: np.ndarray


def floors(gate: Slices, judged: Judged) -> tuple[list[Check], str]:
    """Judge each slice by its floors; return the checks, and the names of the slices that are too small to be judged.

    A slice fails if it is shown to be below its floor, by Holm's correction for all slices and metrics: without it, one
    of twenty good slices would fail by chance.

    :raises SchemaMismatch: if the data has no such column.
    """
    large, small = _parts("gates.slices", gate.by, judged.rows, gate.min_rows)
    measurements = [(part, metric) for part in large for metric in gate.floor]
    drawn = _measured(judged, measurements)
    estimates = [drawn.estimate(place) for place in range(len(measurements))]
    confidence = gate.confidence or _UNCORRECTED
    shown = gates.holm(
        [
            estimate.chance(gate.floor[metric], -1 if metric_of(metric).greater_is_better else 1)
            for (_, metric), estimate in zip(measurements, estimates, strict=True)
        ],
        1 - confidence,
    )
    checks = [
        gates_parts.slice_floor(
            metric,
            estimate.value,
            gate.floor[metric],
            interval=estimate.interval(confidence, metric_of(metric).low, metric_of(metric).high),
            shown=beyond,
            confidence=gate.confidence,
            n=part.chosen.size,
            part=f"{part.column}={part.value}",
        )
        for (part, metric), estimate, beyond in zip(measurements, estimates, shown, strict=True)
    ]
    return [*checks, *_unjudged("slices", gate.by, large, gate.min_rows, judged, 1)], small


def gaps(gate: Fairness, judged: Judged) -> tuple[list[Check], str]:
    """Compare every two groups by each measure; return the checks, and the names of the groups that are too small.

    A gap fails if two groups are shown to be further apart than allowed, by Holm's correction for all pairs and measures.

    :raises SchemaMismatch: if the data has no such column.
    """
    groups, small = _parts("gates.fairness", gate.by, judged.rows, gate.min_rows)
    many = judged.predicted.ndim > 1
    refused = [measure for measure in gate.gaps if many and measure in RATES]
    allowed = {measure: bound for measure, bound in gate.gaps.items() if measure not in refused}
    measurements = [(group, measure) for group in groups for measure in allowed]
    drawn = _measured(judged, measurements)
    # Both ways round: one of the two is the larger.
    pairs = [
        (high, low)
        for high, low in permutations(range(len(measurements)), 2)
        if (measurements[high][0].column, measurements[high][1])
        == (measurements[low][0].column, measurements[low][1])
    ]
    chances = [drawn.difference(*pair).chance(gate.gaps[measurements[pair[0]][1]]) for pair in pairs]
    shown = {
        pair for pair, beyond in zip(pairs, gates.holm(chances, 1 - gate.confidence), strict=True) if beyond
    }
    few = _unjudged("fairness", gate.by, groups, gate.min_rows, judged, 2)
    checks = []
    for column in gate.by:
        checks += [gates_parts.of_two_classes(measure, column) for measure in refused]
        for measure, bound in allowed.items():
            mine = [
                pair
                for pair in pairs
                if (measurements[pair[0]][0].column, measurements[pair[0]][1]) == (column, measure)
            ]
            if column not in {check.slice for check in few}:
                gap = _widest(drawn, measurements, mine, shown, gate)
                checks.append(gates_parts.fairness(measure, column, gap, bound))
    return [*checks, *few], small


def _widest(
    drawn: Resampled,
    measurements: Sequence[tuple[_Part, str]],
    pairs: Sequence[tuple[int, int]],
    shown: set[tuple[int, int]],
    gate: Fairness,
) -> gates_parts.Gap | None:
    """Return the pair that is furthest apart.

    Pairs that are shown to be too far apart come first, then those that seem so but whose error cannot be estimated.
    """
    measured = [pair for pair in pairs if drawn.difference(*pair).value is not None]
    if not measured:
        return None

    def rank(pair: tuple[int, int]) -> tuple[bool, bool, float]:
        difference = drawn.difference(*pair)
        size = difference.value or 0.0
        return pair in shown, difference.error is None and size > gate.gaps[measurements[pair[0]][1]], size

    high, low = pair = max(measured, key=rank)
    difference = drawn.difference(high, low)
    assert difference.value is not None
    return gates_parts.Gap(
        size=difference.value,
        interval=difference.interval(gate.confidence),
        shown=pair in shown,
        groups={measurements[place][0].value: float(drawn.values[place]) for place in pair},
        n=sum(measurements[place][0].chosen.size for place in pair),
    )


def _measured(judged: Judged, measurements: Iterable[tuple[_Part, str]]) -> Resampled:
    statistics = [
        statistic(
            measure,
            judged.truth[part.chosen],
            judged.predicted[part.chosen],
            judged.blocks.only(part.chosen),
            judged.rule,
            judged.weights_of(part.chosen),
        )
        for part, measure in measurements
    ]
    return resampling.resample(statistics, judged.blocks.count)


def _parts(gate: str, columns: Sequence[str], rows: pa.Table, least: int) -> tuple[list[_Part], str]:
    """Return the parts with enough rows, and the names of the others."""
    import numpy as np
    import pyarrow.compute as pc

    large: list[_Part] = []
    small: list[str] = []
    for column in columns:
        if column not in rows.column_names:
            raise SchemaMismatch(f"{gate}: the data has no column {column!r}; it has {rows.column_names}.")
        values = pc.fill_null(pc.cast(rows[column], "string"), MISSING)
        encoded = values.combine_chunks().dictionary_encode()
        codes, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
        counts = np.bincount(codes, minlength=len(names))
        for code in sorted(range(len(names)), key=names.__getitem__):
            if counts[code] >= least:
                large.append(_Part(column, names[code], np.flatnonzero(codes == code)))
            else:
                small.append(f"{column}={names[code]} ({counts[code]})")
    more = f" and {len(small) - _MOST_NAMED:,} more" if len(small) > _MOST_NAMED else ""
    return large, f"{', '.join(small[:_MOST_NAMED])}{more}"


def _unjudged(
    name: str, columns: Sequence[str], large: Sequence[_Part], least: int, judged: Judged, needed: int
) -> list[Check]:
    counts = {column: sum(part.column == column for part in large) for column in columns}
    return [
        gates_parts.not_judged(name, column, needed, least, judged.truth.size)
        for column, count in counts.items()
        if count < needed
    ]


def spans(judged: Judged, metric: str, by: Blocks, rows: int) -> dict[str, tuple[float, int]]:
    """Return a metric and the number of rows for each span of time that has enough of them.

    :param by: the spans of time.
    :param rows: least rows of a span that is judged.
    """
    import numpy as np

    measured = {}
    for code, name in enumerate(by.names):
        chosen = np.flatnonzero(by.codes == code)
        if chosen.size >= rows:
            value = measures.measure(
                metric,
                judged.truth[chosen],
                judged.predicted[chosen],
                rule=judged.rule,
                weights=judged.weights_of(chosen),
            )
            if value is not None:
                measured[name] = (value, int(chosen.size))
    return measured
