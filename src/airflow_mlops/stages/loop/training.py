"""The decision on one partition: whether to train, what was trained, and who is champion, as the DAG ``<model>.train`` decides."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from airflow_mlops import exceptions
from airflow_mlops.domain.facts.recipe import CONSTANT, TrainingConfig
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    Evaluation,
    PromotionDecision,
    Split,
    TrainedModel,
)
from airflow_mlops.domain.facts.retraining import RetrainDecision, suggested
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import RETRYABLE
from airflow_mlops.reporting.card import card
from airflow_mlops.reporting.questions.promotion import ApprovalQuestion
from airflow_mlops.stages.decide import decide, decide_version
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.loop.plan import LoopPlan
from airflow_mlops.stages.monitor import health
from airflow_mlops.stages.preview import memory
from airflow_mlops.stages.promote import promote
from airflow_mlops.stages.train import elsewhere, former, jobs, offer, split, train
from airflow_mlops.stages.train.recipe import recipe_of
from airflow_mlops.stores.registry import champions, ledger
from airflow_mlops.stores.registry import elsewhere as registered

log = logging.getLogger(__name__)


class PersonNeeded(Exception):
    """A person has to decide before the loop can go on; the message is what."""


def decided(plan: LoopPlan, dataset: DatasetVersion) -> PromotionDecision:
    """Decide whether to train, train, judge, promote, and record the one decision on the partition.

    A training that fails is a decision, too: the champion stays.

    :raises PersonNeeded: if the spec leaves the retraining or the promotion to people. Nothing is decided then.
    """
    memory.remember(plan.uri(memory.TABLE), plan.spec, dataset.partition, plan.folder)
    dataset = plan.with_labels(dataset)
    retrain = _retrain(plan, dataset)
    if suggested(retrain):
        raise PersonNeeded(f"whether to train at {dataset.partition}: {retrain.reason}")
    if not retrain.judges:
        return _record(plan, retrain, action=Action.KEPT, checks=retrain.checks, reason=retrain.reason)
    try:
        evaluation = _evaluated(plan, retrain)
    except RETRYABLE:
        raise
    except (ValueError, LookupError, RuntimeError) as error:
        # An error of ours says what to do; where it was raised helps if code of others has failed.
        is_plain = type(error).__module__ == exceptions.__name__ and error.__cause__ is None
        name, partition = plan.spec.name, dataset.partition
        log.warning("%s %s: the training failed: %s", name, partition, error, exc_info=not is_plain)
        return _record(plan, retrain, action=Action.FAILED, reason=str(error))
    question = ApprovalQuestion(evaluation=evaluation, policy=plan.spec.gates.approval)
    if plan.spec.gates.approval.people != "none" and question.moot is None:
        raise PersonNeeded(question.subject)
    decision = promote.promote(
        plan.client,
        ledger_uri=plan.uri("ledger"),
        evaluation=evaluation,
        key=f"{plan.run_of(dataset.partition, 'train')}/promote",
        actor=plan.actor,
        serving=plan.spec.gates.serving,
        shadow=plan.spec.gates.shadow,
    )
    # As the task `record` does, so that it has nothing to add when Airflow goes on from here.
    ledger.record_decision(plan.uri("ledger"), decision, actor=plan.actor)
    if decision.action is Action.PROMOTED:
        _describe(plan, evaluation, decision)
    return decision


def _retrain(plan: LoopPlan, dataset: DatasetVersion) -> RetrainDecision:
    spec = plan.spec
    champion = champions.current(plan.client, plan.uri("ledger"), spec.name).champion
    reports = health.history(plan.uri("monitoring"), dataset.partition)
    if spec.train.elsewhere:
        return decide_version(
            plan.client,
            model=spec.name,
            origin=spec.train.elsewhere,
            dataset=dataset,
            rows=ledger.rows(plan.uri("ledger")),
            split=lambda: _bounds(spec, dataset),
            champion=champion,
            health=reports,
            delay=spec.labels.delay,
            gates=spec.gates,
        )
    return decide(
        model=spec.name,
        dataset=dataset,
        champion=champion,
        policy=spec.retrain,
        health=reports,
        decisions=ledger.attempts(plan.uri("ledger")),
        trainable=split.trainable(dataset, spec.train.holdout, spec.train.window, spec.labels.delay),
        delay=spec.labels.delay,
        gates=spec.gates,
        recalibrate=spec.train.recalibrate,
    )


def _bounds(spec: ModelSpec, dataset: DatasetVersion) -> Split:
    return split.split_of(dataset, spec.train.holdout, spec.train.window, spec.labels.delay)


def _candidates(plan: LoopPlan, retrain: RetrainDecision) -> Iterator[TrainedModel]:
    """Train each candidate, or take in or hand out the version that is to be judged."""
    spec, dataset, run = plan.spec, retrain.dataset, plan.run_of(retrain.partition, "train")
    if retrain.again and retrain.version:
        yield former.hand_out(
            plan.client, spec.name, retrain.version, dataset=dataset, delay=spec.labels.delay
        )
        return
    config, bounds = TrainingConfig.of(spec), _bounds(spec, dataset)
    if spec.train.elsewhere and retrain.version:
        foreign = registered.version(plan.client, spec.train.elsewhere, retrain.version)
        yield elsewhere.take_in(
            elsewhere.Intake.of(spec),
            foreign,
            client=plan.client,
            dataset=dataset,
            split=bounds,
            key=run,
            tags={},
            artifacts=plan.artifacts,
        )
    offers = {
        offer.recalibrated: retrain.recalibrates,
        offer.constant: bool(retrain.failing) and CONSTANT in spec.gates.fallback,
    }
    for make in (make for make, due in offers.items() if due):
        offered = make(
            plan.client,
            champions.current(plan.client, plan.uri("ledger"), spec.name).champion,
            recipe_of(config, dataset, bounds, spec.train.candidates[0], spec.name),
            key=run,
            tags={},
            artifacts=plan.artifacts,
        )
        if offered is not None:
            yield offered
    for candidate in spec.train.candidates:
        recipe = recipe_of(config, dataset, bounds, candidate, spec.name)
        yield train.train_candidate(
            recipe,
            client=plan.client,
            key=f"{run}/{candidate.name}/{jobs.Job.of(recipe).identity()}",
            tags={},
            artifacts=plan.artifacts,
            dask=plan.dask,
            pictures=plan.pictures,
        )


def _evaluated(plan: LoopPlan, retrain: RetrainDecision) -> Evaluation:
    spec, candidates = plan.spec, list(_candidates(plan, retrain))
    evaluation = evaluate.evaluate_candidates(
        candidates,
        client=plan.client,
        dataset=candidates[0].dataset,
        champion=champions.current(plan.client, plan.uri("ledger"), spec.name).champion,
        gates=spec.gates,
        retrain=retrain,
        # The drift policy may weigh columns by the data of a picture.
        pictures=plan.pictures or spec.monitor.drift.weights == "importance",
    )
    _describe(plan, evaluation)
    return evaluation


def _describe(plan: LoopPlan, evaluation: Evaluation, decision: PromotionDecision | None = None) -> None:
    """Keep the model card; the decision holds without it."""
    spec = plan.spec
    if not plan.pictures:
        return
    try:
        html = card.write(
            plan.client,
            evaluation,
            validation_uri=plan.uri("validation"),
            description=spec.description,
            owner=spec.owner,
            decision=decision,
        )
        plan.page(evaluation.partition, "model_card", html)
    except Exception:
        log.exception("The model card of %s is missing", spec.name)


def _record(plan: LoopPlan, retrain: RetrainDecision, **facts: Any) -> PromotionDecision:
    moves = ledger.moves(plan.uri("ledger"))
    version, digest = (moves[-1].after, moves[-1].digest) if moves else (None, None)
    decision = PromotionDecision(
        model=plan.spec.name,
        partition=retrain.partition,
        before=version,
        after=version,
        digest=digest,
        key=plan.run_of(retrain.partition, "train"),
        **facts,
    )
    ledger.record_decision(plan.uri("ledger"), decision, actor=plan.actor)
    return decision
