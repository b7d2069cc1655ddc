"""Gates: the conditions that a candidate must pass. Each is a pure function of measured values that returns one check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.metrics import metric_of

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE

Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """A metric of a candidate and of the champion, on the same rows.

    :param observed: the candidate's metric; None if it is undefined on these rows.
    :param baseline: the champion's metric; None if it is undefined on these rows.
    :param interval: confidence interval of the improvement, which is positive if the candidate is better.
    :param how: the method behind the interval, in words.
    :param problem: why there is no interval, or why the two cannot be compared at all, and what to do; "" without a
        problem.
    """

    observed: float | None
    baseline: float | None
    interval: Interval | None = None
    how: str = ""
    problem: str = ""


def floor(
    name: str,
    observed: float | None,
    bound: float,
    greater_is_better: bool,
    n: int | None,
    interval: Interval | None = None,
    least: int = 0,
) -> Check:
    """Check that a metric is no worse than an absolute bound; the bound itself passes.

    :param bound: least value of a metric that should be high, greatest value of a metric that should be low.
    :param interval: confidence interval of the metric, which is shown but not judged.
    :param least: number of rows that a verdict needs; with fewer it is INCONCLUSIVE.
    """
    expected = _bound(bound, greater_is_better)
    if observed is None:
        verdict, reason = INCONCLUSIVE, f"{name} could not be measured"
    elif n is not None and n < least:
        verdict, reason = (
            INCONCLUSIVE,
            f"{name} is {number(observed)} on {counted(n, 'row')}; {least} are needed: hold out more",
        )
    else:
        good = reached(observed, bound, greater_is_better)
        verdict = PASS if good else FAIL
        reason = f"{number(observed)} is {'' if good else 'not '}{expected}"
    return Check(
        name=f"floor.{name}",
        verdict=verdict,
        expected=expected,
        observed=observed,
        interval=interval,
        n=n,
        reason=reason,
    )


def versus_champion(
    metric: str, comparison: Comparison, margin: float, n: int | None, *, has_champion: bool = True
) -> Check:
    """Check that a candidate improves on the champion by more than ``margin``, beyond chance.

    PASS if the whole interval lies above ``margin``; FAIL if the measured improvement, or the whole interval, lies
    below it; INCONCLUSIVE in between, where the candidate may be better but the rows do not show it.

    :param margin: least improvement that is worth a promotion, in units of the metric; a negative margin only requires
        that the candidate is not worse by more than that.
    :param has_champion: False for a first model, which has nothing to improve on and passes.
    """
    verdict, reason = _improvement(metric, comparison, margin) if has_champion else (PASS, _FIRST)
    return Check(
        name=f"versus_champion.{metric}",
        verdict=verdict,
        expected=f"improvement > {margin:g}",
        n=n,
        observed=comparison.observed,
        baseline=comparison.baseline,
        interval=comparison.interval,
        reason=reason,
    )


_LEAST_CALIBRATED = 1_000
_FIRST = "first model: there is no champion to improve on"


def _improvement(metric: str, comparison: Comparison, margin: float) -> tuple[Verdict, str]:
    if comparison.observed is None or comparison.baseline is None:
        return INCONCLUSIVE, comparison.problem or f"{metric} could not be measured for both models"
    gain = comparison.observed - comparison.baseline
    gain = gain if metric_of(metric).greater_is_better else -gain
    sentence = f"improvement {signed(gain)}"
    if comparison.problem or comparison.interval is None:
        return INCONCLUSIVE, f"{sentence}, but {comparison.problem or 'its interval could not be estimated'}"
    if gain < margin:
        return FAIL, f"{sentence} is below {margin:g}"
    low, high = comparison.interval
    if low == high == gain == margin == 0:
        return INCONCLUSIVE, f"no improvement: {metric} is the same for both"
    sentence += (
        f" with interval {span(comparison.interval)}{f' ({comparison.how})' if comparison.how else ''}"
    )
    if high < margin:
        return FAIL, f"{sentence} lies below {margin:g}"
    if low > margin:
        return PASS, f"{sentence} lies above {margin:g}"
    return INCONCLUSIVE, f"{sentence} does not lie above {margin:g}: it may be chance"


def nothing_new(metric: str, margin: float, version: str) -> Check:
    """Return the failed check of a candidate that is byte for byte the same model as the champion.

    :param version: the champion's version.
    """
    return Check(
        name=f"versus_champion.{metric}",
        verdict=FAIL,
        expected=f"improvement > {margin:g}",
        reason=f"the candidate has the digest of version {version}, the champion: there is nothing new to promote",
    )


def calibration(error: float | None, interval: Interval | None, bound: float, n: int) -> Check:
    """Check that predicted probabilities lie at most ``bound`` from the share of positives, on average.

    Below 1,000 rows there are too few bins of a hundred rows each: in a single bin, a model whose probabilities are all
    the wrong way round may look calibrated.
    """
    if error is not None and n < _LEAST_CALIBRATED:
        return Check(
            name="calibration",
            verdict=INCONCLUSIVE,
            expected=f"<= {bound:g}",
            observed=error,
            interval=interval,
            n=n,
            reason=f"{n:,} rows are too few to tell; {_LEAST_CALIBRATED:,} are needed: hold out more, or leave calibration out",
        )
    return at_most("calibration", error, bound, "expected calibration error", n=n, interval=interval)


def at_most(
    name: str,
    observed: float | None,
    bound: float,
    what: str,
    *,
    n: int | None = None,
    interval: Interval | None = None,
) -> Check:
    """Check that a measure is at most ``bound``.

    :param what: the measure in words, with its unit.
    """
    if observed is None:
        verdict, reason = INCONCLUSIVE, f"{what} could not be measured"
    else:
        verdict = PASS if observed <= bound else FAIL
        reason = f"{what} is {number(observed)}, {bound:g} allowed"
    return Check(
        name=name,
        verdict=verdict,
        expected=f"<= {bound:g}",
        observed=observed,
        interval=interval,
        n=n,
        reason=reason,
    )


def holm(chances: Sequence[float], level: float) -> list[bool]:
    """Tell which of several hypotheses are rejected, so that the chance of any false rejection is at most ``level``.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6 (1979).

    :param chances: p-values, in any order.
    """
    rejected = [False] * len(chances)
    for place, index in enumerate(sorted(range(len(chances)), key=lambda index: chances[index])):
        if not chances[index] <= level / (len(chances) - place):
            break
        rejected[index] = True
    return rejected


def reached(observed: float, bound: float, greater_is_better: bool) -> bool:
    """Tell whether a value is no worse than a bound."""
    return observed >= bound if greater_is_better else observed <= bound


def number(value: float | None) -> str:
    """Return a measured value as text, with so many digits that it does not round to its bound."""
    return "unknown" if value is None else f"{value:.6g}"


def signed(difference: float) -> str:
    """Return a difference as text, with its sign unless it is none."""
    return f"{difference:+.4g}" if difference else "0"


def span(interval: Interval | None) -> str:
    """Return an interval as text."""
    return f"{signed(interval[0])} to {signed(interval[1])}" if interval else "unknown"


def _bound(bound: float, greater_is_better: bool) -> str:
    return f"{'>=' if greater_is_better else '<='} {bound:g}"
