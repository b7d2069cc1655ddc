from __future__ import annotations

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.results import Action
from airflow_mlops.domain.spec_alerts import Level
from airflow_mlops.engines.alert_model import health, promotion
from airflow_mlops.engines.mails import Status
from notices import make_check, make_decision, make_health, make_run


def test_bad_health_names_what_drifted_with_expected_and_observed() -> None:
    notice = health(make_run(dag="flights.monitor"), make_health(), "flights/2013-06/drift.html")
    assert notice.title == "flights 2013-06: the champion is in bad health (drift)"
    assert [(each.name, each.observed) for each in notice.findings] == [
        ("drift", "0.4: drift it is"),
        ("drift.distance", "0.61: drift.distance it is"),
    ]
    assert notice.levels == (Level.WARNING,)
    assert notice.links[-1].url == "https://airflow.example.com/team/mlops/reports/flights/2013-06/drift.html"


def test_bad_health_goes_on_from_partition_to_partition() -> None:
    june, july = (
        health(make_run(dag="flights.monitor", partition=each), make_health(partition=each))
        for each in ("2013-06", "2013-07")
    )
    assert june.key == july.key
    assert june.id != july.id


@pytest.mark.parametrize(
    ("action", "title"),
    [
        (Action.PROMOTED, "version 5 is the new champion"),
        (Action.ROLLED_BACK, "champion rolled back to version 5"),
        (Action.REFUSED, "a candidate was refused"),
    ],
)
def test_a_decision_on_the_champion_is_news(action: Action, title: str) -> None:
    checks = (make_check("floor", observed=0.7), make_check("slice", Verdict.FAIL, slice="origin=EWR"))
    decision = make_decision(action, checks=checks, metrics={"roc_auc": 0.7123})
    notice = promotion(make_run(dag="flights.train"), decision)
    assert notice is not None
    assert notice.title == f"flights 2013-06: {title}"
    assert notice.status is Status.NEWS
    assert [each.name for each in notice.findings] == ["slice [origin=EWR]", "floor"]
    assert dict(notice.facts)["Candidate's scores"] == "roc_auc 0.7123"


@pytest.mark.parametrize("action", [Action.KEPT, Action.FAILED])
def test_a_champion_that_was_not_in_question_is_no_news(action: Action) -> None:
    assert promotion(make_run(), make_decision(action)) is None
