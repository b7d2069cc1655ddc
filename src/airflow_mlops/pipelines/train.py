"""The DAG `<model>.train`: decide, train, judge, ask, promote."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG
from airflow.sdk.definitions.xcom_arg import XComArg

from airflow_mlops import assets
from airflow_mlops.domain.facts.recipe import CONSTANT, RECALIBRATION
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.retrain import Mode
from airflow_mlops.domain.spec.windows import text
from airflow_mlops.operators.decide import DecideOperator
from airflow_mlops.operators.evaluate import EvaluateOperator
from airflow_mlops.operators.promote import PromoteOperator
from airflow_mlops.operators.record import RecordOperator
from airflow_mlops.operators.train import TrainOperator
from airflow_mlops.pipelines import dag, docs, forms


def build(spec: ModelSpec) -> DAG:
    """Build the DAG that a report of the champion's health starts, or a person."""
    with dag.new(spec, "train", schedule=dag.after(assets.health(spec.name))) as stage:
        rows: dict[str, Any] = {
            "holdout": spec.train.holdout,
            "window": spec.train.window
            if spec.train.elsewhere
            else f"{{{{ params.window or {text(spec.train.window)!r} }}}}",
            "delay": spec.labels.delay,
        }
        asks = _adds_up(spec) or _rescues(spec)
        first = "take_in" if spec.train.elsewhere else "train"
        decide = DecideOperator(
            task_id="decide",
            model=spec.name,
            policy=spec.retrain,
            recalibrate=spec.train.recalibrate,
            labels=spec.target if spec.labels.source is not None else None,
            elsewhere=spec.train.elsewhere,
            gates=spec.gates if asks else None,
            skips=[] if spec.retrain.mode is Mode.SUGGEST else [first],
            doc_md=docs.TASKS["decide"],
            **rows,
        )
        suggested = _suggestion(spec, decide)
        decided = (suggested or decide).output
        if spec.train.elsewhere:
            train = _taken_in(spec, decide, rows)
        else:
            train = _trained(
                spec,
                decide,
                rows
                | (
                    {"retrain": decided}
                    if _adds_up(spec) or spec.train.recalibrate or spec.gates.fallback
                    else {}
                ),
            )
        if suggested is not None:
            suggested >> train
        evaluate = EvaluateOperator(
            task_id="evaluate",
            models=train.output,
            gates=spec.gates,
            retrain=decided if asks else None,
            description=spec.description,
            owner=spec.owner,
            doc_md=docs.TASKS["evaluate"],
        )
        approvals = _approvals(spec, evaluate)
        answers = [approval.output for approval in approvals]
        promote = PromoteOperator(
            task_id="promote",
            evaluation=evaluate.output,
            people=spec.gates.approval.people,
            override=spec.gates.approval.override,
            serving=spec.gates.serving,
            shadow=spec.gates.shadow,
            description=spec.description,
            approvals=answers,
            outlets=[assets.champion(spec.name)],
            doc_md=docs.TASKS["promote"],
        )
        record = RecordOperator(
            task_id="record",
            model=spec.name,
            retrain=decided,
            evaluation=evaluate.output,
            approvals=answers,
            promotion=promote.task_id,
            spec=spec,
            trigger_rule="all_done",
            doc_md=docs.TASKS["record"],
        )
        promote >> record
    return forms.attach(stage, forms.train(spec))


def _adds_up(spec: ModelSpec) -> bool:
    gate = spec.gates.versus_champion
    return gate is not None and gate.evidence is not None


def _rescues(spec: ModelSpec) -> bool:
    gate = spec.gates.versus_champion
    return gate is not None and gate.rescue is not None


def _trained(spec: ModelSpec, decide: DecideOperator, rows: dict[str, Any]) -> Any:
    """Return the task that trains each candidate."""
    return TrainOperator.partial(
        task_id="train",
        dataset=XComArg(decide, key="dataset"),
        target=spec.target,
        task=spec.task.value,
        classes=spec.classes,
        decision=spec.decision,
        weights=spec.train.weights,
        class_weight=spec.train.class_weight,
        groups=spec.train.groups,
        metric=spec.metric.name,
        own_metrics=spec.train.metrics,
        features=spec.features,
        budget=spec.train.budget,
        folds=spec.train.folds,
        ranked=spec.train.ranked,
        seed=spec.train.seed,
        intervals=spec.train.intervals,
        map_index_template="{{ task.candidate_name }}",
        doc_md=docs.TASKS["train"],
        **rows,
    ).expand(
        candidate=[
            *(candidate.to_dict() for candidate in spec.train.candidates),
            *([RECALIBRATION] if spec.train.recalibrate else []),
            *([CONSTANT] if CONSTANT in spec.gates.fallback else []),
        ]
    )


def _taken_in(spec: ModelSpec, decide: DecideOperator, rows: dict[str, Any]) -> Any:
    """Return the task that takes in a version that somebody else has trained."""
    # Not at the top: most specs train, and each DAG file would import it.
    from airflow_mlops.operators.elsewhere import TakeInOperator

    return TakeInOperator(
        task_id="take_in",
        dataset=XComArg(decide, key="dataset"),
        origin=str(spec.train.elsewhere),
        retrain=decide.output,
        target=spec.target,
        task=spec.task.value,
        classes=spec.classes,
        weights=spec.train.weights,
        groups=spec.train.groups,
        metric=spec.metric.name,
        own_metrics=spec.train.metrics,
        features=spec.features,
        trust=spec.train.trust,
        doc_md=docs.TASKS["take_in"],
        **rows,
    )


def _suggestion(spec: ModelSpec, decide: DecideOperator) -> Any:
    """Return the task that asks a person whether to retrain; None if nobody is asked."""
    if spec.retrain.mode is not Mode.SUGGEST:
        return None
    # Not at the top: most specs ask nobody, and each DAG file would import it.
    from airflow_mlops.operators.suggest import RetrainSuggestionOperator

    return RetrainSuggestionOperator(
        task_id="suggest",
        decision=decide.output,
        skips=["train"],
        users=spec.gates.approval.users,
        alerts=spec.alerts,
        doc_md=docs.TASKS["suggest"],
    )


def _approvals(spec: ModelSpec, evaluate: EvaluateOperator) -> list[Any]:
    """Return the tasks that ask people: none, one, or a second one after the first."""
    policy = spec.gates.approval
    if policy.people == "none":
        return []
    # Not at the top: most specs ask nobody, and each DAG file would import it.
    from airflow_mlops.operators.approve import PromotionApprovalOperator

    def ask(task_id: str, first: Any = None) -> PromotionApprovalOperator:
        return PromotionApprovalOperator(
            task_id=task_id,
            evaluation=evaluate.output,
            policy=policy,
            first=first,
            alerts=spec.alerts,
            doc_md=docs.TASKS["approve"],
        )

    first = ask("approve")
    if policy.people == "one":
        return [first]
    return [first, ask("approve_again", first.output)]
