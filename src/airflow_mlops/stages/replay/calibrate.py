"""Calibrate: how often a drift policy would have raised an alarm while nothing was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.replay import Rate, Step
from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import DriftPolicy
from airflow_mlops.domain.spec.replay import Policy
from airflow_mlops.stages.replay import drifted
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.replay.workers import Pool, Tell, every

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3)
"""Thresholds that are tried besides the policy's own."""
ALL = "all"

Case = tuple[str, DriftPolicy, int, ModelRef]
"""A policy's name, its drift policy with one threshold, the place of a partition, and the model that served it."""


def quiet(text: str, grain: str, partitions: Sequence[str]) -> tuple[str, ...]:
    """Return the partitions that a text such as ``2013-01..2013-06``, or ``all``, names.

    :raises ValueError: if the text has another form, or names none of the partitions.
    :raises UnknownPartition: if an end is no partition of the grain.
    """
    if text == ALL:
        return tuple(partitions)
    first, dots, last = text.partition("..")
    if not dots:
        raise ValueError(f"--quiet {text}: write it as first..last, such as 2013-01..2013-06, or as all")
    low, high = (Partition.parse(key, grain).key for key in (first, last))
    chosen = tuple(partition for partition in partitions if low <= partition <= high)
    if not chosen:
        raise ValueError(f"--quiet {text}: none of the replayed partitions lies there")
    return chosen


def cases(
    policies: Sequence[Policy], steps: Mapping[str, Sequence[Step]], quiet: Sequence[str]
) -> list[Case]:
    """Return the cases to judge: each policy's drift policy, with each threshold, in each quiet partition."""
    return [
        (policy.name, drift_policy.model_copy(update={"threshold": threshold}), place, step.served)
        for policy in policies
        for drift_policy in [policy.spec.monitor.drift]
        for threshold in sorted({*THRESHOLDS, drift_policy.threshold})
        for place, step in enumerate(steps[policy.name])
        if step.served is not None and step.partition in quiet
    ]


def rates(pool: Pool, plan: ReplayPlan, cases: Sequence[Case], tell: Tell) -> list[Rate]:
    """Judge each case: a partition beside the training data of the model that the policy served in it.

    :param cases: of :func:`cases`.
    """
    verdicts = every(pool, _judge, [(plan, *case[1:]) for case in cases], tell)
    groups: dict[tuple[str, float], list[Verdict]] = {}
    for (name, drift_policy, *_), verdict in zip(cases, verdicts, strict=True):
        groups.setdefault((name, drift_policy.threshold), []).append(verdict)
    return [_rate(name, threshold, group) for (name, threshold), group in groups.items()]


def _judge(plan: ReplayPlan, drift_policy: DriftPolicy, place: int, served: ModelRef) -> Verdict:
    return drifted.compared(plan, drift_policy, place, served)[0].verdict


def _rate(policy: str, threshold: float, verdicts: Sequence[Verdict]) -> Rate:
    from scipy.stats import binomtest

    judged = [verdict for verdict in verdicts if verdict is not Verdict.INCONCLUSIVE]
    alarms = judged.count(Verdict.FAIL)
    interval = None
    if judged:
        bounds = binomtest(alarms, len(judged)).proportion_ci(method="wilson")
        interval = (float(bounds.low), float(bounds.high))
    return Rate(policy=policy, threshold=threshold, judged=len(judged), alarms=alarms, interval=interval)
