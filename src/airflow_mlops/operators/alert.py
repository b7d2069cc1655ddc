"""Tell people that a run has failed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import localtime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops import config
from airflow_mlops.engines import alert, outbox
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.runs import table_uri

if TYPE_CHECKING:
    import smtplib

    from airflow.providers.smtp.hooks.smtp import SmtpHook
    from airflow.sdk import Context

    from airflow_mlops.engines.outbox import Mail


class AlertOperator(BaseOperator):
    """Mail the failed tasks of this run, and what could not be mailed before; skip itself if nothing failed.

    Make it a teardown downstream of every other task: ``others >> alert.as_teardown(on_failure_fail_dagrun=True)``.
    Airflow then runs it when all of them have ended, in whatever way, and its state is that of the run. So it fails
    when it has mailed: the run would be green otherwise.

    :param model: name of the model; its outbox is the Delta table ``<storage>/<model>/outbox``.
    :param to: mail addresses.
    :param smtp_conn_id: SMTP connection; None means ``[mlops] smtp_conn_id``.
    """

    template_fields: Sequence[str] = ("model", "to", "smtp_conn_id")
    ui_color = "#fff3e0"

    def __init__(
        self, *, model: str, to: Sequence[str], smtp_conn_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.to = to
        self.smtp_conn_id = smtp_conn_id

    def execute(self, context: Context) -> None:
        """Write the mail down, send what is pending, and raise last.

        :raises AirflowFailException: if something failed and everybody has been told.
        :raises MailUndelivered: if something failed and a mail could not be sent.
        """
        failed = _failed(context)
        uri = table_uri(self.model, "outbox")
        if not failed:
            self._catch_up(uri)
            raise AirflowSkipException("nothing failed in this run")
        self._tell(uri, alert.compose(_failure(context, self.model, failed)))
        raise AirflowFailException(f"failed: {', '.join(failed)}; mailed to {', '.join(self.to)}")

    def _tell(self, uri: str, mail: Mail) -> None:
        try:
            outbox.put(uri, mail)
        except Exception:
            # What failed may be the storage itself. A mail that may come twice is better than none.
            self.log.exception("%s cannot be written: mailing without it", uri)
            with self._connection() as connection:
                self._send(connection, mail)
        else:
            self._deliver(uri)

    def _catch_up(self, uri: str) -> None:
        try:
            self._deliver(uri)
        except Exception as error:  # noqa: BLE001 - nothing failed in this run, so its alert does not either
            self.log.warning("Earlier alerts wait still: %s", error)

    def _deliver(self, uri: str) -> None:
        if outbox.pending(uri):
            with self._connection() as connection:
                outbox.deliver(uri, lambda mail: self._send(connection, mail))

    @contextmanager
    def _connection(self) -> Iterator[SmtpHook]:
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        name = self.smtp_conn_id or config.smtp_conn_id()
        hook = SmtpHook(smtp_conn_id=name)
        try:
            hook.get_conn()
        except Exception as error:
            raise MailUndelivered(f"No mail server by SMTP connection {name!r}: {error}") from error
        with hook:
            if not hook.from_email:
                raise MailUndelivered(f"SMTP connection {name!r} has no sender: set from_email in its extra.")
            yield hook

    def _send(self, hook: SmtpHook, mail: Mail) -> None:
        message = EmailMessage()
        message["Subject"] = mail.subject
        message["From"] = hook.from_email
        message["To"] = ", ".join(self.to)
        message["Date"] = localtime()
        message["Message-ID"] = f"<{hashlib.sha256(mail.key.encode()).hexdigest()[:32]}@airflow-mlops>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        # The hook's own method makes mails of one part.
        refused = cast("smtplib.SMTP", hook._smtp_client).send_message(message)
        self.log.info("Mailed to %s: %s", ", ".join(self.to), mail.subject)
        for address, (code, _) in refused.items():
            self.log.warning("The mail server refused %s with code %s", address, code)


def _failed(context: Context) -> list[str]:
    """Return this run's failed tasks in the order of the DAG; a mapped one as ``train_0``."""
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    order = list(context["dag"].task_ids)

    def place(name: str) -> tuple[int, str]:
        task = name if name in order else name.rpartition("_")[0]
        return order.index(task) if task in order else len(order), name

    return sorted((name for name, state in states.items() if state == "failed"), key=place)


def _failure(context: Context, model: str, failed: Sequence[str]) -> alert.Failure:
    ti = context["ti"]
    reports = [ti.xcom_pull(task_ids=name, key="validation") for name in failed]
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return alert.Failure(
        model=model,
        dag=ti.dag_id,
        run_id=ti.run_id,
        partition=context.get("partition_key"),
        tasks=tuple(failed),
        reasons=tuple(report["reason"] for report in reports if report),
        url=f"{base}/dags/{quote(ti.dag_id, safe='')}/runs/{quote(ti.run_id, safe='')}" if base else "",
    )
