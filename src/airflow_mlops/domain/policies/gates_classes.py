"""Gates about each class of a classifier. Pure functions of measured values."""

from __future__ import annotations

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS, Interval, number, span


def floor(
    measure: str,
    class_name: str,
    observed: float | None,
    bound: float,
    *,
    interval: Interval | None,
    shown: bool,
    n: int,
    least: int,
) -> Check:
    """Check that a measure of one class is not shown to be below its floor.

    :param interval: confidence interval of the measure; None if its rows lie in too few blocks of time for one.
    :param shown: True if the value is below the floor beyond chance, corrected for the number of classes and measures.
    :param n: rows of the class.
    :param least: rows of a class that a verdict needs; a class with fewer is INCONCLUSIVE.
    """
    verdict, reason = INCONCLUSIVE, _unknown(measure, class_name, observed, interval, n, least)
    if not reason and observed is not None:
        verdict, reason = _beyond(
            observed < bound, shown, f"{number(observed)} is", f">= {bound:g}", interval
        )
    return Check(
        name=f"classes.{measure}",
        verdict=verdict,
        expected=f">= {bound:g}",
        observed=observed,
        interval=interval,
        n=n,
        slice=f"class={class_name}",
        reason=reason,
    )


def loss(
    measure: str,
    class_name: str,
    observed: float | None,
    baseline: float | None,
    allowed: float,
    *,
    interval: Interval | None,
    shown: bool,
    n: int,
    least: int,
) -> Check:
    """Check that one class is not shown to have lost more than allowed against the champion, on the same rows.

    :param observed: the candidate's value; ``baseline`` the champion's, None if it puts no row in the class: there is no
        precision to lose then.
    :param interval: confidence interval of the loss.
    :param shown: True if more is lost beyond chance, corrected for the number of classes and measures.
    """
    new = n >= least and observed is not None and baseline is None
    reason = "" if new else _unknown(measure, class_name, observed, interval, n, least)
    verdict = INCONCLUSIVE
    if new:
        verdict, reason = PASS, f"the champion puts none of the rows in class {class_name}: nothing to lose"
    elif not reason and observed is not None and baseline is not None:
        lost = baseline - observed
        words = f"{number(observed)} against {number(baseline)} of the champion: a loss of {number(max(lost, 0.0))} is"
        verdict, reason = _beyond(lost > allowed, shown, words, f"<= {allowed:g}", interval)
    return Check(
        name=f"classes.versus_champion.{measure}",
        verdict=verdict,
        expected=f"loss <= {allowed:g}",
        observed=observed,
        baseline=baseline,
        interval=interval,
        n=n,
        slice=f"class={class_name}",
        reason=reason,
    )


def not_compared(measure: str, problem: str) -> Check:
    """Return the check of classes that cannot be compared with those of a champion: why, or "" if there is none."""
    return Check(
        name=f"classes.versus_champion.{measure}",
        verdict=INCONCLUSIVE if problem else PASS,
        expected="no class lost too much",
        reason=problem or "first model: there is no champion to lose against",
    )


def _unknown(
    measure: str, class_name: str, observed: float | None, interval: Interval | None, n: int, least: int
) -> str:
    """Return why nothing can be said of a class; "" if something can."""
    if n < least:
        return f"{n:,} rows are of class {class_name}; {least:,} are needed: hold out more, or lower min_rows"
    if observed is None:
        return f"{measure} of class {class_name} could not be measured: none of the rows is put in it"
    if interval is None:
        return f"{measure} of class {class_name} rests on too few blocks of time to tell it from chance: hold out more"
    return ""


def _beyond(
    missed: bool, shown: bool, words: str, bound: str, interval: Interval | None
) -> tuple[Verdict, str]:
    reason = f"{words} {'not ' if missed else ''}{bound} (interval {span(interval)})"
    if shown:
        return FAIL, reason
    return PASS, f"{reason}, but that may be chance" if missed else reason
