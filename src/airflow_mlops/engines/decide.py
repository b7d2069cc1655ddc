"""Decide: gather the recorded facts that the retrain policy is a function of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain import policies
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.results import (
    Action,
    DatasetVersion,
    HealthReport,
    ModelRef,
    PromotionDecision,
    RetrainDecision,
)
from airflow_mlops.engines.monitor import since_training

if TYPE_CHECKING:
    from airflow_mlops.domain.spec import Retrain

_ATTEMPTS = {Action.PROMOTED, Action.REFUSED, Action.FAILED}


def decide(
    *,
    model: str,
    dataset: DatasetVersion,
    champion: ModelRef | None,
    policy: Retrain,
    health: Sequence[HealthReport],
    decisions: Sequence[PromotionDecision],
    shortage: str | None = None,
    force: bool = False,
    reason: str | None = None,
) -> RetrainDecision:
    """Apply the retrain policy at one partition.

    :param health: reports up to this partition, the newest first.
    :param decisions: decisions on all partitions, the latest of each.
    :param shortage: why there is too little data to train on; None if there is enough.
    :param force: retrain whatever the policy says.
    :param reason: why it was forced.
    """
    here = dataset.partition
    earlier = [
        decision for decision in decisions if decision.partition < here and decision.action in _ATTEMPTS
    ]
    last = max((decision.partition for decision in earlier), default=None)
    since_attempt = None
    if last is not None:
        span = Partition.parse(last, dataset.grain).through(Partition.parse(here, dataset.grain))
        since_attempt = sum(1 for _ in span) - 1
    retrain, checks, why = policies.retrain(
        policy,
        has_champion=champion is not None,
        drift_history=tuple(report.drift.verdict for report in health),
        performance_history=tuple(report.performance.verdict for report in health),
        since_training=since_training(champion, here, dataset.grain),
        since_attempt=since_attempt,
        force=force,
        reason=reason,
    )
    if retrain and shortage is not None and not force:
        retrain, why = False, f"too little data, though asked for ({why}): {shortage}"
    return RetrainDecision(
        model=model, partition=here, retrain=retrain, checks=checks, dataset=dataset, reason=why
    )
