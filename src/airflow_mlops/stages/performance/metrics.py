"""Metrics of predictions whose labels are known, with confidence intervals, on all rows and by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.facts.performance import CONFIDENCE, Measured
from airflow_mlops.domain.metrics import measured as metrics_of
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.predictions import INTERVAL
from airflow_mlops.domain.spec.costs import CostMatrix, Costs
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.statistics import coverage, measures, resampling
from airflow_mlops.learning.statistics.statistic import statistic

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_MOST_SLICES = 100
_MISSING = "missing"


def measured(
    rows: pa.Table, coding: Coding, event_time: str, grain: str, metrics: Sequence[str]
) -> dict[str, Measured]:
    """Measure metrics with confidence intervals, by the bootstrap over blocks of time.

    :param rows: rows as :func:`airflow_mlops.learning.labels.join.join` returns them, all with a label.
    :param coding: how their labels are compared with the predictions.
    :param grain: length of a partition; a block is one step below.
    """
    (truth, predicted), weights = coding.arrays(rows), coding.weights_of(rows)
    times = rows[event_time].cast("timestamp[us]").to_numpy()
    blocks = resampling.blocks(times, "auto", grain)
    statistics = [statistic(name, truth, predicted, blocks, coding.decision, weights) for name in metrics]
    drawn = resampling.resample(statistics, blocks.count)
    measurements = {}
    for place, name in enumerate(metrics):
        metric = metric_of(name)
        interval = drawn.estimate(place).interval(CONFIDENCE, metric.low, metric.high)
        low, high = interval or (None, None)
        measurements[name] = Measured(
            value=measures.measure(name, truth, predicted, rule=coding.decision, weights=weights),
            low=low,
            high=high,
            n=truth.size,
        )
    return measurements


def every(rows: pa.Table, coding: Coding, event_time: str, grain: str, metric: str) -> dict[str, Measured]:
    """Measure the standard metrics of a task, the one that models are ranked by, what mistakes cost, and bounds of predictions.

    There are none without rows.
    """
    if not rows.num_rows:
        return {}
    names = coding.measurable(metrics_of(coding.task, [metric, *([COST] if coding.decision.costs else [])]))
    metrics = measured(rows, coding, event_time, grain, names)
    return metrics | bounds(rows, coding, event_time, grain)


def bounds(rows: pa.Table, coding: Coding, event_time: str, grain: str) -> dict[str, Measured]:
    """Measure the bounds of predictions with confidence intervals; there are none where not every row has bounds."""
    low, high = INTERVAL
    if not {low, high} <= {*rows.column_names} or not rows.num_rows or rows[low].null_count:
        return {}
    times = rows[event_time].cast("timestamp[us]").to_numpy()
    blocks = resampling.blocks(times, "auto", grain)
    ends = rows[low].to_numpy(), rows[high].to_numpy()
    of_bounds = coverage.measured(coding.labels(rows), *ends, blocks, CONFIDENCE)
    measurements = {}
    for name, value in of_bounds.values.items():
        first, last = of_bounds.intervals.get(name, (None, None))
        measurements[name] = Measured(value=value, low=first, high=last, n=rows.num_rows)
    return measurements


def naive(
    rows: pa.Table,
    coding: Coding,
    prior: float | None,
    shares: Mapping[str, float],
    metric: str,
) -> dict[str, float | None]:
    """Return the metrics of a constant prediction; there are none without rows or without the constant.

    :param rows: all with a label.
    :param prior: the constant: the share of label 1, or the mean label, in the training data; None if it is
        not known.
    :param shares: the constant of more than two classes: the share of each in the training data; empty if it is not known.
    """
    truth = coding.labels(rows)
    predicted = constant(truth.size, coding, prior, shares)
    if predicted is None:
        return {}
    rule, weights = at_once(coding), coding.weights_of(rows)
    measurements = measures.metrics(truth, predicted, coding.task, [metric], rule=rule, weights=weights)
    return {name: measurements[name] for name in coding.measurable(measurements)}


def constant(
    size: int, coding: Coding, prior: float | None, shares: Mapping[str, float]
) -> np.ndarray | None:
    """Return a constant prediction of rows, in the form that the measures take; None without rows or without the constant.

    :param size: number of rows.
    :param prior: see :func:`naive`, as for ``shares``.
    """
    import numpy as np

    if not size or (prior is None and not shares):
        return None
    if coding.many and not shares and prior is not None:
        # Labels have more classes by now than the two of the version.
        shares = dict(zip(coding.own, (1 - prior, prior), strict=True))
    if coding.many:
        return np.tile([shares.get(name, 0.0) for name in coding.judged], (size, 1))
    return np.full(size, prior)


def at_once(coding: Coding) -> DecisionRule:
    """Return what costs say to do about all rows alike that get a constant prediction."""
    return _at_once(coding.decision.costs, coding.own)


def _at_once(costs: Costs | CostMatrix | None, own: Sequence[str]) -> DecisionRule:
    """Return what costs say to do about all rows alike: a share is a probability that is right.

    Of more classes than two, of which a version may be from before the spec had costs of each pair, the most probable one is chosen.
    """
    if isinstance(costs, CostMatrix) and len(own) > len(BINARY):
        rows = [[cost for cost in row[: len(own)] if cost is not None] for row in costs.rows[: len(own)]]
        has_each_pair = all(len(row) == len(own) for row in rows)
        matrix = tuple(map(tuple, rows)) if has_each_pair else None
        return DecisionRule(costs=costs, matrix=matrix, places=tuple(range(len(own))))
    if isinstance(costs, Costs) and len(own) == len(BINARY):
        return DecisionRule(threshold=costs.threshold, costs=costs)
    return HALF


def slices(
    rows: pa.Table,
    coding: Coding,
    event_time: str,
    grain: str,
    metric: str,
    by: Sequence[str],
    least: int,
) -> dict[str, Measured]:
    """Measure a metric on each slice that has enough rows, by the slice's name, e.g. ``origin=JFK``.

    :param by: columns of the rows; each of their values is a slice.
    :param least: number of rows below which a slice is not measured.
    """
    import pyarrow.compute as pc

    measurements = {}
    for column in by:
        values = pc.fill_null(pc.cast(rows[column], "string"), _MISSING)
        counts = sorted(
            (value_count["values"], value_count["counts"])
            for value_count in pc.value_counts(values).to_pylist()
        )
        large = [(value, count) for value, count in counts if count >= least]
        for value, _ in sorted(large, key=lambda value_count: -value_count[1])[:_MOST_SLICES]:
            part = rows.filter(pc.equal(values, value))
            measurements[f"{column}={value}"] = measured(part, coding, event_time, grain, [metric])[metric]
    return dict(sorted(measurements.items()))
