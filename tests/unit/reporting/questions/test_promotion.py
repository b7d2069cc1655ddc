from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from markdown_it import MarkdownIt

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.approval import Answer
from airflow_mlops.domain.spec.alerts import Level
from airflow_mlops.domain.spec.approval import Approval
from airflow_mlops.reporting.alerts.notice import Link, Status
from airflow_mlops.reporting.questions.promotion import (
    LONGEST,
    ApprovalQuestion,
    Response,
    accept,
    body,
    notice,
    read_response,
)
from airflow_mlops.reporting.verdicts import appearance
from notices import make_answer, make_candidate, make_check, make_evaluation, make_run

NOW = datetime(2013, 5, 2, tzinfo=UTC)
FORM = "/dags/flights.train/runs/r/tasks/approve/required_actions"


def make_question(
    verdict: Verdict = Verdict.PASS, *, first: Answer | None = None, **policy: Any
) -> ApprovalQuestion:
    return ApprovalQuestion(make_evaluation(verdict), Approval(**({"people": "one"} | policy)), first)


def said(**changes: Any) -> Response:
    values = {"approved": True, "user": "bob", "name": "bob", "reason": "looks good", "at": NOW}
    return Response(**(values | changes))


def tell(question: ApprovalQuestion, **changes: Any) -> Any:
    values = {"form": FORM, "until": NOW + timedelta(days=7)} | changes
    return notice(make_run(dag="flights.train", task="approve"), question, **values)


@pytest.mark.parametrize(
    ("question", "moot"),
    [
        (make_question(), None),
        (make_question(Verdict.FAIL), "✗ FAIL: worse by 0.014"),
        (make_question(Verdict.INCONCLUSIVE), "? INCONCLUSIVE: worse by 0.014"),
        (make_question(Verdict.FAIL, override=True), None),
        (make_question(Verdict.INCONCLUSIVE, override=True), None),
        (make_question(first=make_answer()), None),
        (
            make_question(first=make_answer(approved=False, reason="a holiday")),
            "alice has rejected it already: a holiday",
        ),
    ],
)
def test_people_are_asked_about_what_passed_and_about_the_rest_only_if_the_spec_allows(
    question: ApprovalQuestion, moot: str | None
) -> None:
    assert question.moot == moot


def test_the_answer_of_a_person_with_a_reason_counts() -> None:
    assert accept(make_question(), said()) == Answer(
        version="5",
        verdict=Verdict.PASS,
        user="bob",
        person="bob",
        approved=True,
        reason="looks good",
        at=NOW,
    )


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_an_answer_keeps_the_verdict_that_it_was_asked_about(verdict: Verdict) -> None:
    answer = accept(make_question(verdict, override=True), said())
    assert isinstance(answer, Answer)
    assert answer.verdict is verdict


def test_people_with_the_same_name_are_told_apart() -> None:
    answer = accept(make_question(first=make_answer("bob (7)", user="7")), said(user="8"))
    assert isinstance(answer, Answer)
    assert answer.person == "bob (8)"


@pytest.mark.parametrize(
    ("question", "changes", "why"),
    [
        (make_question(), {"reason": ""}, "bob approved without a reason of at least 3 signs"),
        (make_question(), {"reason": "ok"}, "bob approved without a reason of at least 3 signs"),
        (make_question(), {"user": None}, "nobody is known to have given it"),
        (make_question(users=("alice", "carol")), {}, "bob is not among those who may: alice, carol"),
        (make_question(first=make_answer("bob")), {}, "bob has approved already"),
        (
            make_question(first=make_answer("bob (7)", user="7")),
            {"user": "7"},
            "bob (7) has approved already",
        ),
        (
            make_question(first=make_answer("Bob B. (7)", user="7")),
            {"user": "7"},
            "bob (7) has approved already",
        ),
        (make_question(users=("bob",)), {"user": "7"}, "bob (7) is not among those who may: bob"),
    ],
)
def test_an_approval_that_nobody_can_stand_for_does_not_count(
    question: ApprovalQuestion, changes: dict[str, Any], why: str
) -> None:
    answer = accept(question, said(**changes))
    assert isinstance(answer, str)
    assert answer.startswith(why)


def test_users_are_known_by_their_ids() -> None:
    assert isinstance(accept(make_question(users=("7",)), said(user="7", name="Bob B.")), Answer)


def test_a_veto_counts_without_a_reason_and_from_the_one_who_approved_first() -> None:
    for question in (make_question(), make_question(first=make_answer("bob"))):
        answer = accept(question, said(approved=False, reason=""))
        assert isinstance(answer, Answer)
        assert (answer.approved, answer.reason) == (False, "no reason given")


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        (None, ""),
        ({}, ""),
        ({"reason": None}, ""),
        ({"reason": 5}, ""),
        ({"reason": ["looks good"]}, ""),
        ({"reason": " \n\t "}, ""),
        ({"reason": "good\r\nBcc: x\x00"}, "good Bcc: x"),
        ({"reason": "a" * 10_000_000}, "a" * LONGEST),
    ],
)
def test_what_comes_by_the_rest_api_is_read_with_care(params: Any, reason: str) -> None:
    event = {
        "params_input": params,
        "responded_by_user": {"id": "bob", "name": "bob"},
        "responded_at": NOW,
    }
    assert read_response(event, approved=True) == said(reason=reason)


