"""Ask a person before a promotion."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Param, TriggerRule, conf
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import TaskAwaitingInput

from airflow_mlops import config
from airflow_mlops.alerts import Recipients
from airflow_mlops.domain.facts.approval import Answer
from airflow_mlops.domain.facts.results import Evaluation
from airflow_mlops.domain.spec.approval import Approval
from airflow_mlops.exceptions import ApprovalMissing
from airflow_mlops.reporting.alerts.notice import Link
from airflow_mlops.reporting.questions import promotion
from airflow_mlops.reporting.questions.promotion import ApprovalQuestion
from airflow_mlops.runs import conclude, push, table_uri
from airflow_mlops.stores.registry import champions

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.spec.model import Alerts


class PromotionApprovalOperator(ApprovalOperator):
    """Wait for a person to approve or reject a candidate; ask nobody if the gates have decided already.

    The form shows every gate and asks for a reason. An approval counts if it has a reason, comes from one of the users
    of the policy, and, if it is the second one, from another person than the first. After an answer that does not count
    the question is asked again, in the time that is left. A rejection skips the downstream tasks that run only if all
    before them succeeded. Without an answer in time the task fails.

    Returns the :class:`~airflow_mlops.domain.facts.results.Answer` as a dict; None if nobody was asked.

    :param evaluation: what :class:`EvaluateOperator` returned.
    :param policy: who may answer, for how long, and whether people are asked about a candidate that did not pass its
        gates too; None means everyone who may edit the run, seven days, and no.
    :param first: what the task that asked the first person returned, if this one asks a second; None if this one asks
        the first.
    :param alerts: who is mailed a link to the form, as in a spec; None means nobody.
    :param smtp_conn_id: SMTP connection; None means ``[mlops] smtp_conn_id``.
    """

    template_fields: Sequence[str] = (
        *ApprovalOperator.template_fields,
        "evaluation",
        "first",
        "smtp_conn_id",
    )
    ui_color = "#e0f2f1"

    def __init__(
        self,
        *,
        evaluation: Any,
        policy: Approval | None = None,
        first: Any = None,
        alerts: Alerts | None = None,
        smtp_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(subject="", **kwargs)
        self.evaluation = evaluation
        self.policy = policy
        self.first = first
        self.alerts = alerts
        self.smtp_conn_id = smtp_conn_id

    def execute(self, context: Context) -> Any:
        """Ask, unless the gates have decided already.

        :raises TaskAwaitingInput: to leave the worker until somebody answers.
        """
        question = self._question()
        evaluation = question.evaluation
        latest = champions.overtaken(table_uri(evaluation.model, "ledger"), evaluation.partition)
        moot = (
            question.moot if latest is None else f"{latest} has been decided already, so the champion stays"
        )
        if moot is not None:
            conclude(context, (evaluation.model, evaluation.partition), f"nobody is asked: {moot}")
            return None
        return self._ask(context, question, datetime.now(UTC) + question.policy.timeout)

    def execute_complete(
        self, context: Context, event: dict[str, Any], until: str = "", asked: int = 0
    ) -> dict[str, Any]:
        """Return the answer, or ask again if it does not count.

        :raises ApprovalMissing: if nobody answered in time.
        """
        question = self._question()
        # At the deadline Airflow answers with the defaults of the form; no person has answered then.
        if event.get("timedout") or event.get("error_type") == "timeout":
            raise ApprovalMissing(
                f"{question.subject} Nobody has answered within {question.policy.timeout} (gates.approval.timeout), so the "
                "champion stays. Clear this task to ask again."
            )
        HITLOperator.execute_complete(self, context, event)
        reply = promotion.read_response(event, approved=event["chosen_options"] == [self.APPROVE])
        answer = promotion.accept(question, reply)
        if isinstance(answer, str):
            self.log.warning("The answer does not count, so it is asked for again: %s", answer)
            return self._ask(context, question, datetime.fromisoformat(until), repeats=asked + 1, why=answer)
        said = f"{answer.person} has {'approved' if answer.approved else 'rejected'} version {answer.version}"
        about = (question.evaluation.model, question.evaluation.partition)
        conclude(context, about, f"{said}: {answer.reason}")
        if not answer.approved:
            self._reject(context, answer)
        return answer.to_dict()

    def _question(self) -> ApprovalQuestion:
        return ApprovalQuestion(
            evaluation=Evaluation.from_dict(self.evaluation),
            policy=self.policy or Approval(),
            first=Answer.from_dict(self.first) if self.first else None,
        )

    def _ask(
        self,
        context: Context,
        question: ApprovalQuestion,
        until: datetime,
        *,
        repeats: int = 0,
        why: str = "",
    ) -> NoReturn:
        self.subject = question.subject
        self.body = promotion.body(question, _links(question.evaluation))
        # Not a param of the task: Airflow would refuse it, as it is not valid before somebody has filled it in.
        reason = Param(
            "", "Why; it is kept in the ledger.", type="string", title="Reason",
            minLength=promotion.SHORTEST, maxLength=promotion.LONGEST,
        )  # fmt: skip
        self.params = ParamsDict({promotion.REASON: reason})
        self.assigned_users = [{"id": user, "name": user} for user in question.policy.users]
        self.response_timeout = until - datetime.now(UTC)
        self._check_form(context, question)
        try:
            super().execute(context)
        except TaskAwaitingInput as waiting:
            waiting.kwargs = {"until": until.isoformat(), "asked": repeats}
            self._mail(context, question, until, repeats, why)
            raise
        raise AssertionError("Airflow has not left the task waiting")

    def _check_form(self, context: Context, question: ApprovalQuestion) -> None:
        """Refuse to ask with the evidence of an earlier question.

        Airflow writes the form of a task once, and keeps it when the task is cleared, even if the task's question has
        changed.

        :raises ApprovalMissing: if the form shows another question.
        """
        from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        form: Any = SUPERVISOR_COMMS.send(
            CreateHITLDetailPayload.model_validate(
                {
                    "ti_id": context["ti"].id,
                    "options": self.options,
                    "subject": self.subject,
                    "body": self.body,
                    "params": self.serialized_params,
                    "assigned_users": self.assigned_users,
                }
            )
        )
        if (form.subject, form.body) != (self.subject, self.body):
            raise ApprovalMissing(
                f"{question.subject} Nobody can be asked in this run: it has asked before, with other evidence, and "
                f"Airflow still shows that: {form.subject!r}. Trigger a new run of {context['dag'].dag_id} for "
                f"partition {question.evaluation.partition}."
            )

    def _mail(
        self, context: Context, question: ApprovalQuestion, until: datetime, repeats: int, why: str
    ) -> None:
        if self.alerts is None:
            return
        recipients = Recipients(question.evaluation.model, alerts=self.alerts, smtp_conn_id=self.smtp_conn_id)
        form = _form(context)
        recipients.say(
            context,
            self.task_id,
            lambda run: promotion.notice(run, question, form=form, until=until, repeats=repeats, why=why),
        )

    def _reject(self, context: Context, answer: Answer) -> None:
        # Airflow keeps no return value of a task that skips others.
        push(context, "return_value", answer.to_dict())
        after = context["task"].get_direct_relatives(upstream=False)
        self.skip(
            ti=context["ti"],
            tasks=[task for task in after if getattr(task, "trigger_rule", None) == TriggerRule.ALL_SUCCESS],
        )


def _form(context: Context) -> str:
    """Return the path of the form below the address of Airflow.

    Airflow's own link leaves out the path that this address may have.
    """
    ti: Any = context["ti"]
    path = "/".join(
        quote(part, safe="") for part in ("dags", ti.dag_id, "runs", ti.run_id, "tasks", ti.task_id)
    )
    mapped = f"/mapped/{ti.map_index}" if (ti.map_index or 0) >= 0 and ti.map_index is not None else ""
    return f"/{path}{mapped}/required_actions"


def _links(evaluation: Evaluation) -> list[Link]:
    base, mlflow = conf.get("api", "base_url", fallback="").rstrip("/"), config.mlflow_url()
    links = [Link(label="Model card", url=f"{base}{promotion.card(evaluation)}")]
    runs = [("MLflow run of the candidate", evaluation.candidate.run_id)]
    if evaluation.champion:
        runs.append(("MLflow run of the champion", evaluation.champion.run_id))
    return links + [Link(label=label, url=f"{mlflow}/#/runs/{run}") for label, run in runs if mlflow]
