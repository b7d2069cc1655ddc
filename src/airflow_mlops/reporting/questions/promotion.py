"""The question whether to promote a candidate: its form and mail, with the evidence, and which answers count."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.approval import Answer
from airflow_mlops.domain.facts.results import Evaluation
from airflow_mlops.domain.spec.alerts import Event, Level
from airflow_mlops.reporting.alerts.model import findings
from airflow_mlops.reporting.alerts.notice import Link, Notice, Passage, Status
from airflow_mlops.reporting.alerts.outcome import LISTED, Run
from airflow_mlops.reporting.markdown import escape
from airflow_mlops.reporting.verdicts import appearance, gravest_first, observed, of_check, subject
from airflow_mlops.reporting.words import learned, line

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.approval import Approval

REASON = "reason"
"""Name of the form's field."""
SHORTEST, LONGEST = 3, 1000
"""Signs of a reason."""

_SHOWN = 40


class ApprovalQuestion(NamedTuple):
    """The question whether to promote a candidate.

    :param evaluation: the candidate and the evidence.
    :param policy: who may answer, until when, and whether a failed gate may be overridden.
    :param first: what the first person answered; None if this is the first question.
    """

    evaluation: Evaluation
    policy: Approval
    first: Answer | None = None

    @property
    def passed(self) -> bool:
        """Whether the gates were passed, so that an approval overrides nothing."""
        return self.evaluation.verdict is Verdict.PASS

    @property
    def moot(self) -> str | None:
        """Why nobody needs to be asked; None if somebody does."""
        if not self.passed and not self.policy.override:
            return f"{appearance(self.evaluation.verdict)}: {self.evaluation.reason}"
        if self.first is not None and not self.first.approved:
            return f"{self.first.person} has rejected it already: {self.first.reason}"
        return None

    @property
    def subject(self) -> str:
        """The question in one line."""
        what = f"version {self.evaluation.candidate.version} of {self.evaluation.model}"
        asks = f"Promote {what}?" if self.passed else f"Promote {what} although its gates were NOT passed?"
        return f"{asks} Partition {self.evaluation.partition}{self._turn}"

    @property
    def _turn(self) -> str:
        # Without the name of the first person: the form of a task that is cleared must stay the same.
        return ", second approval" if self.first else ""


class Response(NamedTuple):
    """A response to the form, which is not yet an answer that counts.

    :param user: id of the Airflow user; None if it is not known.
    :param name: that user's name.
    """

    approved: bool
    user: str | None
    name: str
    reason: str
    at: datetime

    @property
    def person(self) -> str:
        """The user's name with the id, unless they are the same: names need not be unique, ids are."""
        return self.name if self.name == self.user else f"{self.name} ({self.user})"


def read_response(event: dict[str, Any], *, approved: bool) -> Response:
    """Read a response from Airflow's event, which anybody may have sent by the REST API instead of the form."""
    user = event.get("responded_by_user") or {}
    reason = (event.get("params_input") or {}).get(REASON)
    return Response(
        approved=approved,
        user=str(user["id"]) if user.get("id") else None,
        name=line(str(user.get("name") or user.get("id") or "")),
        reason=line(reason[: 2 * LONGEST])[:LONGEST] if isinstance(reason, str) else "",
        at=event["responded_at"],
    )


def problem(response: Response, users: Sequence[str]) -> str | None:
    """Return why a response does not come from a person who may answer; None if it does.

    :param users: ids of those who may answer; empty for everyone who may edit the run.
    """
    if response.user is None:
        return "nobody is known to have given it"
    # By the id alone: whoever may choose a name could choose one of these.
    if users and response.user not in users:
        return f"{response.person} is not among those who may: {', '.join(users)}"
    return None


def accept(question: ApprovalQuestion, response: Response) -> Answer | str:
    """Return the answer, or why the response does not count as one.

    A rejection counts without a reason too: to ask again would give others the chance to approve in the meantime.
    """
    if (objection := problem(response, question.policy.users)) is not None:
        return objection
    if response.approved and question.first is not None and response.user == question.first.user:
        return f"{response.person} has approved already; the second approval is another person's"
    if response.approved and len(response.reason) < SHORTEST:
        return f"{response.person} approved without a reason of at least {SHORTEST} signs"
    reason = response.reason or "no reason given"
    return Answer(
        version=question.evaluation.candidate.version,
        verdict=question.evaluation.verdict,
        user=str(response.user),
        person=response.person,
        approved=response.approved,
        reason=reason,
        at=response.at,
    )


def body(question: ApprovalQuestion, links: Sequence[Link]) -> str:
    """Return the text of the form, in Markdown: the evidence, and what an answer does.

    Names, reasons and slices are shown literally, whatever they look like.
    """
    return "\n\n".join(part for part in _parts(question, links) if part) + "\n"


