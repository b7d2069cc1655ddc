from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.drift import DriftReport
from airflow_mlops.domain.facts.labels import LabelsReport, Unmatched
from airflow_mlops.domain.facts.results import HealthReport
from airflow_mlops.domain.facts.scoring import ChallengeReport
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.policies import labels as policy
from airflow_mlops.reporting.alerts.judge import News, is_of, judge
from notices import (
    make_check,
    make_decision,
    make_guarded,
    make_health,
    make_report,
    make_run,
    make_statement,
    make_version,
    make_warning,
)

PAGE = "flights/2013-03/validation.html"
ASTRAY = make_guarded(alias=make_check("alias", "FAIL"))
WORSE = make_guarded(
    probation=make_check("probation", "FAIL"), restored=make_decision("rolled back", after="3")
)
PROMOTED = make_decision("promoted")


def judged(*failed: str, history: Sequence[HealthReport] = (), **said: Sequence[Fact]) -> News:
    """Judge a run whose tasks have stated facts."""
    statements = {task: [make_statement(fact) for fact in facts] for task, facts in said.items()}
    return judge(make_run(), statements, failed, lambda model: history if model == "flights" else [])


def titles(news: News) -> list[str]:
    return [notice.title for notice in news.notices]


def test_a_run_in_which_nothing_happened_is_well() -> None:
    assert judged() == News([], ["flights.ingest/2013-03"])


def test_what_failed_is_told_and_nothing_is_well() -> None:
    assert titles(news := judged("train", ingest=[make_version()], guard=[make_guarded()])) == [
        "flights.ingest failed: train (2013-03)"
    ]
    assert not news.well


@pytest.mark.parametrize("failed", ["validate", "validate_1"])
def test_a_failed_validation_takes_the_place_of_the_failure(failed: str) -> None:
    said = {"ingest": [make_version()], "validate": [Statement.of(make_report(), report=PAGE)]}
    [notice] = judged(failed, **said).notices
    assert (notice.title, notice.report) == ("flights 2013-03: validation failed", PAGE)
    assert ("Dataset", "flights, version 7 of the table staging") in notice.facts


def test_a_validation_that_stopped_nothing_does_not_hide_what_did() -> None:
    assert titles(judged("train", validate=[make_report()])) == ["flights.ingest failed: train (2013-03)"]


def test_a_warning_is_told_with_the_version_that_was_stated_last() -> None:
    published = make_version(uri="file:///mlops/flights/data", version=9)
    news = judged(
        ingest=[make_version()],
        validate=[make_warning(), make_version(version=8)],
        other=[make_version(name="orders", version=1)],
        publish=[published],
    )
    assert ("Dataset", "flights, version 9 of the table data") in news.notices[0].facts
    assert not news.well


def test_each_of_a_mapped_validation_has_its_own_page() -> None:
    pages = ["a/2013-03/validation.html", None, "c/2013-03/validation.html"]
    reports = [
        Statement.of(make_warning(dataset=dataset), **({"report": page} if page else {}))
        for dataset, page in zip("abc", pages, strict=True)
    ]
    assert [notice.report for notice in judged(validate=reports).notices] == pages


def test_what_happened_to_the_champion_is_told_whatever_else_has_failed() -> None:
    trial = ChallengeReport(model="flights", partition="2013-06", moved=PROMOTED, reason="3 of 3")
    said: dict[str, Any] = {"shadow": [trial], "guard": [ASTRAY], "other": [WORSE], "record": [PROMOTED]}
    news = judged("train", **said)
    assert titles(news) == [
        "flights.ingest failed: train (2013-03)",
        "flights 2013-06: the champion was changed outside of the ledger",
        "flights 2013-06: the new champion does worse than the one before, rolled back to version 3",
        "flights 2013-06: version 5 is the new champion",
    ]
    assert judged(guard=[make_guarded()]).well == ["flights.ingest/2013-03", "flights.ingest/alias"]


def test_bad_health_is_told_with_the_first_drift_that_has_a_page() -> None:
    drift = DriftReport(overall=make_check("drift", "FAIL"))
    report = make_health(partition="2013-03")
    news = judged(
        history=[report],
        blind=[drift],
        drift=[Statement.of(drift, report="flights/2013-03/drift.html", picture="flights/2013-03/drift.png")],
        health=[report],
    )
    [notice] = news.notices
    assert [link.label for link in notice.links] == ["Open the run", "Open the drift report"]
    assert notice.picture == "flights/2013-03/drift.png"
    assert (notice.id, news.well) == ("flights.ingest/health/2013-03", ["flights.ingest/2013-03"])


