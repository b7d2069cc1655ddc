from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.spec.alerts import Alerts
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.reporting.alerts.judge import News, judge
from airflow_mlops.reporting.alerts.post import post
from notices import Pinboard, make_notice, make_report, make_result, make_run, make_statement, make_version

TO = ("ml-team@example.com",)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/outbox"


def test_another_channel_gets_the_notice_once_and_that_it_is_over(uri: str) -> None:
    pinboard, run, policy = Pinboard(), make_run(), Alerts(email=TO)
    for _ in range(2):
        assert post(uri, run, News([make_notice()]), policy, pinboard) == f"mailed to {TO[0]}"
    over = "told: flights.ingest recovered (2013-03)"
    assert post(uri, run, News([], ["flights.ingest/2013-03"]), policy, pinboard) == over
    assert pinboard.posts == [("validate failed", TO), ("flights.ingest recovered (2013-03)", TO)]


def test_whom_a_channel_does_not_reach_for_now_it_is_asked_for_again(uri: str) -> None:
    to = (*TO, "on-call@example.com")
    news, policy = News([make_notice()]), Alerts(email=to)
    with pytest.raises(MailUndelivered, match="refused for now for on-call@example.com"):
        post(uri, make_run(), news, policy, Pinboard("on-call@example.com"))
    pinboard = Pinboard()
    post(uri, make_run(), News([]), policy, pinboard)
    assert pinboard.posts == [("validate failed", ("on-call@example.com",))]
    assert outbox.pending(uri) == []


def test_without_an_address_no_channel_is_asked_and_the_log_names_the_notice(
    uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    pinboard = Pinboard()
    assert post(uri, make_run(), News([make_notice()]), Alerts(), pinboard) == ""
    assert (pinboard.posts, outbox.entries(uri)) == ([], [])
    assert "Nobody is told of «validate failed»: no address is named for it" in caplog.text


def test_a_channel_gets_the_notice_although_the_outbox_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    pinboard = Pinboard()
    news = News([make_notice()], ["flights.ingest/2013-03"])
    assert post(f"file://{tmp_path}/file/outbox", make_run(), news, Alerts(email=TO), pinboard) == (
        f"mailed to {TO[0]}"
    )
    assert pinboard.posts == [("validate failed", TO)]


def test_without_a_place_for_an_outbox_the_news_is_delivered_all_the_same() -> None:
    pinboard = Pinboard()
    line = post(None, make_run(), News([make_notice()]), Alerts(email=TO), pinboard)
    assert line == f"mailed to {TO[0]}"
    assert pinboard.posts == [("validate failed", TO)]


def test_a_second_failure_is_told_if_the_rows_have_changed_and_not_if_they_have_not(uri: str) -> None:
    pinboard, policy = Pinboard(), Alerts(email=TO)

    def fail(attempt: int, **changes: Any) -> str:
        """Clear the run, which fails again."""
        run = make_run(attempt=attempt)
        facts = [make_version(digest=changes.pop("digest", "d")), make_report(**changes)]
        statements = dict(
            zip(("ingest", "validate"), [[make_statement(fact)] for fact in facts], strict=True)
        )
        return post(uri, run, judge(run, statements, ["validate"], lambda _: []), policy, pinboard)

    mailed, held = f"mailed to {TO[0]}", "not mailed: the same was mailed before, within the cooldown"
    assert fail(1) == mailed
    assert fail(2) == held
    assert fail(3, digest="e") == mailed
    assert fail(4, digest="e") == held
    assert fail(5, digest="e", results=(make_result(column="carrier"),)) == mailed
    assert len(pinboard.posts) == 3


def test_a_task_that_fails_again_on_other_data_is_told_again(uri: str) -> None:
    pinboard, policy = Pinboard(), Alerts(email=TO)

    def fail(attempt: int, digest: str) -> None:
        run = make_run(attempt=attempt)
        said = {"ingest": [make_statement(make_version(digest=digest))]}
        post(uri, run, judge(run, said, ["publish"], lambda _: []), policy, pinboard)

    for attempt, digest in enumerate(("a", "a", "b")):
        fail(attempt, digest)
    assert [title for title, _ in pinboard.posts] == ["flights.ingest failed: publish (2013-03)"] * 2
