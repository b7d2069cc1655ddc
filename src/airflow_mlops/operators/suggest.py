"""Ask a person before a retraining."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import TaskAwaitingInput

from airflow_mlops.alerts import Recipients
from airflow_mlops.domain.facts.retraining import RetrainDecision, suggested
from airflow_mlops.reporting import sentences
from airflow_mlops.reporting.questions import promotion, retraining
from airflow_mlops.runs import conclude, push

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.spec.model import Alerts


class RetrainSuggestionOperator(ApprovalOperator):
    """Ask a person where the retrain policy only suggests to retrain (``mode: suggest``); else pass its decision on.

    The form shows every rule. An answer counts if one of ``users`` gives it; after any other the question is asked
    again, in the time that is left. Without an answer in time nothing is trained, and the run goes on. Without
    retraining the tasks in ``skips`` are skipped.

    Returns the :class:`~airflow_mlops.domain.facts.retraining.RetrainDecision` as a dict, with the answer applied.

    :param decision: what :class:`~airflow_mlops.operators.decide.DecideOperator` returned; give that one no ``skips``.
    :param skips: ids of direct downstream tasks that do not run without retraining.
    :param users: ids of the users who may answer; empty means everyone who may edit the run.
    :param wait: how long to wait for an answer. Later partitions wait as long for this one's decision.
    :param alerts: who is mailed that an answer is needed, as in a spec; None means nobody.
    :param smtp_conn_id: SMTP connection; None means ``[mlops] smtp_conn_id``.
    """

    # As DecideOperator: without it Airflow forgets the skip of mapped tasks.
    inherits_from_skipmixin = True
    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "decision", "smtp_conn_id")
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        decision: Any,
        skips: Sequence[str],
        users: Sequence[str] = (),
        wait: timedelta = timedelta(hours=5),
        alerts: Alerts | None = None,
        smtp_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(subject="", **kwargs)
        self.decision = decision
        self.skips = skips
        self.users = users
        self.wait = wait
        self.alerts = alerts
        self.smtp_conn_id = smtp_conn_id

    def execute(self, context: Context) -> Any:
        """Ask, if the policy leaves the decision to a person.

        :raises TaskAwaitingInput: to leave the worker until somebody answers.
        """
        decision = RetrainDecision.from_dict(self.decision)
        if decision.retrain or not suggested(decision):
            return self._pass_on(context, decision)
        return self._ask(context, decision, datetime.now(UTC) + self.wait)

    def execute_complete(
        self, context: Context, event: dict[str, Any], until: str = "", asked: int = 0
    ) -> dict[str, Any]:
        """Return the decision after the answer, or ask again if the answer does not count."""
        decision = RetrainDecision.from_dict(self.decision)
        # At the deadline Airflow answers with the defaults of the form; no person has answered then.
        if event.get("timedout") or event.get("error_type") == "timeout":
            return self._pass_on(context, retraining.lapsed(decision))
        HITLOperator.execute_complete(self, context, event)
        reply = promotion.read_response(event, approved=event["chosen_options"] == [self.APPROVE])
        if problem := promotion.problem(reply, self.users):
            self.log.warning("The answer does not count, so it is asked for again: %s", problem)
            return self._ask(context, decision, datetime.fromisoformat(until), asked + 1, problem)
        return self._pass_on(context, retraining.answered(decision, reply))

    def _ask(
        self, context: Context, decision: RetrainDecision, until: datetime, repeats: int = 0, why: str = ""
    ) -> NoReturn:
        self.subject, self.body = retraining.subject(decision), retraining.body(decision)
        reason = Param(
            "", "Why; it is kept in the ledger.", type="string", title="Reason", maxLength=promotion.LONGEST
        )
        self.params = ParamsDict({promotion.REASON: reason})
        self.assigned_users = [{"id": user, "name": user} for user in self.users]
        self.defaults = [self.REJECT]
        self.response_timeout = until - datetime.now(UTC)
        try:
            super().execute(context)
        except TaskAwaitingInput as waiting:
            waiting.kwargs = {"until": until.isoformat(), "asked": repeats}
            if self.alerts is not None:
                recipients = Recipients(decision.model, alerts=self.alerts, smtp_conn_id=self.smtp_conn_id)
                recipients.say(
                    context,
                    self.task_id,
                    lambda run: retraining.notice(run, decision, until, repeats, why),
                )
            raise
        raise AssertionError("Airflow has not left the task waiting")

    def _pass_on(self, context: Context, decision: RetrainDecision) -> dict[str, Any]:
        about, sentence = (decision.model, decision.partition), sentences.trains(decision, asks=False)
        conclude(context, about, sentence, map(sentences.judged, decision.checks))
        if not decision.judges:
            # Skipping ends the task, so its return value is pushed before.
            push(context, "return_value", decision.to_dict())
            downstream = context["task"].get_direct_relatives(upstream=False)
            self.skip(ti=context["ti"], tasks=[task for task in downstream if task.task_id in self.skips])
        return decision.to_dict()
