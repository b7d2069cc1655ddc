from __future__ import annotations

import pytest

from airflow_mlops.domain.spec.alerts import Level
from airflow_mlops.reporting.alerts import outcome
from notices import RUN, make_notice, make_run


@pytest.mark.parametrize(
    ("stage", "said"), [("ingest", "not published"), ("score", "no predictions"), ("nightly", "have not run")]
)
def test_a_failure_says_what_it_means_and_what_to_do(stage: str, said: str) -> None:
    notice = outcome.failure(make_run(dag=f"flights.{stage}"), ["ingest", "train_1"])
    assert notice.title == f"flights.{stage} failed: ingest, train_1 (2013-03)"
    assert said in notice.passages[0].text
    assert "clear the" in notice.passages[1].text
    assert notice.levels == (Level.URGENT,)
    assert dict(notice.facts)["Run"] == RUN


def test_many_failed_tasks_make_a_short_title() -> None:
    notice = outcome.failure(make_run(), [f"train_{number}" for number in range(1000)])
    assert notice.title.endswith("train_8, train_9 and 990 more (2013-03)")
    assert notice.key != outcome.failure(make_run(), [f"train_{number}" for number in range(999)]).key


def test_a_retry_of_the_same_run_is_the_same_event_and_a_cleared_run_another_of_the_same_problem() -> None:
    first, retried, cleared = (outcome.failure(make_run(attempt=n), ["a"]) for n in (3, 3, 5))
    assert first == retried
    assert first.key == cleared.key
    assert first.id != cleared.id


def test_runs_without_a_partition_are_each_on_their_own() -> None:
    one, two = (
        outcome.failure(make_run(partition=None, run_id=name), ["a"]) for name in ("manual__1", "manual__2")
    )
    assert one.key != two.key


def test_a_recovery_says_of_what_and_goes_to_those_who_were_told() -> None:
    before = outcome.failure(make_run(), ["validate"])
    notice = outcome.recovery(make_run(run_id="manual__2"), before)
    assert notice.title == "flights.ingest recovered (2013-03)"
    assert notice.summary == ("This is over: flights.ingest failed: validate (2013-03).",)
    assert (notice.levels, notice.topic) == (before.levels, before.topic)


def test_many_notices_make_one_mail_of_bounded_length() -> None:
    notices = [make_notice(str(number), facts=(("Model", "flights"),)) for number in range(60)]
    notice = outcome.collect(notices)
    assert notice.title == "flights: 60 notices"
    assert len(notice.passages) == 50
    assert notice.more == 10
    assert outcome.collect(notices).id == notice.id != outcome.collect(notices[1:]).id
