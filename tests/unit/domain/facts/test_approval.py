from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.approval import Answer, approval, refusal
from airflow_mlops.exceptions import ApprovalMissing, SpecError


def say(
    person: str,
    approved: bool = True,
    reason: str = "looks right",
    verdict: Verdict = Verdict.PASS,
    user: str | None = None,
) -> Answer:
    return Answer(
        version="2", verdict=verdict, user=person if user is None else user, person=person, approved=approved,
        reason=reason, at=datetime(2013, 2, 1, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("people", "answers"),
    [
        ("none", []),
        ("none", [say("anna")]),
        ("one", [say("anna")]),
        ("two", [say("anna"), say("ben")]),
        ("two", [say("anna"), say("anna"), say("ben")]),
        ("two", [say("anna", user="7"), say("anna", user="8")]),
    ],
)
def test_enough_different_people_let_a_passed_candidate_through(people: str, answers: list[Answer]) -> None:
    found = approval(answers, "2", Verdict.PASS, people=people)
    assert (found is None) == (not answers)
    assert found is None or (found.answers, found.overridden) == (tuple(answers), False)


@pytest.mark.parametrize(
    ("people", "answers", "said"),
    [
        ("one", [], "A person has to approve, .* nobody has"),
        ("one", [say("anna", reason="  ")], "nobody has"),
        ("one", [say(" ")], "nobody has"),
        ("two", [], "2 different people have to approve, .* nobody has"),
        ("two", [say("anna")], "only anna has"),
        ("two", [say("anna"), say("anna")], "anna answered twice"),
        ("two", [say("anna (7)", user="7"), say("anna b. (7)", user="7")], r"anna \(7\) answered twice"),
    ],
)
def test_too_few_people_are_an_error_whatever_the_gates_say(
    people: str, answers: list[Answer], said: str
) -> None:
    with pytest.raises(ApprovalMissing, match=said):
        approval(answers, "2", Verdict.PASS, people=people)
    if answers:
        failed = [answer.model_copy(update={"verdict": Verdict.FAIL}) for answer in answers]
        with pytest.raises(ApprovalMissing, match=said):
            approval(failed, "2", Verdict.FAIL, people=people, override=True)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_people_override_the_gates_only_where_they_may(verdict: Verdict) -> None:
    both = [say("anna", verdict=verdict), say("ben", verdict=verdict)]
    assert approval([], "2", verdict, people="two") is None
    assert approval([], "2", verdict, people="two", override=True) is None
    refused, allowed = (approval(both, "2", verdict, people="two", override=may) for may in (False, True))
    assert refused is not None
    assert not refused.overridden
    assert allowed is not None
    assert allowed.overridden


def test_one_who_objects_settles_the_matter_and_is_named() -> None:
    found = approval([say("anna"), say("ben", False, "too early")], "2", Verdict.PASS, people="two")
    assert refusal(found) == "ben did not approve: too early"
    failed = [say("ben", False, verdict=Verdict.FAIL), say("anna", verdict=Verdict.FAIL)]
    overruled = approval(failed, "2", Verdict.FAIL, people="one", override=True)
    assert overruled is not None
    assert not overruled.overridden
    assert refusal(approval([say("anna")], "2", Verdict.PASS, people="one")) is None


def test_an_unknown_number_of_people_is_no_free_pass() -> None:
    with pytest.raises(SpecError, match="'three'; write none, one or two"):
        approval([], "2", Verdict.PASS, people="three")


def test_an_answer_about_another_version_is_none() -> None:
    with pytest.raises(ApprovalMissing, match="anna was asked about version 2 .*, not about version 3"):
        approval([say("anna")], "3", Verdict.PASS, people="one")


@pytest.mark.parametrize("approved", [True, False])
def test_an_answer_on_what_had_passed_overrides_no_later_failure(approved: bool) -> None:
    with pytest.raises(ApprovalMissing, match="with the verdict PASS, not about version 2 with FAIL"):
        approval([say("anna", approved)], "2", Verdict.FAIL, people="one", override=True)
