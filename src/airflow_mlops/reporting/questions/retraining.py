"""The question whether to retrain, if the policy suggests it: its form and mail, and what follows from the answer."""

from __future__ import annotations

from datetime import datetime

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.retraining import ANSWER, RetrainDecision
from airflow_mlops.domain.policies.retraining_rules import OFF
from airflow_mlops.domain.spec.alerts import Event, Level
from airflow_mlops.reporting.alerts.model import findings
from airflow_mlops.reporting.alerts.notice import Notice, Passage, Status
from airflow_mlops.reporting.alerts.outcome import Run
from airflow_mlops.reporting.questions.promotion import LONGEST, Response, shown_as_is, table
from airflow_mlops.reporting.verdicts import of_check

_EFFECT = (
    "Approve trains the candidates now; the gates decide on them as ever. Reject keeps the champion, and the same problem "
    "is not suggested again before it was over once, unless the policy says so (retrain.again). Without an answer in time "
    "nothing is trained, and the next partition may suggest it again."
)


def subject(decision: RetrainDecision) -> str:
    """Return the question in one line."""
    return f"Retrain {decision.model}? Partition {decision.partition}"


def body(decision: RetrainDecision) -> str:
    """Return the text of the form, in Markdown: every rule of the policy, and what an answer does.

    Reasons are shown literally, whatever they look like.
    """
    rows = [
        [shown_as_is(str(cell)) for cell in (rule.name, of_check(rule), rule.expected, rule.reason)]
        for rule in _policy(decision)
    ]
    rules = table(("rule", "what it does", "unless", "what it says"), rows)
    return "\n\n".join((shown_as_is(decision.reason), rules, _EFFECT)) + "\n"


def notice(run: Run, decision: RetrainDecision, until: datetime, repeats: int, why: str) -> Notice:
    """Return the notice that people are asked.

    :param run: of the task that asks.
    :param until: when the question lapses.
    :param repeats: how often it was asked before.
    :param why: why the last answer did not count; empty if there was none yet.
    """
    happened = run.happened(f"{run.topic}/asked")
    repeat = (f"Asked again, for the last answer does not count: {why}.",) if why else ()
    rules = _policy(decision)
    return Notice(
        id=f"{happened}/{repeats}" if repeats else happened,
        key=f"{happened}/again" if repeats else happened,
        topic=run.topic,
        event=Event.APPROVAL,
        status=Status.NEWS,
        # Later partitions wait for this one's decision, so it is not kept for a digest.
        levels=(Level.URGENT,),
        title=subject(decision),
        badge="RETRAIN",
        summary=(*repeat, decision.reason),
        facts=run.facts(("Until", f"{until:%Y-%m-%d %H:%M} UTC")),
        findings=findings(rules),
        passages=(Passage(heading="What an answer does", text=_EFFECT),),
        links=run.links(),
    )


def answered(decision: RetrainDecision, response: Response) -> RetrainDecision:
    """Return the decision that a person has made of a suggestion."""
    what = "wants it" if response.approved else "does not want it"
    reason = f"{response.person} {what}: {response.reason[:LONGEST] or 'no reason given'}"
    return _ended(decision, Verdict.FAIL if response.approved else Verdict.PASS, reason)


def lapsed(decision: RetrainDecision) -> RetrainDecision:
    """Return the decision that follows when nobody has answered: no person has said no, so it may be asked again."""
    return _ended(decision, Verdict.INCONCLUSIVE, "nobody has answered in time, so nothing is trained")


def _ended(decision: RetrainDecision, verdict: Verdict, reason: str) -> RetrainDecision:
    answer = Check(name=ANSWER, verdict=verdict, expected="no retraining is wanted", reason=reason)
    return decision.model_copy(
        update={
            "retrain": verdict is Verdict.FAIL,
            "checks": (*decision.checks, answer),
            "reason": f"{reason} ({decision.reason})",
        }
    )


def _policy(decision: RetrainDecision) -> list[Check]:
    """Return the rules of the policy, those that ask for a retraining first."""
    rules = [check for check in decision.checks if check.expected != OFF]
    return sorted(rules, key=lambda check: check.verdict is not Verdict.FAIL)
