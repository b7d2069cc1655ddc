"""The shadow policy: whether a challenger agrees with the champion, and has done well for long enough."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops.domain.checks import Check, Verdict, overall
from airflow_mlops.domain.facts.scoring import WINDOWS, ShadowReport, ShadowWindow
from airflow_mlops.domain.spec.gates import Shadow

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
_AGREEMENT, _EVERY_ROW = "shadow.agreement", "a prediction of every row"


def agreement(report: ShadowReport) -> Check:
    """Return the check that a challenger has predicted every row, with the share of rows on which it agrees."""
    verdict, reason = PASS, f"{report.rows:,} rows are predicted"
    if report.agreement is not None:
        reason += f", {report.agreement:.1%} of them alike"
    if not report.rows:
        verdict, reason = INCONCLUSIVE, "the partition has no rows"
    return Check(
        name=_AGREEMENT, verdict=verdict, expected=_EVERY_ROW, observed=report.agreement, n=report.rows, reason=reason
    )  # fmt: skip


def missing(reason: str) -> Check:
    """Return the failed check of a challenger that has not predicted all rows."""
    return Check(name=_AGREEMENT, verdict=FAIL, expected=_EVERY_ROW, n=0, reason=reason)


def divergence(report: ShadowReport, policy: Shadow) -> Check:
    """Check that a challenger's predictions are close to the champion's, if the policy sets a limit."""
    most, measured = policy.divergence, report.divergence
    verdict, reason = PASS, "the policy allows any"
    if most is not None and measured is not None:
        verdict = PASS if measured <= most else FAIL
        reason = f"{measured:.4g} is {'' if verdict is PASS else 'not '}<= {most:g}"
    elif most is not None:
        reason = (
            "the champion predicts the same for all rows" if report.rows else "there is nothing to compare"
        )
        verdict = INCONCLUSIVE
    expected = "any" if most is None else f"<= {most:g}"
    return Check(
        name="shadow.divergence", verdict=verdict, expected=expected, observed=measured, n=report.rows, reason=reason
    )  # fmt: skip


def window(partition: str, checks: Sequence[Check]) -> ShadowWindow:
    """Judge one window: it is clean if every check passes, and fails if any check fails."""
    return ShadowWindow(partition=partition, checks=tuple(checks), verdict=overall(checks))


def clean_windows(windows: Sequence[ShadowWindow], needed: int) -> Check:
    """Check that the newest windows that could be judged are clean, as many in a row as needed.

    :param windows: windows of one challenger, in any order.
    :param needed: number of clean windows in a row; at least 1.
    :return: FAIL if the newest judged window is not clean, INCONCLUSIVE while there are too few.
    """
    judged = [
        shadow_window
        for shadow_window in sorted(windows, key=lambda shadow_window: shadow_window.partition)
        if shadow_window.verdict is not INCONCLUSIVE
    ]
    count = 0
    for shadow_window in reversed(judged):
        if shadow_window.verdict is FAIL:
            break
        count += 1
    open_windows = len(windows) - len(judged)
    sentence = f"{count} clean window{'s' * (count != 1)} in a row of {needed}"
    if count >= needed:
        verdict, reason = PASS, sentence
    elif judged and judged[-1].verdict is FAIL:
        failed = next(check for check in judged[-1].checks if check.verdict is FAIL)
        verdict, reason = FAIL, f"{judged[-1].partition}: {failed.reason}"
    else:
        verdict, reason = (
            INCONCLUSIVE,
            f"{sentence}, {open_windows} not judged yet: wait for labels of more partitions",
        )
    return Check(
        name=WINDOWS, verdict=verdict, expected=f">= {needed} clean windows in a row", observed=count,
        n=len(judged), reason=reason,
    )  # fmt: skip
