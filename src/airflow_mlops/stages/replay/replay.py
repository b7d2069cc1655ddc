"""Replay: run retrain policies over the recorded partitions, as of each, without touching what the model has.

Every policy goes through the partitions as the loop does: score with the champion, monitor, decide, train, judge,
promote. The decisions are made by the loop's own functions, and the data are read as of each partition: no label that
had not matured, and no row of a later event time. Values that were corrected since are read as corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.replay import Step
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    ModelRef,
    PromotionDecision,
)
from airflow_mlops.domain.facts.retraining import RetrainDecision, training_data
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.replay import Policy
from airflow_mlops.domain.spec.retrain import Mode, Retrain
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import estimators, own_metrics
from airflow_mlops.stages import decide
from airflow_mlops.stages.guard import probation
from airflow_mlops.stages.replay import stages, trials
from airflow_mlops.stages.replay.cache import key_of, load, save
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stores.registry import champions, registry
from airflow_mlops.stores.registry.ledger import Row, RowKind


def step(plan: ReplayPlan, policy: Policy, place: int) -> Step:
    """Replay one partition under a policy; the partitions before it must have been replayed.

    A step that was computed already is read, unless data or policy have changed since.

    :param place: of the partition among those of the plan.
    """
    key = _keys(plan, policy)[place]
    path = _path(plan, policy, place)
    stored = load(path)
    if stored is not None and stored["key"] == key:
        return Step.from_dict(stored["step"])
    before = [_read(_path(plan, policy, earlier)) for earlier in range(place)]
    new_step = _compute(plan, policy, place, before)
    save(path, {"key": key, "step": new_step.to_dict()})
    return new_step


def slug(policy: Policy) -> str:
    """Return the name of a policy's folder, which differs with the content of the policy."""
    return f"{policy.name}-{_content(policy.spec)}"


def _content(spec: ModelSpec) -> str:
    return key_of(spec.to_dict())[:12]


def _keys(plan: ReplayPlan, policy: Policy) -> list[str]:
    """Return a digest of what each step depends on: policy, code of candidates, and data and labels up to it."""
    built = [function and function.version for function in map(estimators.source, plan.spec.train.candidates)]
    built += [own_metrics.function(own.function).version for own in plan.spec.train.metrics.values()]
    searched = [sorted(plan.searched.items())] if plan.searched else []
    # Trials were once taken as passed.
    trial = ["trial"] if policy.spec.gates.shadow is not None else []
    keys, key = [], key_of(_content(policy.spec), built, *searched, *trial)
    for place, dataset in enumerate(plan.datasets):
        # Quality is measured on all labels that are known today.
        versions = (dataset, plan.in_hindsight(place))
        key = key_of(key, *(labelled.content(version).to_dict() for version in versions))
        keys.append(key)
    return keys


def _path(plan: ReplayPlan, policy: Policy, place: int) -> Path:
    return plan.folder / "steps" / slug(policy) / f"{plan.datasets[place].partition}.json"


def _read(path: Path) -> Step:
    return Step.from_dict(load(path)["step"])


class _Outcome(NamedTuple):
    """The decision on a partition, and the training behind it.

    :param trained: versions that were trained.
    :param seconds: seconds of training and evaluation.
    """

    decision: PromotionDecision
    trained: tuple[str, ...] = ()
    seconds: float = 0.0


def _compute(plan: ReplayPlan, policy: Policy, place: int, before: Sequence[Step]) -> Step:
    spec, dataset = policy.spec, plan.datasets[place]
    served, challenger = (before[-1].champion, before[-1].challenger) if before else (None, None)
    if served is not None and challenger is not None:
        trials.scored(plan, spec, place, served, challenger, slug(policy))
    report = stages.monitored(plan, spec, place, served, slug(policy), [earlier.health for earlier in before])
    restored = _probation(plan, spec, dataset, before)
    champion = served if restored is None else _version(plan, restored, served)
    trial = trials.ended(plan, spec, place, champion, before, slug(policy))
    champion = champion if trial is None else _version(plan, trial, champion)
    retrain = decide.decide(
        model=spec.name,
        dataset=dataset,
        champion=champion,
        policy=_answered(spec.retrain),
        health=[report, *(earlier.health for earlier in reversed(before))],
        decisions=[earlier.decision for earlier in before],
        trainable=stages.trainable(plan, place, spec),
        delay=spec.labels.delay,
        gates=spec.gates,
        recalibrate=spec.train.recalibrate,
    )
    outcome = _outcome(plan, spec, place, champion, retrain)
    return Step(
        partition=dataset.partition,
        served=served,
        quality=stages.quality(plan, place, served) if served else {},
        health=report,
        retrain=retrain,
        restored=restored,
        trial=trial,
        decision=outcome.decision,
        champion=_version(plan, outcome.decision, champion),
        challenger=trials.challenger(plan, outcome.decision, challenger if trial is None else None),
        trained=outcome.trained,
        seconds=round(outcome.seconds, 3),
    )


