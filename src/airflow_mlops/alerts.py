"""Alerts of a run: which notices it has for people, and mailing them, for the task and the callback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import conf

from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.spec.alerts import Alerts
from airflow_mlops.exceptions import PlaceRefused
from airflow_mlops.hooks.mail import MailServer
from airflow_mlops.reporting.alerts.judge import News, Statements, is_of, judge
from airflow_mlops.reporting.alerts.outcome import Run, failure
from airflow_mlops.reporting.alerts.post import post
from airflow_mlops.runs import FACTS, read_report, table_uri
from airflow_mlops.stages.monitor import health
from airflow_mlops.stores.registry import ledger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.facts.results import HealthReport, PromotionDecision
    from airflow_mlops.reporting.alerts.channel import Channel
    from airflow_mlops.reporting.alerts.notice import Notice

log = logging.getLogger(__name__)

_ENDED = ("success", "failed")


class Recipients(NamedTuple):
    """The recipients of a model's alerts, and the channel to them.

    :param model: name of the model; its outbox is the Delta table ``<storage>/<model>/outbox``.
    :param to: mail addresses, or one text with commas between; they come before those of ``alerts``.
    :param alerts: which outcomes are mailed to whom; None means the defaults.
    :param smtp_conn_id: SMTP connection; None means ``[mlops] smtp_conn_id``.
    :param channel: channel that delivers the notices; None means mail, by that connection.
    """

    model: str
    to: Sequence[str] | str = ()
    alerts: Alerts | None = None
    smtp_conn_id: str | None = None
    channel: Channel | None = None

    @property
    def policy(self) -> Alerts:
        """Which outcomes are mailed to whom.

        :raises SpecError: if an address is not valid.
        """
        addresses = self.to.split(",") if isinstance(self.to, str) else self.to
        to = [address.strip() for address in addresses if address.strip()]
        section = (self.alerts or Alerts()).to_dict()
        return Alerts.from_dict(section | {"email": to} if to else section)

    def tell(self, context: Context, failed: Sequence[str], *, task: str = "") -> str:
        """Put the notices of this run into the outbox, send all that wait, and return what was done, empty if nothing.

        If nothing failed, nothing is raised either: a mail problem is no problem of the run.

        :param failed: names of the tasks that failed.
        :param task: the one task that is watched; empty for the whole run.
        :raises MailUndelivered: if something failed and a mail could not be sent.
        """
        try:
            return self._tell(context, failed, task)
        except Exception as error:
            if failed:
                raise
            log.warning("Mails wait still: %s", error)
            return ""

    def say(self, context: Context, task: str, write: Callable[[Run], Notice]) -> None:
        """Mail a notice while the run goes on; a mail problem is only logged.

        :param task: the task that the notice is about.
        :param write: returns the notice, given the run.
        """
        try:
            run = _run(context, self.model, task)
            log.info("%s", self._post(run, News([write(run)])) or "nobody is mailed")
        except Exception as error:  # noqa: BLE001 - what waits in the outbox is sent with the next mail
            log.warning("Mails wait still: %s", error)

    def _tell(self, context: Context, failed: Sequence[str], task: str) -> str:
        run = _run(context, self.model, task)
        line = self._post(run, _news(context, run, failed))
        return line or ("nobody is told: the alerts name no address or no event for it" if failed else "")

    def _post(self, run: Run, news: News) -> str:
        channel = self.channel or MailServer(self.smtp_conn_id, read=read_report)
        return post(self._outbox(), run, news, self.policy, channel)

    def _outbox(self) -> str | None:
        try:
            return table_uri(self.model, "outbox")
        except PlaceRefused as error:
            # People are to hear of a failure also where the alert itself was given a name that no table can have.
            log.error("There is no outbox, so nothing is kept back or sent later: %s", error)
            return None


def failed_tasks(context: Context) -> list[str]:
    """Return this run's failed tasks in the order of the DAG; a mapped one as ``train_0``."""
    states = _states(context)
    order = list(context["dag"].task_ids)

    def place(name: str) -> tuple[int, str]:
        task = name if name in order else name.rpartition("_")[0]
        return order.index(task) if task in order else len(order), name

    return sorted((name for name, state in states.items() if state == "failed"), key=place)


def _states(context: Context) -> dict[str, str]:
    ti = context["ti"]
    states: dict[str, str] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    return states


def _run(context: Context, model: str, task: str) -> Run:
    ti = context["ti"]
    return Run(
        model=model,
        dag=ti.dag_id,
        run_id=ti.run_id,
        partition=context.get("partition_key"),
        # Airflow raises max_tries when a task is cleared, and leaves it as it is when one is retried.
        attempt=getattr(ti, "max_tries", None) or 0,
        task=task,
        base=conf.get("api", "base_url", fallback="").rstrip("/"),
    )


def _news(context: Context, run: Run, failed: Sequence[str]) -> News:
    # Statements of a task that did not run this time are left from before the run was cleared.
    states = {context["ti"].task_id: "failed"} if run.task else _states(context)
    try:
        return judge(run, _statements(context, states), failed, _history, _decided)
    except Exception:
        # A malformed XCom must not hold back the news that the run has failed, nor the mails that wait.
        log.exception("What the tasks have pushed cannot be told: the mail says only what failed")
        return News([failure(run, failed)] if failed else [])


def _statements(context: Context, states: dict[str, str]) -> Statements:
    """Return the statements of the tasks that ended in this attempt.

    :param states: state of each task, and of each instance of a mapped one.
    """
    ti: Any = context["ti"]
    ended = [name for name, state in states.items() if state in _ENDED]
    return {
        task: [Statement.from_dict(part) for part in _flat(ti.xcom_pull(task_ids=task, key=FACTS))]
        for task in context["dag"].task_ids
        if any(is_of(name, task) for name in ended)
    }


def _flat(pushed: Any) -> Iterator[Any]:
    """Yield the parts of the XCom of a task, or of the XComs of all instances of a mapped one."""
    if isinstance(pushed, list):
        for part in pushed:
            yield from _flat(part)
    elif pushed is not None:
        yield pushed


def _history(model: str) -> list[HealthReport]:
    return health.history(table_uri(model, "monitoring"))


def _decided(model: str, partitions: Sequence[str]) -> list[PromotionDecision]:
    rows = ledger.rows(table_uri(model, "ledger"))
    return ledger.decisions(rows.having("partition", *partitions))
