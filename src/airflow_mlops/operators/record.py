"""Record the one decision on a partition, whatever the outcome of its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.domain.facts.approval import ApprovalOutcome, answers_of, refusal
from airflow_mlops.domain.facts.results import Action, Evaluation, PromotionDecision
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.exceptions import TrainingFailed
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, dataset_of, is_of_run, push_facts, run_of, table_uri
from airflow_mlops.stages.preview import memory
from airflow_mlops.stores.registry import champions, ledger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.spec.model import ModelSpec


class RecordOperator(BaseOperator):
    """Record the one decision on a partition, whatever the outcome of the tasks before.

    Later partitions wait for it. It fails if a task before it failed, so that the run fails too.

    :param model: name of the model.
    :param retrain: what :class:`DecideOperator` returned; None if it failed.
    :param evaluation: what :class:`EvaluateOperator` returned; None if it did not run.
    :param promotion: task id of the :class:`PromoteOperator`.
    :param approvals: as for :class:`PromoteOperator`; a person's rejection becomes the reason.
    :param spec: kept beside the ledger, so that ``airflow mlops plan`` can compare a later one with it; None keeps none.
    """

    template_fields: Sequence[str] = ("model", "retrain", "evaluation", "approvals")
    ui_color = "#e0f2f1"

    def __init__(
        self,
        *,
        model: str,
        retrain: Any,
        evaluation: Any,
        promotion: str,
        approvals: Any = None,
        spec: ModelSpec | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.retrain = retrain
        self.evaluation = evaluation
        self.promotion = promotion
        self.approvals = approvals
        self.spec = spec

    def execute(self, context: Context) -> dict[str, Any]:
        """Derive the decision from the tasks, write it to the ledger, and fail if a task failed.

        :raises TrainingFailed: if a task of the run failed.
        """
        uri = table_uri(self.model, "ledger")
        decision = self._decide(context, uri)
        if self.spec is not None:
            memory.remember(table_uri(self.model, memory.TABLE), self.spec, decision.partition)
        if decision.action is Action.FAILED:
            settled = ledger.decision(uri, decision.partition)
            if settled is None or settled.action is Action.FAILED:
                # Later partitions do not look back at a training that failed after they were decided.
                past = champions.overtaken(uri, decision.partition) is not None
                left = decision.model_copy(update={"action": Action.KEPT}) if past else decision
                ledger.record_decision(uri, left, actor=run_of(context))
            raise TrainingFailed(decision.reason)
        ledger.record_decision(uri, decision, actor=run_of(context))
        details = (
            f"champion before: {decision.before or 'none'}; now: {decision.after or 'none'}",
            decision.reason,
            *map(sentences.judged, decision.checks),
        )
        before = "" if is_of_run(context, decision.key) else "decided before: "
        sentence = f"{before}{sentences.decided(decision)}"
        conclude(context, (self.model, decision.partition), sentence, details, note=True)
        push_facts(context, decision)
        return decision.to_dict()

    def _decide(self, context: Context, uri: str) -> PromotionDecision:
        retrain = RetrainDecision.from_dict(self.retrain) if self.retrain else None
        failed = _failed(context)
        if failed or retrain is None:
            # Checked first: what the tasks returned may be left from before the run was cleared.
            partition = retrain.partition if retrain else dataset_of(context, self.model).partition
            reason = f"{', '.join(failed) or 'decide'} failed in {run_of(context)}"
            return self._kept(context, partition).model_copy(
                update={"action": Action.FAILED, "reason": reason}
            )
        if not retrain.judges:
            former = ledger.decision(uri, retrain.partition)
            passed_over = former is not None and not former.checks and retrain.checks
            if former is not None and former.action is not Action.FAILED and not passed_over:
                return former
            kept = {"checks": retrain.checks, "reason": retrain.reason}
            return self._kept(context, retrain.partition).model_copy(update=kept)
        promoted = context["ti"].xcom_pull(task_ids=self.promotion, key="decision")
        if promoted:
            return PromotionDecision.from_dict(promoted)
        evaluation = Evaluation.from_dict(self.evaluation)
        answers = tuple(answers_of(self.approvals))
        outcome = ApprovalOutcome(answers=answers) if answers else None
        refused = {
            "action": Action.REFUSED,
            "checks": evaluation.checks,
            "metrics": evaluation.metrics,
            "champion_metrics": evaluation.champion_metrics,
            "candidate": evaluation.candidate.version,
            "approval": outcome,
            "reason": refusal(outcome) or "a person did not approve the promotion",
        }
        return self._kept(context, retrain.partition).model_copy(update=refused)

    def _kept(self, context: Context, partition: str) -> PromotionDecision:
        # By the ledger alone: the decision has to be recorded whatever state MLflow is in.
        rows = ledger.rows(table_uri(self.model, "ledger"))
        if champions.overtaken(rows, partition):
            version = ledger.champion_as_of(rows, partition)
            digest = version and champions.digest_as_of(rows, version, partition)
        else:
            moves = ledger.moves(rows)
            version, digest = (moves[-1].after, moves[-1].digest) if moves else (None, None)
        return PromotionDecision(
            model=self.model,
            partition=partition,
            action=Action.KEPT,
            before=version,
            after=version,
            digest=digest,
            reason="",
            key=run_of(context),
        )


def _failed(context: Context) -> list[str]:
    """Return the ids of this run's tasks that failed or could not run."""
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    failed = sorted(task for task, state in states.items() if state == "failed" and task != ti.task_id)
    return failed or sorted(task for task, state in states.items() if state == "upstream_failed")
