from __future__ import annotations

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.approval import ApprovalOutcome
from airflow_mlops.domain.facts.results import EXTERNAL, Action, ModelRef
from airflow_mlops.domain.spec.alerts import Level
from airflow_mlops.reporting.alerts.model import health, moved, promotion, taken_back
from airflow_mlops.reporting.alerts.notice import Status
from notices import make_answer, make_check, make_decision, make_guarded, make_health, make_run

ASTRAY = make_check(
    "alias", Verdict.FAIL, reason="version 4 is champion, though r made version 5 the champion"
)
WORSE = make_check("probation", Verdict.FAIL, reason="worse by 0.02 [0.01, 0.03]")


def test_nothing_is_done_here_about_the_bad_health_of_another_system_s_model() -> None:
    theirs = ModelRef(model="flights", version="7", digest=EXTERNAL, run_id="")
    notice = health(make_run(dag="flights.monitor"), make_health(champion=theirs))
    assert notice.title == "flights 2013-06: the model is in bad health (drift)"
    assert ("Version", "version 7") in notice.facts
    [passage] = notice.passages
    assert (passage.text.split(",")[0], passage.commands) == ("Another system makes these predictions", ())


def test_bad_health_names_what_drifted_with_expected_and_observed() -> None:
    notice = health(make_run(dag="flights.monitor"), make_health(), "flights/2013-06/drift.html")
    assert notice.title == "flights 2013-06: the champion is in bad health (drift)"
    assert [(each.name, each.observed) for each in notice.findings] == [
        ("drift", "0.4: drift it is"),
        ("drift.distance", "0.61: drift.distance it is"),
    ]
    assert notice.levels == (Level.WARNING,)
    assert notice.links[-1].url == "https://airflow.example.com/team/mlops/reports/flights/2013-06/drift.html"


@pytest.mark.parametrize(
    ("performance", "effect"),
    [
        (Verdict.PASS, "none on the labels that have come"),
        (Verdict.FAIL, "quality fails on the labels that have come"),
        (Verdict.INCONCLUSIVE, "not known yet"),
    ],
)
def test_drift_is_told_with_what_labels_tell_of_its_effect(performance: Verdict, effect: str) -> None:
    drifted = make_health(performance=make_check("performance", performance))
    facts = dict(health(make_run(), drifted).facts)
    assert facts["Effect of the drift"].startswith(effect)
    fails = make_health(
        drift=make_check("drift"), performance=make_check("performance", Verdict.FAIL), columns=()
    )
    assert "Effect of the drift" not in dict(health(make_run(), fails).facts)


def test_bad_health_that_goes_on_from_partition_to_partition_is_one_thing_to_tell() -> None:
    june, july, august = (
        health(make_run(dag="flights.monitor", partition=each), make_health(partition=each), since=(since,))
        for each, since in (("2013-06", "2013-06"), ("2013-07", "2013-06"), ("2013-08", "2013-08"))
    )
    assert june.id == july.id != august.id
    assert june.topic == august.topic


@pytest.mark.parametrize(
    ("action", "title"),
    [
        (Action.PROMOTED, "version 5 is the new champion"),
        (Action.ROLLED_BACK, "champion rolled back to version 5"),
        (Action.REFUSED, "a candidate was refused"),
        (Action.CHALLENGING, "version 7 predicts beside the champion, on trial"),
        (Action.DROPPED, "the challenger, version 7, was dropped"),
    ],
)
def test_a_decision_on_the_champion_is_news(action: Action, title: str) -> None:
    checks = (make_check("floor", observed=0.7), make_check("slice", Verdict.FAIL, slice="origin=EWR"))
    decision = make_decision(action, checks=checks, metrics={"roc_auc": 0.7123}, candidate="7")
    notice = promotion(make_run(dag="flights.train"), decision)
    assert notice is not None
    assert notice.title == f"flights 2013-06: {title}"
    assert notice.status is Status.NEWS
    assert [each.name for each in notice.findings] == ["slice of origin=EWR", "floor"]
    assert dict(notice.facts)["Candidate's scores"] == "roc_auc 0.7123"


@pytest.mark.parametrize("action", [Action.KEPT, Action.FAILED])
def test_a_champion_that_was_not_in_question_is_no_news(action: Action) -> None:
    assert promotion(make_run(), make_decision(action)) is None


