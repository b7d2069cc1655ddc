"""What people are asked about a retraining that the policy suggests, and what follows from their answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.results import RetrainDecision
from airflow_mlops.domain.retraining_rules import OFF
from airflow_mlops.domain.spec_alerts import Event, Level
from airflow_mlops.engines.alert import Run
from airflow_mlops.engines.alert_model import findings
from airflow_mlops.engines.approval import LONGEST, Given
from airflow_mlops.engines.card_text import escape
from airflow_mlops.engines.mails import Notice, Passage, Status

_EFFECT = (
    "Approve trains the candidates now; the gates decide on them as ever. Reject keeps the champion, and the same problem "
    "is not suggested again before it was over once, unless the policy says so (retrain.again). Without an answer in time "
    "nothing is trained."
)


def subject(decision: RetrainDecision) -> str:
    """Return the question in one line."""
    return f"Retrain {decision.model}? Partition {decision.partition}"


def body(decision: RetrainDecision) -> str:
    """Return what the form says, in Markdown: every rule of the policy, and what an answer does.

    What stands in reasons is shown as text, whatever it looks like.
    """
    return "\n\n".join((_text(decision.reason), "\n".join(_table(_policy(decision))), _EFFECT)) + "\n"


def notice(run: Run, decision: RetrainDecision, until: datetime, asked: int, why: str) -> Notice:
    """Tell people that they are asked.

    :param run: of the task that asks.
    :param until: when the question lapses.
    :param asked: how often it was asked before.
    :param why: why the last answer was none; empty if there was none yet.
    """
    happened = run.happened(f"{run.topic}/asked")
    told = (f"Asked again, for the last answer does not count: {why}.",) if why else ()
    rules = _policy(decision)
    return Notice(
        id=f"{happened}/{asked}" if asked else happened,
        key=f"{happened}/again" if asked else happened,
        topic=run.topic,
        event=Event.APPROVAL,
        status=Status.NEWS,
        # Later partitions wait for this one's decision, so it is not kept for a digest.
        levels=(Level.URGENT,),
        title=subject(decision),
        badge="RETRAIN?",
        summary=(*told, decision.reason),
        facts=run.facts(("Until", f"{until:%Y-%m-%d %H:%M} UTC")),
        findings=findings(rules),
        passages=(Passage(heading="What an answer does", text=_EFFECT),),
        links=run.links(),
    )


def problem(said: Given, users: Sequence[str]) -> str | None:
    """Return why an answer is none; None if it counts.

    :param users: ids of those who may answer; empty for everyone who may edit the run.
    """
    if said.user is None:
        return "nobody is known to have given it"
    # By the id alone: whoever may choose a name could choose one of these.
    if users and said.user not in users:
        return f"{said.person} is not among those who may: {', '.join(users)}"
    return None


def answered(decision: RetrainDecision, said: Given) -> RetrainDecision:
    """Return the decision that a person has made of a suggestion."""
    what = "wants it" if said.approved else "does not want it"
    reason = f"{said.person} {what}: {said.reason[:LONGEST] or 'no reason given'} ({decision.reason})"
    return decision.model_copy(update={"retrain": said.approved, "reason": reason})


def lapsed(decision: RetrainDecision) -> RetrainDecision:
    """Return the decision that follows when nobody has answered."""
    return decision.model_copy(
        update={"reason": f"nobody has answered in time, so nothing is trained ({decision.reason})"}
    )


def _policy(decision: RetrainDecision) -> list[Check]:
    """Return the rules that the policy has, those that ask first."""
    rules = [check for check in decision.checks if check.expected != OFF]
    return sorted(rules, key=lambda check: check.verdict is not Verdict.FAIL)


def _table(rules: Sequence[Check]) -> Iterator[str]:
    yield "| rule | verdict | expected | what it says |"
    yield "| --- | --- | --- | --- |"
    for rule in rules:
        cells = (rule.name, rule.verdict.value, rule.expected, rule.reason)
        yield "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(value: str) -> str:
    # Airflow makes links of what looks like an address, escaped or not.
    return re.sub(r"(?i)(:)(//)|(www)(\.)", "\\1\\3\u200b\\2\\4", escape(value))
