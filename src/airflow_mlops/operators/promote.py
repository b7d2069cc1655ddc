"""Promote a candidate to champion, or roll back to an earlier version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops import assets
from airflow_mlops.domain.facts.approval import answers_of, approval
from airflow_mlops.domain.facts.results import Action, Evaluation, PromotionDecision
from airflow_mlops.domain.spec.gates import Serving, Shadow
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.exceptions import SpecError
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import MlflowRunLink
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import (
    conclude,
    dataset_of,
    push,
    push_facts,
    request_of,
    run_of,
    save_report,
    table_uri,
)
from airflow_mlops.stages.promote import promote
from airflow_mlops.stores.registry import champions, ledger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.stores.registry.client import Client


_LEAST_REASON = 3


class PromoteOperator(BaseOperator):
    """Make a candidate the champion if its verdict is PASS, by the promotion protocol; skip itself if the champion stays.

    With ``shadow`` it makes the candidate the challenger, which a :class:`ShadowOperator` makes champion later. Returns
    the :class:`~airflow_mlops.domain.facts.results.PromotionDecision` as a dict. A retry finishes what a killed try began.

    :param evaluation: what :class:`EvaluateOperator` returned.
    :param approvals: what each :class:`PromotionApprovalOperator` returned; None for one that asked nobody.
    :param people: how many have to approve: ``none``, ``one`` or ``two`` different ones.
    :param override: whether people may approve a candidate whose verdict is not PASS; the ledger then records that.
    :param serving: limits of loading and predicting, which are checked again after people were asked, as they may have
        taken days; None means the defaults.
    :param shadow: what the candidate must achieve beside the champion before it becomes champion; None means nothing.
    :param description: what the model is for; its card shows it, and the task's owner.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = ("evaluation", "approvals", "mlflow_conn_id")
    operator_extra_links = (MlflowRunLink(),)
    ui_color = "#e0f2f1"

    def __init__(
        self,
        *,
        evaluation: Any,
        approvals: Any = None,
        people: str = "none",
        override: bool = False,
        serving: Serving | None = None,
        shadow: Shadow | None = None,
        description: str = "",
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evaluation = evaluation
        self.approvals = approvals
        self.people = people
        self.override = override
        self.serving = serving
        self.shadow = shadow
        self.description = description
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Promote the candidate, or skip the task and say why.

        :raises ApprovalMissing: if fewer people approved than have to, or one of them approved twice.
        """
        evaluation = Evaluation.from_dict(self.evaluation)
        ledger_uri = table_uri(evaluation.model, "ledger")
        key, outcome = f"{run_of(context)}/{self.task_id}", None
        # Nobody is asked about a candidate that is judged for the record.
        past = champions.overtaken(ledger_uri, evaluation.partition) is not None
        if not past or ledger.begun(ledger_uri, key) is not None:
            outcome = approval(
                answers_of(self.approvals),
                evaluation.candidate.version,
                evaluation.verdict,
                people=self.people,
                override=self.override,
            )
        client = MlflowHook(self.mlflow_conn_id).get_conn()
        decision = promote.promote(
            client,
            ledger_uri=ledger_uri,
            evaluation=evaluation,
            key=key,
            actor=run_of(context),
            approval=outcome,
            serving=self.serving,
            shadow=self.shadow,
        )
        push(context, "mlflow_run", evaluation.candidate.run_id)
        push(context, "decision", decision.to_dict())
        conclude(
            context, (decision.model, decision.partition), sentences.decided(decision), [decision.reason]
        )
        if decision.action is not Action.PROMOTED:
            # If the task succeeded, Airflow would send an event for its outlet, and the champion has not moved.
            raise AirflowSkipException(decision.reason)
        assets.emit(context, assets.champion(evaluation.model), decision=decision)
        self._describe(context, client, evaluation, decision)
        push_facts(context, decision)
        return decision.to_dict()

    def _describe(
        self, context: Context, client: Client, evaluation: Evaluation, decision: PromotionDecision
    ) -> None:
        try:
            from airflow_mlops.reporting.card import card

            html = card.write(
                client,
                evaluation,
                validation_uri=table_uri(evaluation.model, "validation"),
                description=self.description,
                owner=self.owner,
                decision=decision,
            )
            save_report(context, evaluation.model, evaluation.partition, "model_card", html)
        except Exception:  # the champion has moved: a page that cannot be written changes nothing
            self.log.warning("The model card does not tell of the promotion", exc_info=True)


class RollbackRequest(Section):
    """What a person or a REST call may ask of a rollback."""

    to: str | None = None
    reason: str | None = None


class RollbackOperator(BaseOperator):
    """Give the champion alias back to an earlier version, which must load and predict in a fresh process.

    Returns the :class:`~airflow_mlops.domain.facts.results.PromotionDecision` as a dict. Repeating it
    changes nothing, and skips the task.

    :param model: name of the model.
    :param to: version to go back to; None means the run's ``to``, or else the version before the champion.
    :param reason: why; None means the run's ``reason``.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = ("model", "to", "reason", "mlflow_conn_id")
    ui_color = "#ffebee"

    def __init__(
        self,
        *,
        model: str,
        to: str | None = None,
        reason: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.to = to
        self.reason = reason
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Verify the target, move the alias, and record it."""
        request = request_of(context, RollbackRequest)
        reason = (self.reason or request.reason or "").strip()
        if len(reason) < _LEAST_REASON:
            raise SpecError(["reason: is missing or too short; say why, the ledger keeps it"], "rollback")
        uri = table_uri(self.model, "ledger")
        decision = promote.rollback(
            MlflowHook(self.mlflow_conn_id).get_conn(),
            ledger_uri=uri,
            model=self.model,
            to=self.to or request.to,
            reason=reason,
            key=f"{run_of(context)}/{self.task_id}",
            actor=run_of(context),
            # A partition that is published but not decided yet is the first to get the restored version.
            partition=ledger.latest_partition(uri) or dataset_of(context, self.model).partition,
        )
        conclude(context, (self.model, decision.partition), sentences.decided(decision), note=True)
        push(context, "decision", decision.to_dict())
        if decision.action is not Action.ROLLED_BACK:
            raise AirflowSkipException(decision.reason)
        assets.emit(context, assets.champion(self.model), decision=decision)
        push_facts(context, decision)
        return decision.to_dict()
