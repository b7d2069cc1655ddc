"""What a run has to tell people, and telling it: shared by the task and the callback."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import conf

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import DatasetVersion, GuardReport, HealthReport, PromotionDecision
from airflow_mlops.domain.facts.scoring import ChallengeReport
from airflow_mlops.domain.facts.validation import ValidationReport
from airflow_mlops.domain.policies.incidents import failing
from airflow_mlops.domain.spec.alerts import Alerts, Event, Level
from airflow_mlops.hooks.mail import MailServer
from airflow_mlops.reporting.alerts import mail, outbox, outcome
from airflow_mlops.reporting.alerts.model import health, moved, promotion, taken_back
from airflow_mlops.reporting.alerts.notice import Notice, Status
from airflow_mlops.reporting.alerts.outbox import Receipt, State
from airflow_mlops.reporting.alerts.outcome import Run
from airflow_mlops.reporting.alerts.validation import validation
from airflow_mlops.runs import report_path, table_uri
from airflow_mlops.stages.monitor.health import history

if TYPE_CHECKING:
    from email.message import EmailMessage

    from airflow.sdk import Context

log = logging.getLogger(__name__)

_READABLE = 64 << 20
_ENDED = ("success", "failed")


class Channel(NamedTuple):
    """Whom a model's mails go to, and how.

    :param model: name of the model; its outbox is the Delta table ``<storage>/<model>/outbox``.
    :param to: mail addresses, or one text with commas between; they come before those of ``alerts``.
    :param alerts: who is told of what; None means the defaults.
    :param smtp_conn_id: SMTP connection; None means ``[mlops] smtp_conn_id``.
    """

    model: str
    to: Sequence[str] | str = ()
    alerts: Alerts | None = None
    smtp_conn_id: str | None = None

    @property
    def policy(self) -> Alerts:
        """Who is told of what.

        :raises SpecError: if an address is none.
        """
        named = self.to.split(",") if isinstance(self.to, str) else self.to
        to = [address.strip() for address in named if address.strip()]
        values = (self.alerts or Alerts()).to_dict()
        return Alerts.from_dict(values | {"email": to} if to else values)

    def tell(self, context: Context, failed: Sequence[str], *, task: str = "") -> str:
        """Write down what this run has to tell, send what waits, and say what was done; empty if there was nothing.

        If nothing failed, nothing is raised either: a mail problem is no problem of the run.

        :param failed: names of what has failed.
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
        """Tell people something while the run goes on; a mail problem is a line in the log.

        :param task: the task that it is about.
        :param write: says it, given the run.
        """
        try:
            run = _run(context, self.model, task)
            log.info("%s", self._publish(run, [write(run)], []) or "nobody is mailed")
        except Exception as error:  # noqa: BLE001 - what waits in the outbox is sent with the next mail
            log.warning("Mails wait still: %s", error)

    def _tell(self, context: Context, failed: Sequence[str], task: str) -> str:
        run = _run(context, self.model, task)
        found, well = _found(context, run, failed)
        said = self._publish(run, found, well)
        return said or ("nobody is told: the alerts name no address or no event for it" if failed else "")

    def _publish(self, run: Run, found: Sequence[Notice], well: Sequence[str]) -> str:
        policy, uri = self.policy, table_uri(self.model, "outbox")
        notices = [notice for notice in found if _wanted(policy, notice) and self._named(policy, notice)]
        try:
            done = [self._put(uri, policy, notice) for notice in notices]
            done += [self._recover(uri, run, topic) for topic in well]
        except Exception:
            # What failed may be the storage itself. A mail that may come twice is better than none.
            log.exception("%s cannot be written: mailing without it", uri)
            for notice in notices:
                self._send(MailServer(self.smtp_conn_id), notice, policy.recipients(notice.levels))
            done = [f"mailed to {', '.join(policy.recipients(notice.levels))}" for notice in notices]
        else:
            self._deliver(uri, policy)
        return "; ".join(each for each in done if each)

    def _named(self, policy: Alerts, notice: Notice) -> bool:
        to = policy.recipients(notice.levels)
        if not to:
            log.warning("Nobody is told of «%s»: no address is named for it", notice.title)
        return bool(to)

    def _put(self, uri: str, policy: Alerts, notice: Notice) -> str:
        entry = outbox.put(uri, notice, cooldown=policy.cooldown)
        if entry.state is State.HELD:
            return "not mailed: the same was mailed before, within the cooldown"
        if policy.digest is not None and Level.URGENT not in entry.notice.levels:
            return "kept for the digest"
        return f"mailed to {', '.join(policy.recipients(entry.notice.levels))}"

    def _recover(self, uri: str, run: Run, topic: str) -> str:
        told = outbox.recover(uri, topic, lambda before: outcome.recovery(run, before))
        return f"told: {told.title}" if told else ""

    def _deliver(self, uri: str, policy: Alerts) -> None:
        server = MailServer(self.smtp_conn_id)
        outbox.deliver(
            uri, lambda notice, to: self._send(server, notice, to), policy.recipients, digest=policy.digest
        )

    def _send(self, server: MailServer, notice: Notice, to: Sequence[str]) -> Receipt:
        page = notice.report
        attached = mail.attachment(page, _read(page)) if page else None
        picture = _read(notice.picture) if notice.picture else None

        def write(sender: str, large: bool) -> EmailMessage:
            what = attached if large or page is None else mail.unattached(page)
            return mail.message(notice, sender=sender, to=to, attached=what, picture=picture)

        return server.send(write, to)


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
        # Airflow raises it when a task is cleared, and leaves it when one is tried again.
        attempt=getattr(ti, "max_tries", None) or 0,
        task=task,
        base=conf.get("api", "base_url", fallback="").rstrip("/"),
    )


