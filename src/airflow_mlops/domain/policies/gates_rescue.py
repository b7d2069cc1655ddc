"""The rules ``rescue``, its fallback, and ``more_data``: where the better bet takes the champion's place, though nobody has proven it to be better.

It does where the champion fails, and where the candidate has learned from much more than it. Both errors cost something then: to
promote a model that is no better, and to keep one that is known to fail, or that is likely to be the worse of the two. So the one
that looks better takes its place, if it is shown to be not much worse, and to be worth something by itself.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.policies.gates import Comparison, number, signed

NAME, FALLBACK, MORE_DATA = "rescue", "rescue.fallback", "more_data"
"""Names of the checks that stand in place of ``versus_champion`` if they pass."""
TOLERATED, TOLERATED_SHARE = 0.01, 0.02
"""Loss that the interval may leave by default: of a metric with bounds, and as a share of the champion's value of others."""


class Losses(NamedTuple):
    """A proper score on the same rows, which is smaller where probabilities or values are better.

    :param constant: of the mean, or the share of each class, of the labels that the candidate was trained on; infinite where the
        candidate is this constant, which then need not be better.
    """

    name: str
    candidate: float | None
    champion: float | None
    constant: float | None


def rescue(
    metric: str,
    comparison: Comparison,
    losses: Losses,
    *,
    margin: float | None,
    confidence: float,
    because: str,
    n: int | None,
    name: str = NAME,
) -> Check:
    """Check that a candidate is the better bet than the champion.

    PASS if it measures better in the training metric and in a proper score, the interval of its improvement lies above
    ``-margin``, and it has less loss than a constant. By ``more_data`` it is enough to be better in one of the two scores: that it
    is the better one is likely before anything is measured, and one holdout tells two good models apart by little but noise.
    FAIL if it measures no better than that. INCONCLUSIVE if the interval leaves more than ``margin`` to lose, or if there are too
    few rows for one.

    :param comparison: with the interval of the improvement at ``confidence``.
    :param margin: loss that the interval may leave, in units of the metric; None for the default.
    :param because: why the better bet suffices, such as why the champion fails.
    :param name: of the check, :data:`NAME`, :data:`FALLBACK` or :data:`MORE_DATA`.
    """
    if margin is None:
        margin = _tolerated(metric, comparison.baseline)
    scores = (" or " if name == MORE_DATA else " and ").join(dict.fromkeys((metric, losses.name)))
    bar = "" if name == FALLBACK else ", better than a constant"
    verdict, reason = _bet(metric, comparison, losses, margin, either=name == MORE_DATA)
    return Check(
        name=name,
        verdict=verdict,
        expected=f"better in {scores}, improvement > {-margin:g} at {confidence:.0%}{bar}",
        observed=comparison.observed,
        baseline=comparison.baseline,
        interval=comparison.interval,
        n=n,
        reason=f"{reason}; {because}",
    )


def _tolerated(metric: str, baseline: float | None) -> float:
    named = metric_of(metric)
    if isfinite(named.low) and isfinite(named.high):
        return TOLERATED
    return TOLERATED_SHARE * abs(baseline or 0.0)


def _bet(
    metric: str, comparison: Comparison, losses: Losses, margin: float, *, either: bool
) -> tuple[Verdict, str]:
    if comparison.problem or comparison.observed is None or comparison.baseline is None:
        return Verdict.INCONCLUSIVE, comparison.problem or f"{metric} could not be measured for both models"
    if losses.candidate is None or losses.champion is None or losses.constant is None:
        return Verdict.INCONCLUSIVE, f"{losses.name} could not be measured for both models and a constant"
    gain = comparison.observed - comparison.baseline
    gain = gain if metric_of(metric).greater_is_better else -gain
    ours, theirs = number(losses.candidate), number(losses.champion)
    no_better = [f"improvement {signed(gain)} in {metric}: it is no better"] if gain <= 0 else []
    if losses.candidate >= losses.champion:
        no_better.append(f"{losses.name} {ours} is no better than the champion's {theirs}")
    if len(no_better) > either:
        return Verdict.FAIL, no_better[0]
    if losses.candidate >= losses.constant:
        constant = number(losses.constant)
        return Verdict.FAIL, f"{losses.name} {ours} is no better than that of a constant, {constant}"
    if comparison.interval is None:
        return Verdict.INCONCLUSIVE, f"improvement {signed(gain)}, but its interval could not be estimated"
    low = comparison.interval[0]
    if low <= -margin:
        return (
            Verdict.INCONCLUSIVE,
            f"improvement {signed(gain)}, but at worst {signed(low)}, below {-margin:g}",
        )
    return (
        Verdict.PASS,
        f"the better bet: improvement {signed(gain)}, at worst {signed(low)}, and {losses.name} {ours} against {theirs}",
    )
