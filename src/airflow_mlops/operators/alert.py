"""Mail people about the outcome of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.alerts import Recipients, failed_tasks

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.spec.model import Alerts
    from airflow_mlops.reporting.alerts.channel import Channel


class AlertOperator(BaseOperator):
    """Mail what failed in this run, what people should know about it, and what could not be mailed before.

    Make it a teardown downstream of every other task: ``others >> alert.as_teardown(on_failure_fail_dagrun=True)``.
    Airflow then runs it when all of them have ended, in whatever way, and its state becomes that of the run. Therefore
    it fails when a task failed: the run would be green otherwise. It succeeds if something else was mailed, and skips
    itself if there was nothing to mail.

    :param model: name of the model; its outbox is the Delta table ``<storage>/<model>/outbox``.
    :param to: mail addresses, instead of ``alerts.email``.
    :param alerts: which outcomes are mailed to whom, as in a spec; None means the defaults.
    :param smtp_conn_id: SMTP connection; None means ``[mlops] smtp_conn_id``.
    :param channel: channel that delivers the notices; None means mail.
    """

    template_fields: Sequence[str] = ("model", "to", "smtp_conn_id")
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        model: str,
        to: Sequence[str] | str = (),
        alerts: Alerts | None = None,
        smtp_conn_id: str | None = None,
        channel: Channel | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.to = to
        self.alerts = alerts
        self.smtp_conn_id = smtp_conn_id
        self.channel = channel

    def execute(self, context: Context) -> None:
        """Put the mails into the outbox, send all that wait there, and raise last.

        :raises AirflowFailException: if a task failed and every mail was sent.
        :raises MailUndelivered: if a task failed and a mail could not be sent.
        """
        failed = failed_tasks(context)
        recipients = Recipients(self.model, self.to, self.alerts, self.smtp_conn_id, self.channel)
        done = recipients.tell(context, failed)
        if failed:
            raise AirflowFailException(f"failed: {', '.join(failed)}; {done}")
        if not done:
            raise AirflowSkipException("nothing failed in this run, and there is nothing else to tell")
        self.log.info("%s", done)