def _answered(policy: Retrain) -> Retrain:
    # Whether a person would have agreed cannot be known: the policy is judged by what it suggests.
    return policy.model_copy(update={"mode": Mode.AUTO}) if policy.mode is Mode.SUGGEST else policy


def _version(plan: ReplayPlan, decision: PromotionDecision, champion: ModelRef | None) -> ModelRef | None:
    """Return the champion after a decision.

    :param champion: the one before it.
    """
    if decision.after is None or decision.before == decision.after:
        return champion
    return registry.version(plan.client(), plan.spec.name, decision.after, decision.digest)


def _outcome(
    plan: ReplayPlan, spec: ModelSpec, place: int, champion: ModelRef | None, retrain: RetrainDecision
) -> _Outcome:
    """Train or judge again, and promote, if the policy asks for it."""
    before = champion.version if champion else None
    kept = PromotionDecision(
        model=spec.name,
        partition=retrain.partition,
        action=Action.KEPT,
        before=before,
        after=before,
        reason=retrain.reason,
        key=f"replay/{retrain.partition}",
    )
    if not retrain.judges:
        return _Outcome(kept)
    try:
        candidates = stages.candidates(plan, place, retrain, champion, spec)
        evaluation, seconds = stages.evaluated(plan, spec, place, candidates, champion, retrain)
    except stages.REFUSALS as error:
        return _Outcome(kept.model_copy(update={"action": Action.FAILED, "reason": str(error)}))
    facts = {
        "checks": evaluation.checks,
        "metrics": evaluation.metrics,
        "champion_metrics": evaluation.champion_metrics,
        "candidate": evaluation.candidate.version,
        "trained_on": training_data(evaluation.candidate),
        "reason": evaluation.reason,
    }
    if evaluation.verdict is not Verdict.PASS:
        facts["action"] = Action.REFUSED
    elif evaluation.candidate.version != before:
        facts |= {"action": Action.PROMOTED, "after": evaluation.candidate.version}
        facts["digest"] = evaluation.candidate.digest
        if spec.gates.shadow is not None and before is not None:
            facts |= {"action": Action.CHALLENGING, "after": before}
    decision = kept.model_copy(update=facts)
    if retrain.again:
        return _Outcome(decision, (), seconds)
    seconds += sum(candidate.seconds for candidate in candidates)
    return _Outcome(decision, tuple(candidate.version for candidate in candidates), seconds)


def _probation(
    plan: ReplayPlan, spec: ModelSpec, dataset: DatasetVersion, before: Sequence[Step]
) -> PromotionDecision | None:
    """Return the rollback of a champion that does worse than the one before; None if it stays."""
    if spec.monitor.rollback is None:
        return None
    moves = _moves(plan, before)
    promotion = probation.on_probation(moves)
    if promotion is None:
        return None
    question = Question.of(spec)
    check = probation.judge(
        plan.client(), promotion, moves, dataset=dataset, policy=spec.monitor.rollback, question=question
    )
    if check.verdict is not Verdict.FAIL:
        return None
    return PromotionDecision(
        model=spec.name,
        partition=dataset.partition,
        action=Action.ROLLED_BACK,
        before=promotion.after,
        after=promotion.before,
        digest=champions.digest_as_of(moves, str(promotion.before), promotion.partition),
        checks=(check,),
        reason=f"{check.name}: {check.reason}",
        key=f"replay/{dataset.partition}/rollback",
    )


def _moves(plan: ReplayPlan, before: Sequence[Step]) -> list[Row]:
    """Return the rows that a ledger would have of the moves so far."""
    made = [
        decision
        for step in before
        for decision in (step.restored, step.trial, step.decision)
        if decision is not None
    ]
    return [
        Row(
            at=datetime.fromtimestamp(place, UTC),
            kind=RowKind.DONE,
            evidence=decision,
            actor="replay",
            **decision.model_dump(
                include={"action", "key", "partition", "before", "after", "digest", "reason"}
            ),
        )
        for place, decision in enumerate(made)
        if decision.action in (Action.PROMOTED, Action.ROLLED_BACK)
    ]
