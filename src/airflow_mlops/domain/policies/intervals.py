"""Checks of the bounds of predicted numbers, as pure functions of measured values."""

from __future__ import annotations

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS, Interval, number, span


def coverage(
    observed: float | None,
    interval: Interval | None,
    nominal: float,
    tolerance: float | None,
    n: int,
    least: int,
) -> Check:
    """Check that about as many true values lie between the bounds of their predictions as were to.

    PASS if the observed share lies within the tolerance; FAIL if its whole confidence interval lies beyond; INCONCLUSIVE
    in between, where the difference may be chance.

    :param nominal: share of the true values that are to lie between the bounds.
    :param tolerance: how far the observed share may lie from it, on either side; None allows any share.
    :param interval: confidence interval of the observed share; None if it is not known.
    :param least: number of rows that a verdict needs.
    """
    low, high = (
        (0.0, 1.0) if tolerance is None else (max(0.0, nominal - tolerance), min(1.0, nominal + tolerance))
    )
    seen = f"{number(observed)} of the values lie between their bounds, {nominal:g} are to"
    if observed is None:
        verdict, reason = INCONCLUSIVE, "no labelled row has a prediction with bounds"
    elif n < least:
        verdict, reason = INCONCLUSIVE, f"{seen}; {n:,} rows are too few to tell, {least:,} are needed"
    elif low <= observed <= high:
        verdict, reason = PASS, seen
    elif interval is None:
        verdict, reason = (
            INCONCLUSIVE,
            f"{seen}; the rows come from too few blocks of time to tell that from chance",
        )
    elif interval[1] < low or interval[0] > high:
        side = "below" if observed < low else "above"
        verdict, reason = FAIL, f"{seen} (interval {span(interval)} lies {side} {low:g} to {high:g})"
    else:
        verdict, reason = INCONCLUSIVE, f"{seen} (interval {span(interval)}): it may be chance"
    return Check(
        name="intervals",
        verdict=verdict,
        expected="any share" if tolerance is None else f"{low:g} to {high:g}",
        observed=observed,
        baseline=nominal,
        interval=interval,
        n=n,
        reason=reason,
    )