def _wanted(policy: Alerts, notice: Notice) -> bool:
    # A failed validation is also a failed run.
    failed = notice.status is Status.FAILED and notice.event is Event.VALIDATION
    return notice.event in policy.events or (failed and Event.FAILURE in policy.events)


def _found(context: Context, run: Run, failed: Sequence[str]) -> tuple[list[Notice], list[str]]:
    """Return what there is to tell, and the topics that are well."""
    said = _Said(context, run.task)
    try:
        return _judge(said, run, failed)
    except Exception:
        # An odd XCom must keep back neither the news that the run has failed, nor what waits in the outbox.
        log.exception("What the tasks have pushed cannot be told: the mail says only what failed")
        return [outcome.failure(run, failed)] if failed else [], []


def _judge(said: _Said, run: Run, failed: Sequence[str]) -> tuple[list[Notice], list[str]]:
    notices = list(_validations(said, run, failed))
    # What has happened to the champion is told whatever else has failed.
    guarded = [GuardReport.from_dict(each) for each in said.results("GuardOperator")]
    champion = [
        notice for report in guarded for notice in (moved(run, report), taken_back(run, report)) if notice
    ]
    trials = [ChallengeReport.from_dict(each).moved for each in said.results("ShadowOperator")]
    champion += [notice for each in trials if each and (notice := promotion(run, each))]
    if failed:
        return [*(notices or [outcome.failure(run, failed)]), *champion], []
    well = [] if notices else [run.topic]
    well += [run.alias for report in guarded if report.alias.verdict is Verdict.PASS]
    notices += champion
    for report in map(HealthReport.from_dict, said.results("HealthOperator")):
        if report.verdict is Verdict.FAIL:
            since = failing(history(table_uri(report.model, "monitoring")), report.partition)
            notices.append(
                health(
                    run,
                    report,
                    said.page("DriftOperator"),
                    since=since,
                    picture=said.page("DriftOperator", "picture"),
                )
            )
        elif not failing(history(table_uri(report.model, "monitoring"))):
            # Also if labels are missing, and not if an earlier partition was judged again while later ones are bad.
            well.append(run.health)
    decided = said.results("PromoteOperator", "RecordOperator", "RollbackOperator")
    told = {
        notice.id: notice for each in decided if (notice := promotion(run, PromotionDecision.from_dict(each)))
    }
    return [*notices, *told.values()], well


def _validations(said: _Said, run: Run, failed: Sequence[str]) -> Iterator[Notice]:
    # Of a source, ValidateOperator returns a report.
    answers = said.results("IngestOperator", "ValidateOperator", "PublishOperator")
    versions = {each["name"]: each for each in answers if isinstance(each, dict) and "digest" in each}
    for task, each in said.pulled("validation", "ValidateOperator"):
        pages = _listed(said.ti.xcom_pull(task_ids=task, key="report"))
        reports = [ValidationReport.from_dict(values) for values in each]
        # Of a mapped task, one whose page could not be kept leaves nobody able to tell whose the others are.
        for report, page in zip(
            reports, pages if len(pages) == len(reports) else [None] * len(reports), strict=True
        ):
            stopped = report.verdict is not Verdict.PASS and any(_is_of(name, task) for name in failed)
            if stopped or (not failed and report.warned):
                version = versions.get(report.dataset)
                dataset = DatasetVersion.from_dict(version) if version else None
                yield validation(run, report, failed=failed, dataset=dataset, page=page)


def _is_of(name: str, task: str) -> bool:
    """Tell whether a name is that of a task, or of one that it was mapped to."""
    return name == task or re.fullmatch(rf"{re.escape(task)}_\d+", name) is not None


def _listed(value: Any) -> list[Any]:
    """Return an XCom of a task, or those of all that it was mapped to, as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


class _Said:
    """What the tasks of a run have pushed, those that ended in this attempt.

    :param only: the one task that is asked; empty for all.
    """

    def __init__(self, context: Context, only: str) -> None:
        self.ti: Any = context["ti"]
        self.tasks = context["dag"].tasks
        # What was pushed by a task that did not run this time is left from before the run was cleared.
        self.states = {self.ti.task_id: "failed"} if only else _states(context)

    def pulled(self, key: str, *kinds: str) -> Iterator[tuple[str, list[Any]]]:
        for task in self.tasks:
            kind = getattr(task, "operator_class", type(task))
            states = [state for name, state in self.states.items() if _is_of(name, task.task_id)]
            ended = any(state in _ENDED for state in states)
            if ended and any(each.__name__ in kinds for each in getattr(kind, "__mro__", ())):
                values = _listed(self.ti.xcom_pull(task_ids=task.task_id, key=key))
                if values:
                    yield task.task_id, values

    def results(self, *kinds: str) -> list[Any]:
        return [value for _, values in self.pulled("return_value", *kinds) for value in values]

    def page(self, kind: str, key: str = "report") -> str | None:
        return next((str(values[0]) for _, values in self.pulled(key, kind)), None)


def _read(page: str) -> bytes | None:
    try:
        # Nobody gets a file of this machine mailed by naming it, or a link to it, as a report.
        path = report_path(page)
        return path.read_bytes() if path.stat().st_size <= _READABLE else None
    except Exception as error:  # noqa: BLE001 - the mail goes without it
        log.warning("The report %s cannot be attached: %s", page, error)
        return None