def test_bad_health_is_the_incident_of_the_first_partition_that_showed_it() -> None:
    april, march = (make_health(partition=partition) for partition in ("2013-04", "2013-03"))
    [notice] = judged(history=[april, march], health=[april]).notices
    assert (notice.id, notice.same) == ("flights.ingest/health/2013-03", ("flights.ingest/health/2013-04",))


def test_health_is_not_well_while_a_later_partition_is_bad() -> None:
    march = make_health(partition="2013-03", verdict="PASS", drift=make_check("drift"))
    april = make_health(partition="2013-04")
    assert judged(history=[april, march], health=[march]).well == ["flights.ingest/2013-03"]
    assert judged(history=[march], health=[march]).well == ["flights.ingest/2013-03", "flights.ingest/health"]


def test_a_decision_that_two_tasks_state_is_told_once() -> None:
    other = make_decision("refused", key="other")
    assert titles(judged(promote=[PROMOTED], record=[PROMOTED, other])) == [
        "flights 2013-06: version 5 is the new champion",
        "flights 2013-06: a candidate was refused",
    ]


def test_a_failing_champion_without_a_better_candidate_is_an_alarm_of_its_own_and_told_once() -> None:
    rescue = make_check("rescue", "FAIL")
    months = [
        make_decision("refused", before="4", after="4", partition=month, key=month, checks=(rescue,))
        for month in ("2013-06", "2013-07")
    ]
    first, second = (judged(record=[month]).notices for month in months)
    assert [notice.title for notice in first] == [
        "flights 2013-06: a candidate was refused",
        "flights 2013-06: the champion fails, and no candidate is better",
    ]
    assert first[1].id == second[1].id
    assert first[1].event == "health"
    assert "airflow mlops rollback flights --to VERSION --reason REASON" in first[1].passages[0].commands
    passed = make_decision("promoted", checks=(make_check("rescue", "PASS"),))
    assert titles(judged(record=[passed])) == ["flights 2013-06: version 5 is the new champion"]


def test_a_constant_in_a_failing_champions_place_is_an_alarm_and_not_told_of_again() -> None:
    fallback, rescue = make_check("rescue.fallback", "PASS"), make_check("rescue", "FAIL")
    promoted = make_decision("promoted", before="4", after="5", checks=(fallback,))
    refused = make_decision("refused", before="5", after="5", key="later", checks=(rescue,))
    first, second = (judged(record=[decision]).notices for decision in (promoted, refused))
    assert [notice.title for notice in first] == [
        "flights 2013-06: version 5 is the new champion",
        "flights 2013-06: the champion fails, and no candidate is better",
    ]
    assert first[1].passages[0].text.startswith("A constant predicts in its place.")
    assert first[1].id == second[1].id


def test_an_odd_fact_is_refused_if_it_would_be_told() -> None:
    odd = Statement(kind="HealthReport", fact={"of": "another version"})
    with pytest.raises(ValueError, match="HealthReport"):
        judged(health=[odd])
    assert titles(judged("validate", validate=[make_report()], health=[odd])) == [
        "flights 2013-03: validation failed"
    ]


def test_a_task_is_told_from_one_whose_name_begins_alike() -> None:
    names = ["train", "train_0", "train_12", "train_", "train_a", "trains", "train_1_2"]
    assert [name for name in names if is_of(name, "train")] == ["train", "train_0", "train_12"]


def make_labels(unknown: int, most: float = 0.1) -> LabelsReport:
    unmatched = Unmatched(unknown=unknown, retyped={"flight": ("int64", "string")})
    report = LabelsReport(
        partition="2013-03", rows=200, new=200, empty=0, contradictory=0, unmatched=unmatched
    )
    return report.model_copy(update={"check": policy.unmatched(report, most)})


def test_labels_that_belong_to_no_row_are_mailed_as_a_warning_or_as_what_stopped_the_run() -> None:
    [warning] = judged(labels=[make_labels(180)]).notices
    assert (warning.title, warning.status) == (
        "flights 2013-03: 90% of the labels belong to no row",
        "warned",
    )
    reason = "180 of 200 labels belong to no published row: 180 have a key that the data lacks; "
    reason += "'flight' is int64 in labels.source and string in the data."
    assert warning.summary == (reason,)
    [stopped] = judged("labels", labels=[make_labels(180)]).notices
    assert (stopped.badge, stopped.topic, stopped.status) == ("FAIL", warning.topic, "failed")
    assert judged(labels=[make_labels(20)]) == News([], ["flights.ingest/2013-03"])
    # What else has failed is told; that some labels are of no use can wait.
    assert titles(judged("drift", labels=[make_labels(180)])) == ["flights.ingest failed: drift (2013-03)"]
