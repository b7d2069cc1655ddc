"""Trials of a replay: a challenger predicts beside the champion in the partitions after its training, and is promoted or dropped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.replay import Step
from airflow_mlops.domain.facts.results import Action, ModelRef, PromotionDecision
from airflow_mlops.domain.policies import shadow
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.score import score
from airflow_mlops.stages.shadow import trial_windows
from airflow_mlops.stores.registry import registry

# Whatever is in the replay's tables was predicted during the trial.
_EVER = datetime.fromtimestamp(0, UTC)


def scored(
    plan: ReplayPlan, spec: ModelSpec, place: int, champion: ModelRef, challenger: ModelRef, owner: str
) -> None:
    """Score a partition with the champion and a challenger beside it, which serves nothing.

    :param owner: folder of the policy's own tables.
    """
    score.score(
        plan.client(),
        model=spec.name,
        dataset=plan.datasets[place],
        champion=champion,
        task=spec.task.value,
        uri=plan.uri(owner, "predictions"),
        beside=score.Beside(challenger, plan.uri(owner, "challenger")),
    )


def ended(
    plan: ReplayPlan,
    spec: ModelSpec,
    place: int,
    champion: ModelRef | None,
    before: Sequence[Step],
    owner: str,
) -> PromotionDecision | None:
    """Return the promotion or the drop that ends a trial at a partition; None while it goes on, or if there is none.

    The windows are judged as :mod:`airflow_mlops.stages.shadow.shadow` does.

    :param champion: the version that serves, after a rollback if there was one.
    :param before: steps of the partitions before.
    :param owner: folder of the policy's own tables.
    :raises SchemaMismatch: if labels do not fit the task.
    """
    challenger, policy = before[-1].challenger if before else None, spec.gates.shadow
    if challenger is None or champion is None or policy is None:
        return None
    dataset = plan.datasets[place]
    begun = next(step.decision for step in reversed(before) if step.decision.action is Action.CHALLENGING)

    def end(action: Action, reason: str, **facts: Any) -> PromotionDecision:
        changes = {"partition": dataset.partition, "action": action, "reason": reason, **facts}
        return begun.model_copy(update={**changes, "key": f"replay/{dataset.partition}/shadow"})

    dropped: dict[str, Any] = {"before": champion.version, "after": champion.version, "trained_on": None}
    if champion.version != begun.before:
        why = f"it was judged against version {begun.before}, and the champion is version {champion.version} by now"
        return end(Action.DROPPED, f"version {challenger.version} is dropped: {why}", **dropped)
    pair = trial_windows.pair_of(
        plan.client(),
        spec.name,
        Truth(dataset, Question.of(spec), plan.labels[0].uri if plan.labels else None),
        tables=(plan.uri(owner, "challenger"), plan.uri(owner, "predictions")),
        challenger=challenger,
        champion=champion.version,
    )
    windows = trial_windows.windows(pair, policy, policy.windows, since=_EVER)
    judged = shadow.clean_windows(windows, policy.windows)
    checks = (*trial_windows.checks(windows), judged)
    if judged.verdict is Verdict.FAIL:
        why = f"version {challenger.version} is dropped: {judged.reason}"
        return end(Action.DROPPED, why, checks=checks, **dropped)
    if judged.verdict is Verdict.PASS:
        why = f"{judged.reason}, beside version {champion.version} since {begun.partition}"
        return end(Action.PROMOTED, why, checks=(*begun.checks, *checks), after=challenger.version)
    return None


def challenger(plan: ReplayPlan, decision: PromotionDecision, running: ModelRef | None) -> ModelRef | None:
    """Return the version that is on trial after a decision.

    :param running: the one whose trial has not ended; None if there is none. A new challenger takes its place.
    """
    if decision.action is Action.CHALLENGING and decision.candidate is not None:
        return registry.version(plan.client(), plan.spec.name, decision.candidate, decision.digest)
    return running
