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
    :param verdict: of its gates when the question was asked.
    :param user: id of the Airflow user. Two answers are one person's if it is the same, whatever the name.
    :param person: who that is, as people know them.
    :param reason: why, in that person's words.
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
    """Return the answers that tasks have pushed: one of them, several, or None for each that was not asked."""
    several = (
        approvals if isinstance(approvals, Iterable) and not isinstance(approvals, dict) else [approvals]
    )
    return [Answer.from_dict(answer) for answer in several if answer]


_NEEDED = {"none": 0, "one": 1, "two": 2}


def approval(
    answers: Sequence[Answer], version: str, verdict: Verdict, *, people: str = "none", override: bool = False
) -> ApprovalOutcome | None:
    """Return what people said if that settles the matter: enough of them approved, or one did not.

    Nobody has to be asked about a candidate that cannot be promoted anyway. An approval counts only with a user and a
    reason.

    :param answers: in the order in which they were given.
    :param version: the candidate; an answer about another one, from before a task was cleared, is none.
    :param verdict: of the candidate's gates; an answer to another one is none either, so that who approved what had
        passed does not override a later failure.
    :param people: how many have to approve: ``none``, ``one`` or ``two`` different ones.
    :param override: True if people may let a candidate through whose verdict is not PASS.
    :return: None if nobody was asked and nobody had to be.
    :raises ApprovalMissing: if too few people approved, one of them twice, or another version or verdict.
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
    given = ApprovalOutcome(answers=tuple(answers)) if answers else None
    passed = verdict is Verdict.PASS
    if any(not answer.approved for answer in answers) or not (passed or (override and answers)):
        return given
    counted = [answer for answer in answers if answer.user.strip() and answer.reason.strip()]
    needed = _NEEDED[people] if passed else max(1, _NEEDED[people])
    if len({answer.user for answer in counted}) < needed:
        raise ApprovalMissing(_missing(counted, needed))
    return given if passed or given is None else given.model_copy(update={"overridden": True})


def _missing(counted: list[Answer], needed: int) -> str:
    who = f"{needed} different people have" if needed > 1 else "A person has"
    if len(counted) > 1:  # and yet too few
        said = f"{counted[0].person} answered twice"
    else:
        said = f"only {counted[0].person} has" if counted else "nobody has"
    return f"{who} to approve, with a reason each, and {said}; clear the task that asks, to ask again."


def told(given: ApprovalOutcome) -> str:
    """Say who approved, and why."""
    return "; ".join(f"{answer.person}: {answer.reason}" for answer in given.answers if answer.approved)


def refusal(given: ApprovalOutcome | None) -> str | None:
    """Say who did not approve, and why; None if nobody objected."""
    against = [answer for answer in given.answers if not answer.approved] if given else []
    return "; ".join(f"{each.person} did not approve: {each.reason}" for each in against) or None
