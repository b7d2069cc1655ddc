"""Approval: what people said about a promotion, and whether it is enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from airflow_mlops.domain.checks import Fact, Verdict
from airflow_mlops.exceptions import ApprovalMissing, SpecError


class Answer(Fact):
    """What one person said about a promotion.

    :param version: the candidate that it is about.
    :param verdict: the verdict of the candidate's gates when the person was asked.
    :param user: id of the Airflow user. Two answers with the same id come from one person, whatever the names are.
    :param person: the person's name.
    :param reason: why, in the person's own words.
    """

    version: str
    verdict: Verdict
    user: str
    person: str
    approved: bool
    reason: str
    at: datetime


class ApprovalOutcome(Fact):
    """What people said about a promotion.

    :param answers: in the order in which they were given.
    :param overridden: True if they let a candidate through whose verdict was not PASS, as its spec allows.
    """

    answers: tuple[Answer, ...]
    overridden: bool = False


def answers_of(approvals: Any) -> list[Answer]:
    """Return the answers that approval tasks have pushed.

    :param approvals: one answer or several, as dicts; None stands for a task that did not ask.
    """
    several = (
        approvals if isinstance(approvals, Iterable) and not isinstance(approvals, dict) else [approvals]
    )
    return [Answer.from_dict(answer) for answer in several if answer]


_NEEDED = {"none": 0, "one": 1, "two": 2}


def approval(
    answers: Sequence[Answer], version: str, verdict: Verdict, *, people: str = "none", override: bool = False
) -> ApprovalOutcome | None:
    """Return the outcome of an approval, once enough people have approved or one has refused.

    Nobody has to be asked about a candidate that cannot be promoted anyway. An approval counts only with a user and a
    reason.

    :param answers: the answers in the order in which they were given.
    :param version: the candidate's version. An answer about another version, from before a task was cleared, is an error.
    :param verdict: the verdict of the candidate's gates. An answer about another verdict is an error too: a person who
        approved a candidate that had passed has not overridden a later failure.
    :param people: how many people have to approve: ``none``, ``one`` or ``two`` (two different ones).
    :param override: True if people may let a candidate through whose verdict is not PASS.
    :return: None if nobody was asked and nobody had to be.
    :raises ApprovalMissing: if too few people approved, if one answered twice, or if an answer is about another version
        or verdict.
    :raises SpecError: if ``people`` is anything else.
    """
    if people not in _NEEDED:
        raise SpecError([f"people: is {people!r}; write none, one or two"], "approval")
    for answer in answers:
        if (answer.version, answer.verdict) != (version, verdict):
            raise ApprovalMissing(
                f"{answer.person} was asked about version {answer.version} with the verdict {answer.verdict}, not about "
                f"version {version} with {verdict}; trigger a new run."
            )
    outcome = ApprovalOutcome(answers=tuple(answers)) if answers else None
    passed = verdict is Verdict.PASS
    if any(not answer.approved for answer in answers) or not (passed or (override and answers)):
        return outcome
    counted = [answer for answer in answers if answer.user.strip() and answer.reason.strip()]
    needed = _NEEDED[people] if passed else max(1, _NEEDED[people])
    if len({answer.user for answer in counted}) < needed:
        raise ApprovalMissing(_missing(counted, needed))
    return outcome if passed or outcome is None else outcome.model_copy(update={"overridden": True})


def _missing(counted: list[Answer], needed: int) -> str:
    who = f"{needed} different people have" if needed > 1 else "A person has"
    if len(counted) > 1:  # and yet too few
        shortfall = f"{counted[0].person} answered twice"
    else:
        shortfall = f"only {counted[0].person} has" if counted else "nobody has"
    return f"{who} to approve, with a reason each, and {shortfall}; clear the task that asks, to ask again."


def consent(outcome: ApprovalOutcome) -> str:
    """Return who approved, and why, in words."""
    return "; ".join(f"{answer.person}: {answer.reason}" for answer in outcome.answers if answer.approved)


def refusal(outcome: ApprovalOutcome | None) -> str | None:
    """Return who did not approve, and why, in words; None if nobody refused."""
    against = [answer for answer in outcome.answers if not answer.approved] if outcome else []
    return "; ".join(f"{answer.person} did not approve: {answer.reason}" for answer in against) or None
