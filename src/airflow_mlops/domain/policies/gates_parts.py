"""Gates about parts of the data: slices, groups of people, spans of time. Pure functions of measured values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS, Interval, floor, number, span


def slice_floor(
    metric: str,
    observed: float | None,
    bound: float,
    *,
    interval: Interval | None,
    shown: bool,
    confidence: float | None,
    n: int,
    part: str,
) -> Check:
    """Check that the metric of a part of the data is not shown to be below its floor.

    :param interval: confidence interval of the metric for this part alone.
    :param shown: True if the value is below the floor beyond chance, corrected for the number of parts.
    :param confidence: confidence that a failure needs; None fails any measured value below the floor.
    :param part: the slice, as ``column=value``.
    """
    plain = floor(metric, observed, bound, metric_of(metric).greater_is_better, n, interval)
    if confidence is not None and plain.verdict is FAIL:
        verdict, why = _beyond_chance(interval, shown)
        plain = plain.model_copy(update={"verdict": verdict, "reason": plain.reason + why})
    return plain.model_copy(update={"slice": part})


def _beyond_chance(interval: Interval | None, shown: bool) -> tuple[Verdict, str]:
    """Return the verdict on a value on the wrong side of its bound, and the end of the sentence that explains it."""
    if interval is None:
        return INCONCLUSIVE, ", but its rows come from too few blocks of time to tell that from chance"
    if shown:
        return FAIL, f" (interval {span(interval)})"
    return PASS, f" (interval {span(interval)}), but that may be chance"


def not_judged(name: str, column: str, needed: int, rows: int, n: int) -> Check:
    """Return the inconclusive check of a column that has too few values with enough rows.

    :param needed: number of such values that a judgement needs.
    :param rows: number of rows that each of them needs.
    """
    values = "a value" if needed == 1 else f"{needed} values"
    return Check(
        name=name,
        verdict=INCONCLUSIVE,
        expected=f"{values} with {rows:,} rows",
        n=n,
        slice=column,
        reason=f"{column} has not {values} with {rows:,} rows: lower min_rows, hold out more, or leave the column out",
    )


def of_two_classes(measure: str, column: str) -> Check:
    """Return the inconclusive check of a rate that is not defined for more than two classes."""
    return Check(
        name=f"fairness.{measure}",
        verdict=INCONCLUSIVE,
        expected="a measure of many classes",
        slice=column,
        reason=f"{measure} is a rate of the positive one of two classes: name a metric, such as accuracy, or leave it out",
    )


@dataclass(frozen=True)
class Gap:
    """The largest difference between two groups.

    :param size: the larger value less the smaller one.
    :param interval: confidence interval of ``size``.
    :param shown: True if any two groups are further apart than allowed beyond chance, corrected for the number of pairs.
    :param groups: the two groups and their values, the larger one first.
    :param n: rows of both.
    """

    size: float
    interval: Interval | None
    shown: bool
    groups: Mapping[str, float]
    n: int


def fairness(measure: str, column: str, gap: Gap | None, bound: float) -> Check:
    """Check that no two groups are shown to be further apart than ``bound``.

    :param measure: metric or rate that is compared.
    :param gap: the two groups furthest apart; None if the measure is undefined for all groups but one.
    """
    name, expected = f"fairness.{measure}", f"gap <= {bound:g}"
    if gap is None:
        reason = f"{measure} is undefined for all groups of {column} but one: hold out more"
        return Check(name=name, verdict=INCONCLUSIVE, expected=expected, slice=column, reason=reason)
    (high, above), (low, below) = gap.groups.items()
    reason = f"{measure} is {number(above)} for {high} and {number(below)} for {low}: {number(gap.size)} apart, {bound:g} allowed"
    verdict = PASS
    if gap.shown or gap.size > bound:
        verdict, why = _beyond_chance(gap.interval, gap.shown)
        reason += why
    return Check(
        name=name,
        verdict=verdict,
        expected=expected,
        observed=gap.size,
        interval=gap.interval,
        n=gap.n,
        slice=column,
        reason=reason,
    )


def stability(
    metric: str, whole: float | None, spans: Mapping[str, tuple[float, int]], drop: float, rows: int
) -> Check:
    """Check that the metric of no span of time is more than ``drop`` worse than that of all rows.

    :param whole: the metric on all rows; None if it is undefined.
    :param spans: metric and number of rows of each span that is judged, by name.
    :param rows: number of rows that a span needs to be judged.
    """
    name, expected = f"stability.{metric}", f"loss <= {drop:g}"
    if whole is None or len(spans) < 2:
        reason = f"{metric} could not be measured in two spans of {rows} rows: lower min_rows, name a longer span, or hold out more"
        return Check(name=name, verdict=INCONCLUSIVE, expected=expected, observed=whole, reason=reason)
    sign = 1 if metric_of(metric).greater_is_better else -1
    worst = min(spans, key=lambda period: sign * spans[period][0])
    value, n = spans[worst]
    loss = sign * (whole - value)
    return Check(
        name=name,
        verdict=PASS if loss <= drop else FAIL,
        expected=expected,
        observed=value,
        baseline=whole,
        n=n,
        slice=worst,
        reason=f"the worst of {len(spans)} spans, {worst}, has {number(value)} where the whole has {number(whole)}: "
        f"{number(max(loss, 0.0))} worse, {drop:g} allowed",
    )