def test_a_candidate_that_is_judged_again_is_news_once_it_is_promoted_or_somebody_is_against_it() -> None:
    checks, run = (make_check("floor"), make_check("again")), make_run(dag="flights.train")
    assert promotion(run, make_decision(Action.REFUSED, checks=checks)) is None
    answer = make_answer(approved=False, reason="not before a holiday")
    vetoed = make_decision(Action.REFUSED, checks=checks, approval=ApprovalOutcome(answers=(answer,)))
    assert promotion(run, vetoed) is not None
    assert promotion(run, make_decision(Action.PROMOTED, checks=checks)) is not None


def test_a_promotion_names_who_approved_it_and_why() -> None:
    approval = ApprovalOutcome(answers=(make_answer(), make_answer("bob", reason="agreed")))
    notice = promotion(make_run(dag="flights.train"), make_decision(Action.PROMOTED, approval=approval))
    assert notice is not None
    assert [value for name, value in notice.facts if name == "Approved"] == [
        "by alice: looks good",
        "by bob: agreed",
    ]
    assert "gates" not in notice.title


def test_a_promotion_against_its_gates_says_so_in_the_title() -> None:
    approval = ApprovalOutcome(answers=(make_answer(),), overridden=True)
    notice = promotion(make_run(dag="flights.train"), make_decision(Action.PROMOTED, approval=approval))
    assert notice is not None
    assert notice.title.endswith("version 5 is the new champion, although its gates were not passed")
    assert notice.badge == "OVERRIDDEN"


def test_a_veto_names_who_and_why() -> None:
    answer = make_answer(approved=False, reason="not before a holiday")
    decision = make_decision(Action.REFUSED, approval=ApprovalOutcome(answers=(answer,)))
    notice = promotion(make_run(dag="flights.train"), decision)
    assert notice is not None
    assert dict(notice.facts)["Rejected"] == "by alice: not before a holiday"


def test_a_champion_that_is_where_it_should_be_is_no_news() -> None:
    run = make_run(dag="flights.monitor")
    assert moved(run, make_guarded()) is None
    assert taken_back(run, make_guarded()) is None
    unknown = make_check("alias", Verdict.INCONCLUSIVE)
    assert moved(run, make_guarded(alias=unknown, probation=unknown)) is None
    assert taken_back(run, make_guarded(alias=unknown, probation=unknown)) is None


def test_a_champion_that_somebody_moved_is_urgent_and_one_problem_until_it_is_put_back() -> None:
    run = make_run(dag="flights.monitor")
    june, july = (
        moved(run, make_guarded(alias=ASTRAY, partition=each, reason=f"alias: {ASTRAY.reason}"))
        for each in ("2013-06", "2013-07")
    )
    assert june is not None
    assert july is not None
    assert june.title == "flights 2013-06: the champion was changed outside of the ledger"
    assert (june.levels, june.status) == ((Level.URGENT,), Status.FAILED)
    assert "version 4 is champion" in june.summary[0]
    assert "airflow mlops rollback flights --to VERSION --reason REASON" in june.passages[0].commands
    assert (june.key, june.topic) == (july.key, run.alias)
    assert june.id != july.id


def test_an_alias_that_was_put_back_leaves_nothing_to_recover() -> None:
    restored = make_decision(Action.RESTORED, before="4", after="5")
    notice = moved(make_run(dag="flights.monitor"), make_guarded(alias=ASTRAY, restored=restored))
    assert notice is not None
    assert notice.title.endswith("was changed outside of the ledger, and put back")
    assert (notice.status, dict(notice.facts)["Champion now"]) == (Status.NEWS, "version 5")
    assert notice.passages[0].commands == ("airflow mlops history flights",)


def test_an_automatic_rollback_is_told_once() -> None:
    restored = make_decision(Action.ROLLED_BACK, before="5", after="3", key="flights.monitor/r/guard")
    first, retry = (
        taken_back(
            make_run(dag="flights.monitor", attempt=n), make_guarded(probation=WORSE, restored=restored)
        )
        for n in (0, 1)
    )
    assert first is not None
    assert first == retry
    assert first.title.endswith("does worse than the one before, rolled back to version 3")
    assert first.levels == (Level.WARNING,)
    assert first.findings[0].observed == "worse by 0.02 [0.01, 0.03]"


def test_a_rollback_that_could_not_be_made_is_urgent() -> None:
    report = make_guarded(probation=WORSE, reason="worse; nothing was moved back: version 3 was deleted")
    notice = taken_back(make_run(dag="flights.monitor"), report)
    assert notice is not None
    assert notice.title.endswith("and could not be rolled back")
    assert notice.levels == (Level.URGENT,)
    assert "version 3 was deleted" in notice.summary[0]
