"""The monitor policy: checks of the champion's health, as pure functions of measured values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict, overall
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS, floor, number

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import PerformancePolicy


def no_champion(name: str) -> Check:
    """Return the inconclusive check of a model without a champion."""
    reason = "there is no champion yet"
    return Check(name=name, verdict=INCONCLUSIVE, expected="a champion", reason=reason)


def k_of_n(name: str, verdicts: Sequence[Verdict], k: int, n: int) -> Check:
    """Check whether a signal lasts: FAIL if at least ``k`` of the last ``n`` verdicts are FAIL, the newest among them.

    :param verdicts: the newest first; fewer than ``n`` at the start of a history. INCONCLUSIVE does not count as FAIL.
    """
    recent = tuple(verdicts[:n])
    fails = recent.count(FAIL)
    newest = recent[0] if recent else INCONCLUSIVE
    verdict = INCONCLUSIVE if newest is INCONCLUSIVE else FAIL if newest is FAIL and fails >= k else PASS
    shown = f"{', '.join(recent) or 'no partition yet'}{', newest first' if len(recent) > 1 else ''}"
    reason = f"{fails} of the last {n} failed ({shown})"
    expected = f"fewer than {k} of the last {n} failed, or the newest not"
    return Check(
        name=name,
        verdict=verdict,
        expected=expected,
        observed=fails,
        baseline=k,
        n=len(recent),
        reason=reason,
    )


def staleness(since_training: int | None, bound: int | None) -> Check:
    """Check that at most ``bound`` partitions have passed since the champion's training data ended.

    :param since_training: number of partitions; None if there is no champion or its training data is unknown.
    :param bound: None allows any age.
    """
    expected = "any age" if bound is None else f"<= {bound}"
    if since_training is None:
        verdict, reason = INCONCLUSIVE, "it is not known what the champion was trained through"
    else:
        verdict = FAIL if bound is not None and since_training > bound else PASS
        reason = f"{counted(since_training, 'partition')} since the champion's training data ended, {'any age' if bound is None else bound} allowed"
    return Check(name="staleness", verdict=verdict, expected=expected, observed=since_training, reason=reason)


def of_any_age() -> Check:
    """Return the check on the age of a model that another system trains."""
    reason = "another system trains the model"
    return Check(name="staleness", verdict=PASS, expected="any age", reason=reason)


def performance(
    metrics: Mapping[str, float | None],
    holdout: Mapping[str, float | None],
    policy: PerformancePolicy,
    metric: str,
    n: int,
    min_rows: int = 100,
    *,
    then: str = "at training",
) -> Check:
    """Judge the champion on matured labels, by absolute floors and by its drop against its own holdout.

    :param metrics: the champion's metrics on the matured labels.
    :param holdout: the champion's metrics when it was evaluated.
    :param metric: the metric that models are ranked by, to which ``policy.drop`` applies.
    :param n: number of rows with matured labels; the check is INCONCLUSIVE if they are fewer than ``min_rows``.
    :param then: when it was evaluated, in words.
    """
    parts = [
        floor(name, metrics.get(name), bound, metric_of(name).greater_is_better, n)
        for name, bound in policy.floor.items()
    ]
    if policy.drop is not None:
        parts.append(_drop(metric, metrics.get(metric), holdout.get(metric), policy.drop, then))
    expected = "; ".join(f"{part.name} {part.expected}" for part in parts) or "nothing"
    if n < min_rows:
        verdict, reason = INCONCLUSIVE, f"{counted(n, 'row')} with matured labels; {min_rows:,} are needed"
    elif not parts:
        verdict, reason = (
            PASS,
            f"{metric} is {number(metrics.get(metric))}; the policy asks for no floor or drop",
        )
    else:
        verdict = overall(parts)
        reason = "; ".join(f"{part.name}: {part.reason}" for part in parts if part.verdict is verdict)
    return Check(
        name="performance",
        verdict=verdict,
        expected=expected,
        observed=metrics.get(metric),
        baseline=holdout.get(metric),
        n=n,
        reason=reason,
    )


def constant(check: Check) -> Check:
    """Return the check of a champion that is a constant: it stands in for a model that failed, and the failure lasts.

    :param check: what was measured of it.
    """
    expected, reason = (
        "a model",
        "the champion predicts the same of every row, in place of a model that failed",
    )
    return check.model_copy(update={"verdict": FAIL, "expected": expected, "reason": reason})


def _drop(metric: str, observed: float | None, baseline: float | None, bound: float, then: str) -> Check:
    expected = f"<= {bound:g}"
    if observed is None or baseline is None:
        verdict, reason = INCONCLUSIVE, f"not measured both now and {then}"
    else:
        drop = baseline - observed if metric_of(metric).greater_is_better else observed - baseline
        verdict = FAIL if drop > bound else PASS
        reason = f"{number(observed)} is {number(drop)} worse than {number(baseline)} {then}"
    return Check(name=f"drop.{metric}", verdict=verdict, expected=expected, reason=reason)
