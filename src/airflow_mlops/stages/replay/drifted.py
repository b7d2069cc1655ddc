"""Drift in a replay: a partition beside what a version was trained on, and what it was seen to do well on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.results import HealthReport, ModelRef
from airflow_mlops.domain.policies.seen import references
from airflow_mlops.domain.spec.model import DriftPolicy
from airflow_mlops.learning.labels import labelled
from airflow_mlops.stages.drift import drift
from airflow_mlops.stages.replay.cache import cached, key_of, locked
from airflow_mlops.stages.replay.planning import ReplayPlan


def compared(
    plan: ReplayPlan,
    policy: DriftPolicy,
    place: int,
    champion: ModelRef | None,
    owner: str | None = None,
    reports: Sequence[HealthReport] = (),
) -> tuple[Check, ...]:
    """Compare a partition with a version's training data, once for all policies with the same drift policy.

    :param owner: folder of the policy's tables of predictions; None leaves predictions out.
    :param reports: on the health of earlier partitions under the policy.
    :return: the overall check first, then one for each column.
    """
    dataset, delay = plan.datasets[place], plan.spec.labels.delay
    seen = references(policy, champion, dataset, delay, lambda: reports)

    def compute() -> list[dict[str, Any]]:
        # Summaries, of partitions and of training data, have one writer at a time.
        with locked(plan.folder, "summaries"):
            comparison = drift.drift(
                plan.client(),
                dataset=dataset,
                champion=champion,
                policy=policy,
                summaries_uri=plan.uri("summaries"),
                predictions_uri=plan.uri(owner, "predictions") if owner else None,
                target=plan.spec.target,
                delay=delay,
                seen=seen,
                page=False,
            )
        return [check.to_dict() for check in (comparison.overall, *comparison.columns)]

    # A longer window also reads the predictions before this partition, which are the policy's own.
    whose = owner if policy.window > 1 else owner is not None
    label_settings = plan.spec.target, plan.spec.labels.to_dict()
    content = labelled.content(dataset).to_dict()
    against = champion.digest if champion else None
    key = key_of(against, content, policy.to_dict(), whose, *label_settings, *([seen] if seen else []))
    return tuple(Check.from_dict(facts) for facts in cached(plan.folder, "drift", key, compute))