@pytest.mark.parametrize("user", [None, {}, {"id": "", "name": "bob"}])
def test_an_answer_of_nobody_is_seen(user: Any) -> None:
    event = {"params_input": {"reason": "fine"}, "responded_by_user": user, "responded_at": NOW}
    assert read_response(event, approved=True).user is None


def test_the_form_shows_every_gate_and_metric_beside_the_champion_and_links() -> None:
    shown = body(make_question(), [Link(label="Model card", url="https://a.example/card.html")])
    assert shown.startswith("**All 2 gates were passed.** better by 0.014\n\n")
    for part in (
        "version 5, LogisticRegression, from 81,234 rows before 2013-04-01, judged on 27,512 later ones",
        "Champion now: version 3",
        "[Model card](https://a.example/card.html)",
        "| roc_auc | 0.7123 | 0.703 to 0.721 | 0.698 |",
        r"| versus_champion | ✓ PASS | \< 0.3 | 0.71 | 0.698 | 0.004 to 0.023 | versus_champion it is |",
    ):
        assert part in shown


def test_a_first_model_and_two_people_are_said_in_the_form() -> None:
    first = ApprovalQuestion(make_evaluation(champion=None), Approval(people="two"))
    assert "There is no champion yet" in body(first, [])
    assert "A second person has to approve too" in body(first, [])
    second = first._replace(first=make_answer())
    assert second.subject.endswith("second approval")
    assert "whoever gave the first cannot give it" in body(second, [])


def test_the_form_of_the_second_question_does_not_depend_on_the_first_answer() -> None:
    # Airflow keeps a form for ever; a first person who answers anew must not make the second's look outdated.
    one, other = (make_question(first=make_answer(who), people="two") for who in ("alice", "carol"))
    assert (one.subject, body(one, [])) == (other.subject, body(other, []))


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_gates_that_were_not_passed_are_said_first_and_loudly(verdict: Verdict) -> None:
    question = make_question(verdict, override=True)
    assert "NOT passed" in question.subject
    shown = body(question, [])
    assert shown.startswith(
        f"# THE GATES WERE NOT PASSED: {appearance(verdict)}\n\n**1 of 2 gates were not passed.**"
    )
    assert "Approve overrides the gates, and the ledger says so" in shown
    assert shown.index("versus_champion") < shown.index("| floor |")


def test_what_stands_in_the_data_stays_text() -> None:
    nasty = "a|b <script>x</script> [y](http://evil.example) *z* `q`\n# h ![i](j)"
    checks = (make_check("slice", slice=nasty, reason=nasty),)
    evaluation = make_evaluation(
        checks=checks, reason=nasty, candidate=make_candidate(candidate=nasty, remarks=(nasty,))
    )
    page = MarkdownIt("gfm-like", {"linkify": False}).render(
        body(ApprovalQuestion(evaluation, Approval()), [])
    )
    assert "<script" not in page
    assert "<a " not in page
    assert "<img" not in page
    assert page.count("<h1") == 0
    assert "http://" not in body(ApprovalQuestion(evaluation, Approval()), [])
    assert page.count("<tr>") == 2 + 2


def test_many_gates_are_cut_after_those_that_matter() -> None:
    checks = (*(make_check(f"slice{n}") for n in range(200)), make_check("last", Verdict.FAIL))
    shown = body(ApprovalQuestion(make_evaluation(checks=checks), Approval()), [])
    assert "| last | **✗ FAIL** |" in shown
    assert "… and 161 more gates: see the model card." in shown


def test_the_mail_opens_the_form_also_behind_a_prefix_and_names_who_is_asked() -> None:
    told = tell(make_question(users=("alice", "bob")))
    assert told.title == "Promote version 5 of flights? Partition 2013-04"
    assert [each.url for each in told.links] == [
        f"https://airflow.example.com/team{FORM}",
        "https://airflow.example.com/team/mlops/reports/flights/2013-04/model_card.html",
        "https://airflow.example.com/team/dags/flights.train/runs/scheduled__2013-04-01T00%3A00%3A00%2B00%3A00",
    ]
    facts = dict(told.facts)
    assert facts["Asked"] == "alice, bob"
    assert facts["Until"] == "2013-05-09 00:00 UTC"
    assert facts["Scores"] == "roc_auc 0.7123 (champion 0.698)"
    assert told.levels == (Level.URGENT,)


def test_a_mail_about_gates_that_were_not_passed_says_so() -> None:
    told = tell(make_question(Verdict.FAIL, override=True))
    assert (told.badge, told.status) == ("GATES NOT PASSED", Status.WARNED)
    assert told.summary == ("✗ FAIL: worse by 0.014",)


def test_a_second_mail_says_why_the_answer_was_none() -> None:
    first, again, third = (
        tell(make_question()),
        tell(make_question(), repeats=1, why="no reason"),
        tell(make_question(), repeats=2, why="no reason"),
    )
    assert len({first.id, again.id, third.id}) == 3
    assert first.key != again.key == third.key
    assert again.summary[0] == "Asked again, for the last answer does not count: no reason."
