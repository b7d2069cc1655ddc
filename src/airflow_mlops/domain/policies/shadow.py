"""Whether a challenger agrees with the champion, and has done well for long enough."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.scoring import WINDOWS, ShadowReport, ShadowWindow
from airflow_mlops.domain.spec.gates import Shadow

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
_AGREEMENT, _EVERY_ROW = "shadow.agreement", "a prediction of every row"


def agreement(report: ShadowReport) -> Check:
    """Tell how far a challenger that has predicted every row decides as the champion does."""
    verdict, reason = PASS, f"{report.rows:,} rows are predicted"
    if report.agreement is not None:
        reason += f", {report.agreement:.1%} of them alike"
    if not report.rows:
        verdict, reason = INCONCLUSIVE, "the partition has no rows"
    return Check(
        name=_AGREEMENT, verdict=verdict, expected=_EVERY_ROW, observed=report.agreement, n=report.rows, reason=reason
    )  # fmt: skip


def missing(reason: str) -> Check:
    """Tell that a challenger has not predicted what it was to predict."""
    return Check(name=_AGREEMENT, verdict=FAIL, expected=_EVERY_ROW, n=0, reason=reason)


def divergence(report: ShadowReport, policy: Shadow) -> Check:
    """Ask that a challenger predicts much as the champion does, if the policy says how much."""
    most, found = policy.divergence, report.divergence
    verdict, reason = PASS, "the policy allows any"
    if most is not None and found is not None:
        verdict = PASS if found <= most else FAIL
        reason = f"{found:.4g} is {'' if verdict is PASS else 'not '}<= {most:g}"
    elif most is not None:
        reason = (
            "the champion predicts the same for all rows" if report.rows else "there is nothing to compare"
        )
        verdict = INCONCLUSIVE
    expected = "any" if most is None else f"<= {most:g}"
    return Check(
        name="shadow.divergence", verdict=verdict, expected=expected, observed=found, n=report.rows, reason=reason
    )  # fmt: skip


def window(partition: str, checks: Sequence[Check]) -> ShadowWindow:
    """Judge one window: a failed check fails it, and it is clean if every check passes."""
    verdicts = {check.verdict for check in checks}
    verdict = FAIL if FAIL in verdicts else INCONCLUSIVE if INCONCLUSIVE in verdicts or not verdicts else PASS
    return ShadowWindow(partition=partition, checks=tuple(checks), verdict=verdict)


def clean_windows(windows: Sequence[ShadowWindow], needed: int) -> Check:
    """Ask for clean windows in a row, the newest of those that could be judged among them.

    :param windows: of one challenger, in any order.
    :param needed: how many; at least 1.
    :return: FAIL if the newest judged window is not clean, INCONCLUSIVE while there are too few.
    """
    judged = [
        each for each in sorted(windows, key=lambda each: each.partition) if each.verdict is not INCONCLUSIVE
    ]
    count = 0
    for each in reversed(judged):
        if each.verdict is FAIL:
            break
        count += 1
    open_windows = len(windows) - len(judged)
    told = f"{count} clean window{'s' * (count != 1)} in a row of {needed}"
    if count >= needed:
        verdict, reason = PASS, told
    elif judged and judged[-1].verdict is FAIL:
        failed = next(check for check in judged[-1].checks if check.verdict is FAIL)
        verdict, reason = FAIL, f"{judged[-1].partition}: {failed.reason}"
    else:
        verdict, reason = (
            INCONCLUSIVE,
            f"{told}, {open_windows} not judged yet: wait for labels of more partitions",
        )
    return Check(
        name=WINDOWS, verdict=verdict, expected=f">= {needed} clean windows in a row", observed=count,
        n=len(judged), reason=reason,
    )  # fmt: skip
