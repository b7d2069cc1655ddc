"""The performance policy: checks of predictions in production, and of their labels, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.performance import Judgement, Measured
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS, number, signed

USUAL = 6
"""Number of earlier partitions whose median number of predictions counts as usual."""
_LEAST_USUAL = 2


def worse_by(metric: str, value: float, other: float) -> float:
    """Return how much worse a value of a metric is than another value; negative if it is better."""
    return other - value if metric_of(metric).greater_is_better else value - other


def labels(
    *, due: int, labelled: int, contradictory: int, unknown: int, watermark: datetime | None, least: float
) -> Check:
    """Check the labels themselves: that none contradict each other, and that few of those that are due are missing.

    :param due: number of predictions whose label should be known by now.
    :param labelled: number of these predictions that have a label.
    :param contradictory: number of predictions whose labels contradict each other.
    :param unknown: number of labels that belong to no prediction.
    :param watermark: event time before which no prediction lacks its label; None if unknown.
    :param least: share of the due predictions that must have a label.
    """
    coverage = labelled / due if due else None
    clauses = [
        f"{labelled:,} of the {due:,} predictions that are due have a label",
        f"complete before {watermark:%Y-%m-%d %H:%M} UTC" if watermark else "",
        f"{contradictory:,} have labels that contradict each other and are set aside: correct the data, or delete the wrong ones from the table of labels"
        if contradictory
        else "",
        f"{unknown:,} labels belong to no prediction" if unknown else "",
    ]
    verdict = INCONCLUSIVE if coverage is None or coverage < least or contradictory else PASS
    return Check(
        name="labels",
        verdict=verdict,
        expected=f"coverage >= {least:g}, no contradictions",
        observed=coverage,
        n=due,
        reason="; ".join(part for part in clauses if part),
    )


def baseline(
    metric: str,
    measured: Measured | None,
    naive: float | None,
    margin: float,
    least: int,
    *,
    gone: str = "the training labels are gone",
) -> Check:
    """Check that the champion is better than a constant prediction by a margin.

    :param measured: the champion's metric; None if it was not measured.
    :param naive: the metric of the constant prediction; None if the training labels are gone.
    :param least: number of labelled rows that a verdict needs.
    :param gone: why there is no constant, if there is none.
    """
    expected = f"better than a constant prediction by > {margin:g}"
    value = measured.value if measured else None
    rows = measured.n if measured else 0
    if value is None or naive is None or rows < least:
        verdict = INCONCLUSIVE
        missing = f"{metric} could not be measured" if value is None else gone
        reason = (
            f"{counted(rows, 'row')} with matured labels; {least} are needed" if rows < least else missing
        )
    else:
        gain = -worse_by(metric, value, naive)
        verdict = PASS if gain > margin else FAIL
        better = f"{signed(gain)} better than" if gain else "no better than"
        reason = f"{metric} {number(value)} is {better} the {number(naive)} of a constant"
    return Check(
        name="baseline",
        verdict=verdict,
        expected=expected,
        observed=value,
        baseline=naive,
        interval=measured.interval if measured else None,
        n=rows,
        reason=reason,
    )


def estimate_error(metric: str, judged: Sequence[Judgement], least: int = 1) -> Check:
    """Compare the metric that was estimated before labels came with the metric measured on them.

    FAIL if the intervals of the newest pair do not overlap, so that the estimate cannot be trusted.

    :param judged: the latest judgement of each partition with its estimates, the newest first.
    :param least: number of labels that a partition needs to count.
    """
    pairs = [
        (judgement.estimates[metric], judgement.metrics[metric])
        for judgement in judged
        if metric in judgement.estimates
        and metric in judgement.metrics
        and judgement.metrics[metric].n >= least
    ]
    gaps = [
        abs(guess.value - truth.value)
        for guess, truth in pairs
        if guess.value is not None and truth.value is not None
    ]
    expected = "the intervals of estimate and measured value meet"
    if not gaps:
        return Check(
            name="estimate.error",
            verdict=INCONCLUSIVE,
            expected=expected,
            n=0,
            reason="no partition has both an estimate and enough labels yet",
        )
    guess, truth = pairs[0]
    apart = guess.interval and truth.interval and not _meet(guess.interval, truth.interval)
    bounded = guess.interval and truth.interval
    verdict = INCONCLUSIVE if not bounded else FAIL if apart else PASS
    mean = sum(gaps) / len(gaps)
    reason = (
        f"{metric} was estimated as {number(guess.value)} and turned out as {number(truth.value)}; off by {mean:.4g} on "
        f"average of {counted(len(gaps), 'partition')}"
    )
    return Check(
        name="estimate.error",
        verdict=verdict,
        expected=expected,
        observed=mean,
        baseline=gaps[0],
        n=len(gaps),
        reason=reason if not apart else f"{reason}: do not rely on the estimate",
    )


def _meet(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def volume(count: int, before: Sequence[int], share: float | None) -> Check:
    """Compare the number of predictions with the median of the partitions before.

    :param before: number of predictions of up to :data:`USUAL` partitions before.
    :param share: least share of the median that passes, and 1 over it the largest; None allows any number.
    """
    usual = median(before) if len(before) >= _LEAST_USUAL else None
    if usual is None:
        verdict, expected = INCONCLUSIVE, f"{_LEAST_USUAL} partitions to compare with"
        reason = f"{counted(count, 'prediction')}; fewer than {_LEAST_USUAL} partitions before this one were scored"
    else:
        low, high = (usual * share, usual / share) if share is not None else (0, float("inf"))
        verdict = PASS if low <= count <= high else FAIL
        expected = "any" if share is None else f"{low:,.0f} to {high:,.0f}"
        reason = (
            f"{counted(count, 'prediction')}; the {len(before)} partitions before had {usual:,.0f} (median)"
        )
    return Check(
        name="volume",
        verdict=verdict,
        expected=expected,
        observed=count,
        baseline=usual,
        n=count,
        reason=reason,
    )


def latency(late: timedelta, longest: timedelta | None) -> Check:
    """Check how long after the end of its partition the last prediction was made.

    :param longest: longest time that passes; None allows any time, as for a backfill.
    """
    seconds = late.total_seconds()
    time = f"{late.days:,} days" if late.days > 1 else f"{seconds:,.0f} s"
    return Check(
        name="latency",
        verdict=PASS if longest is None or late <= longest else FAIL,
        expected="any" if longest is None else f"<= {longest.total_seconds():g} s",
        observed=seconds,
        reason=f"scored {time} after the end of the partition",
    )


def positives(called: int, n: int, usual: float | None) -> Check:
    """Tell which share of the predictions was put in the positive class; it decides nothing.

    :param called: number of predictions that were.
    :param n: number of predictions.
    :param usual: the share among the rows that the threshold was chosen on; None if it was chosen on none.
    """
    facts: dict[str, Any] = {"name": "positives", "expected": "any", "baseline": usual, "n": n}
    if not n:
        return Check(**facts, verdict=INCONCLUSIVE, reason="there are no predictions")
    before = "" if usual is None else f"; of the rows that the threshold was chosen on, {usual:.2%} were"
    reason = f"{called / n:.2%} of {n:,} predictions are of the positive class{before}"
    return Check(**facts, verdict=PASS, observed=called / n, reason=reason)


def feedback(positive: tuple[int, int], negative: tuple[int, int], least: int) -> Check:
    """Check that labels come for positive and negative predictions alike.

    If they do not, the champion's decisions probably select their own labels. Metrics on labels that exist only where the
    prediction was positive (a loan that was granted) say nothing about the other rows, and a model that is trained on them
    learns its own selection: Lakkaraju and others, The Selective Labels Problem (2017).

    :param positive: number of labelled predictions, and of all, among the due predictions of 0.5 or more.
    :param negative: the same numbers for the due predictions below 0.5.
    :param least: number of predictions of each kind that a verdict needs.
    """
    expected = "labels for both decisions"
    rows = positive[1] + negative[1]
    if min(positive[1], negative[1]) < least:
        verdict, reason = INCONCLUSIVE, f"fewer than {least} predictions of one decision are due"
        return Check(name="feedback", verdict=verdict, expected=expected, n=rows, reason=reason)
    shares = [labelled / all_ for labelled, all_ in (positive, negative)]
    few, many = sorted(shares)
    selected = many > 0 and few < many * _SELECTED
    reason = f"{shares[0]:.0%} of positive and {shares[1]:.0%} of negative predictions have a label"
    if selected:
        reason += ": the champion's own decisions seem to select its labels; label a random sample of both"
    return Check(
        name="feedback",
        verdict=FAIL if selected else PASS if many else INCONCLUSIVE,
        expected=expected,
        observed=shares[1],
        baseline=shares[0],
        n=rows,
        reason=reason,
    )


_SELECTED = 0.1
"""Labels count as selected if the share of labelled predictions of one decision is below this part of the other's."""


def as_estimate(check: Check, measured: Measured | None) -> Check:
    """Return the check of estimated metrics, named and explained as an estimate.

    :param measured: the estimated metric with its interval; None without an estimate.
    """
    changes = {
        "name": "estimate",
        "interval": measured.interval if measured else None,
        "reason": f"estimated without labels: {check.reason}",
    }
    return check.model_copy(update=changes)


def unknown(name: str, expected: str, reason: str, verdict: Verdict = INCONCLUSIVE) -> Check:
    """Return a check without a measured value, with the reason why there is none."""
    return Check(name=name, verdict=verdict, expected=expected, reason=reason)