def notice(
    run: Run, question: ApprovalQuestion, *, form: str, until: datetime, repeats: int = 0, why: str = ""
) -> Notice:
    """Return the notice that people are asked, with the same evidence and a link to the form.

    :param run: of the task that asks.
    :param form: path of the form below the address of Airflow.
    :param until: when the question lapses.
    :param repeats: how often it was asked before.
    :param why: why the last answer did not count; empty if there was none yet.
    """
    evaluation = question.evaluation
    happened = run.happened(f"{run.topic}/asked")
    who = ", ".join(question.policy.users) or "everyone who may edit the run"
    verdict = f"{appearance(evaluation.verdict)}: {evaluation.reason}"
    links = run.links(("Open the form", form), ("Open the model card", card(evaluation)))
    return Notice(
        id=f"{happened}/{repeats}" if repeats else happened,
        # Of several answers that did not count, the first is mailed at once, the others when the cooldown is over.
        key=f"{happened}/again" if repeats else happened,
        topic=run.topic,
        event=Event.APPROVAL,
        status=Status.NEWS if question.passed else Status.WARNED,
        # The pipeline stands still until somebody answers, so this is not kept for a digest.
        levels=(Level.URGENT,),
        title=question.subject,
        badge="APPROVAL" if question.passed else "GATES NOT PASSED",
        summary=(f"Asked again, for the last answer does not count: {why}.", verdict) if why else (verdict,),
        facts=run.facts(
            ("Candidate", _candidate(evaluation)),
            ("Champion", f"version {evaluation.champion.version}" if evaluation.champion else "none"),
            ("Scores", ", ".join(_scores(evaluation))),
            ("Asked", who),
            ("Approved", f"by {question.first.person}: {question.first.reason}" if question.first else None),
            ("Until", f"{until:%Y-%m-%d %H:%M} UTC"),
        ),
        findings=findings(gravest_first(evaluation.checks)),
        more=max(0, len(evaluation.checks) - LISTED),
        passages=(Passage(heading="What an answer does", text=" ".join(_effects(question))),),
        # The form first: mails show the first link as a button.
        links=(*links[1:], *links[:1]),
    )


def card(evaluation: Evaluation) -> str:
    """Return the path of the model card below the address of Airflow."""
    return f"/mlops/reports/{evaluation.model}/{evaluation.partition}/model_card.html"


def _parts(question: ApprovalQuestion, links: Sequence[Link]) -> Iterator[str]:
    evaluation = question.evaluation
    count = len(evaluation.checks)
    if question.passed:
        yield (
            f"**All {count} gates were passed.** {shown_as_is(evaluation.reason)}"
            if count
            else shown_as_is(evaluation.reason)
        )
    else:
        broken = sum(check.verdict is not Verdict.PASS for check in evaluation.checks)
        yield f"# THE GATES WERE NOT PASSED: {appearance(evaluation.verdict)}"
        yield f"**{broken} of {count} gates were not passed.** {shown_as_is(evaluation.reason)}"
    yield (
        f"Candidate: {shown_as_is(_candidate(evaluation))}.  \n"
        + (
            f"Champion now: version {evaluation.champion.version}."
            if evaluation.champion
            else "There is no champion yet."
        )
    )
    yield " · ".join(f"[{link.label}]({link.url})" for link in links)
    yield _metrics(evaluation)
    yield _gates(evaluation.checks)
    yield "\n".join(f"- {shown_as_is(remark)}" for remark in evaluation.candidate.remarks)
    yield " ".join(_effects(question))


def _effects(question: ApprovalQuestion) -> Iterator[str]:
    if question.passed:
        yield "Approve makes the candidate the champion."
    else:
        yield "Approve overrides the gates, and the ledger says so with your name and reason."
    if question.first is not None:
        yield "This is the second approval: whoever gave the first cannot give it."
    elif question.policy.people == "two":
        yield "A second person has to approve too."
    yield "Reject leaves the champion as it is."
    yield "A reason is needed, and is kept in the ledger."
    yield "Without an answer in time the run fails and the champion stays."


def _metrics(evaluation: Evaluation) -> str:
    rows = [
        (
            name,
            _number(value),
            _interval(evaluation.intervals.get(name)),
            _number(evaluation.champion_metrics.get(name)),
        )
        for name, value in evaluation.metrics.items()
    ]
    return table(("metric", "candidate", "interval", "champion"), rows) if rows else ""


def _gates(checks: Sequence[Check]) -> str:
    shown = gravest_first(checks)[:_SHOWN]
    rows = [
        (
            shown_as_is(subject(check)),
            str(of_check(check)) if check.verdict is Verdict.PASS else f"**{of_check(check)}**",
            shown_as_is(check.expected),
            observed(check) or "–",
            _number(check.baseline),
            _interval(check.interval),
            shown_as_is(check.reason),
        )
        for check in shown
    ]
    listed = table(("gate", "verdict", "expected", "observed", "champion", "interval", "what it says"), rows)
    more = f"\n\n… and {len(checks) - _SHOWN} more gates: see the model card." if len(checks) > _SHOWN else ""
    return listed + more if rows else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, of cells that are Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def _candidate(evaluation: Evaluation) -> str:
    candidate = evaluation.candidate
    return (
        f"version {candidate.version}, {candidate.candidate}, from {learned(candidate)}, judged on "
        f"{candidate.split.holdout_rows:,} later ones"
    )


def _scores(evaluation: Evaluation) -> Iterator[str]:
    for name, value in evaluation.metrics.items():
        beside = evaluation.champion_metrics.get(name)
        yield f"{name} {_number(value)}" + (f" (champion {_number(beside)})" if beside is not None else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _interval(value: tuple[float, float] | None) -> str:
    return "–" if value is None else f"{value[0]:.4g} to {value[1]:.4g}"


def shown_as_is(value: str) -> str:
    """Return a text as Markdown that shows it literally, whatever it looks like."""
    # Airflow makes links of what looks like an address, escaped or not.
    return re.sub(r"(?i)(:)(//)|(www)(\.)", "\\1\\3\u200b\\2\\4", escape(value))
