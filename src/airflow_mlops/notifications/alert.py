"""Mail people about a task that failed or recovered, from a callback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier

from airflow_mlops.alerts import Recipients, failed_tasks

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.spec.model import Alerts
    from airflow_mlops.reporting.alerts.channel import Channel


class MlopsNotifier(BaseNotifier):
    """Mail a failed task, as :class:`~airflow_mlops.operators.alert.AlertOperator` mails a failed run.

    Give it to a task or a DAG as ``on_failure_callback``; as ``on_success_callback`` too, it also mails that a task
    has recovered, or passed with warnings. Airflow does not retry callbacks, and runs none while its DAG processor is
    down: for mails that must not be lost, use the operator.

    :param model: name of the model, or of anything else that has an outbox of its own.
    :param to: mail addresses, instead of ``alerts.email``.
    :param alerts: which outcomes are mailed to whom, as in a spec; None means the defaults.
    :param smtp_conn_id: SMTP connection; None means ``[mlops] smtp_conn_id``.
    :param channel: channel that delivers the notices; None means mail.
    """

    template_fields: Sequence[str] = ("model", "to", "smtp_conn_id")

    def __init__(
        self,
        *,
        model: str,
        to: Sequence[str] | str = (),
        alerts: Alerts | None = None,
        smtp_conn_id: str | None = None,
        channel: Channel | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.to = to
        self.alerts = alerts
        self.smtp_conn_id = smtp_conn_id
        self.channel = channel

    def notify(self, context: Context) -> None:
        """Put the mail into the outbox, and send all mails that wait there.

        :raises MailUndelivered: if a mail could not be sent; Airflow logs it, and the task stays as it is.
        """
        recipients = Recipients(self.model, self.to, self.alerts, self.smtp_conn_id, self.channel)
        if "reason" in context:  # a callback of the DAG, not of a task
            recipients.tell(context, failed_tasks(context))
            return
        ti = context["ti"]
        mapped = getattr(ti, "map_index", None)
        name = ti.task_id if mapped is None or mapped < 0 else f"{ti.task_id}_{mapped}"
        recipients.tell(context, [] if getattr(ti, "state", None) == "success" else [name], task=name)
