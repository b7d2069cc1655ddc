"""Performance in production: what was measured of predictions as their labels came, and what to make of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.performance import Judgement, Measured
from airflow_mlops.domain.metrics import METRICS
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS, number

USUAL = 6
"""Partitions before one that tell how many predictions are usual."""
_LEAST_USUAL = 2


def worse_by(metric: str, value: float, other: float) -> float:
    """Return how much worse a value of a metric is than another."""
    return other - value if METRICS[metric].greater_is_better else value - other


def labels(
    *, due: int, labelled: int, contradictory: int, unknown: int, watermark: datetime | None, least: float
) -> Check:
    """Judge the labels themselves: contradictions, and gaps in what should be there by now.

    :param due: predictions whose label should be known by now.
    :param labelled: those of them that have one.
    :param least: share that must have one.
    """
    coverage = labelled / due if due else None
    told = [
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
        reason="; ".join(part for part in told if part),
    )


def baseline(metric: str, found: Measured | None, naive: float | None, margin: float, least: int) -> Check:
    """Ask that the champion is better than a constant prediction by a margin."""
    expected = f"better than a constant prediction by > {margin:g}"
    value = found.value if found else None
    rows = found.n if found else 0
    if value is None or naive is None or rows < least:
        verdict = INCONCLUSIVE
        missing = f"{metric} could not be measured" if value is None else "the training labels are gone"
        reason = f"{rows:,} rows with matured labels; {least} are needed" if rows < least else missing
    else:
        gain = -worse_by(metric, value, naive)
        verdict = PASS if gain > margin else FAIL
        reason = f"{metric} {number(value)} is {gain:+.4g} better than the {number(naive)} of a constant"
    return Check(
        name="baseline",
        verdict=verdict,
        expected=expected,
        observed=value,
        baseline=naive,
        interval=found.interval if found else None,
        n=rows,
        reason=reason,
    )


def estimate_error(metric: str, judged: Sequence[Judgement], least: int = 1) -> Check:
    """Compare what was estimated before labels came with what they then said.

    FAIL if the intervals of the newest pair do not meet: the estimate is not to be trusted.

    :param judged: the latest judgement of each partition with its estimates, the newest first.
    :param least: labels below which a partition does not count.
    """
    pairs = [
        (each.estimates[metric], each.metrics[metric])
        for each in judged
        if metric in each.estimates and metric in each.metrics and each.metrics[metric].n >= least
    ]
    gaps = [
        abs(one.value - two.value) for one, two in pairs if one.value is not None and two.value is not None
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
    known = guess.interval and truth.interval
    verdict = INCONCLUSIVE if not known else FAIL if apart else PASS
    mean = sum(gaps) / len(gaps)
    reason = (
        f"{metric} was estimated as {number(guess.value)} and turned out as {number(truth.value)}; off by {mean:.4g} on "
        f"average of {len(gaps)} partition(s)"
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

    :param before: predictions of up to :data:`USUAL` partitions before.
    :param share: least share of the median, and 1 over it the largest; None for any.
    """
    usual = median(before) if len(before) >= _LEAST_USUAL else None
    if usual is None:
        verdict, expected = INCONCLUSIVE, f"{_LEAST_USUAL} partitions to compare with"
        reason = f"{count:,} predictions; fewer than {_LEAST_USUAL} partitions before this one were scored"
    else:
        low, high = (usual * share, usual / share) if share is not None else (0, float("inf"))
        verdict = PASS if low <= count <= high else FAIL
        expected = "any" if share is None else f"{low:,.0f} to {high:,.0f}"
        reason = f"{count:,} predictions; the {len(before)} partitions before had {usual:,.0f} (median)"
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
    """Judge how long after the end of its partition the last prediction was made.

    :param longest: None for any time, as for a backfill.
    """
    seconds = late.total_seconds()
    return Check(
        name="latency",
        verdict=PASS if longest is None or late <= longest else FAIL,
        expected="any" if longest is None else f"<= {longest.total_seconds():g} s",
        observed=seconds,
        reason=f"scored {seconds:,.0f} s after the end of the partition",
    )


def feedback(positive: tuple[int, int], negative: tuple[int, int], least: int) -> Check:
    """Ask whether labels come whatever was predicted: a hint at decisions that select their own labels.

    Metrics on labels that exist only where the prediction was positive (a loan that was granted) say nothing of the
    others, and a model that is trained on them learns its own selection: Lakkaraju and others, The Selective Labels
    Problem (2017).

    :param positive: labelled, and all, of the due predictions of 0.5 or more; ``negative`` those below.
    :param least: predictions of each kind below which nothing is said.
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


def as_estimate(check: Check, found: Measured | None) -> Check:
    """Mark the verdict on estimated metrics as that of an estimate."""
    changes = {
        "name": "estimate",
        "interval": found.interval if found else None,
        "reason": f"estimated without labels: {check.reason}",
    }
    return check.model_copy(update=changes)


def unknown(name: str, expected: str, reason: str, verdict: Verdict = INCONCLUSIVE) -> Check:
    """Say why a check could not be made."""
    return Check(name=name, verdict=verdict, expected=expected, reason=reason)
