from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from airflow_mlops.domain.spec.alerts import Alerts, Level
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.notice import Notice, Status
from airflow_mlops.reporting.alerts.outbox import CLAIM, Entry, State
from mail_server import as_process
from notices import make_notice

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

TO = ("ml-team@example.com",)
DAY = timedelta(days=1)
NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)
EVERYBODY = Alerts(email=TO).recipients


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/outbox"


def titles(notices: Sequence[Notice]) -> list[str]:
    return [notice.title for notice in notices]


def waiting(uri: str) -> list[str]:
    return titles([entry.notice for entry in outbox.pending(uri)])


def accept(notice: Notice, to: Sequence[str]) -> Receipt:
    return Receipt(settled=tuple(to))


def refuse(*refused: str, error: type[Exception] = OSError) -> Callable[[Notice, Sequence[str]], Receipt]:
    def send(notice: Notice, to: Sequence[str]) -> Receipt:
        if notice.key in refused:
            raise error("550 no such user")
        return accept(notice, to)

    return send


def deliver(uri: str, send: Any = accept, **options: Any) -> list[Notice]:
    return outbox.deliver(uri, send, options.pop("recipients", EVERYBODY), **options)


def put(uri: str, key: str = "validate", at: datetime = NOON, attempt: int = 0, **changes: Any) -> Entry:
    notice = make_notice(key, id=f"{key}/run#{attempt}", **changes)
    return outbox.put(uri, notice, cooldown=DAY, now=at)


def test_without_an_outbox_nothing_is_pending(uri: str) -> None:
    assert outbox.pending(uri) == []
    assert deliver(uri, refuse()) == []
    assert outbox.recover(uri, "flights.ingest/2013-03", lambda before: before) is None
    assert not Path(uri.removeprefix("file://")).exists()


def test_a_notice_comes_back_as_it_was_written(uri: str) -> None:
    notice = make_notice(title="späť\n'b'", facts=(("a", "ü"),))
    outbox.put(uri, notice)
    sent: list[Notice] = []
    deliver(uri, lambda given, to: (sent.append(given), accept(given, to))[1])
    assert sent == [notice]


def test_what_happened_once_is_sent_once_however_often_it_is_put(uri: str) -> None:
    put(uri)
    put(uri)
    assert titles(deliver(uri)) == ["validate failed"]
    put(uri, at=NOON + 9 * DAY)
    assert waiting(uri) == []
    assert deliver(uri) == []


def test_a_mail_that_could_not_be_sent_stays_pending_and_holds_up_no_other(uri: str) -> None:
    for key in ("a", "b", "c"):
        put(uri, key)
    with pytest.raises(MailUndelivered, match="b failed: 550 no such user"):
        deliver(uri, refuse("b"))
    assert waiting(uri) == ["b failed"]
    assert titles(deliver(uri)) == ["b failed"]


def test_a_server_that_is_down_is_asked_once_not_for_every_mail(uri: str) -> None:
    for key in ("a", "b", "c"):
        put(uri, key)
    asked: list[str] = []

    def send(notice: Notice, to: Sequence[str]) -> Receipt:
        asked.append(notice.key)
        raise MailUndelivered("no mail server")

    with pytest.raises(MailUndelivered, match="no mail server"):
        deliver(uri, send)
    assert asked == ["a"]
    assert len(waiting(uri)) == 3


def test_whoever_was_refused_for_now_gets_the_mail_later_and_nobody_gets_it_twice(uri: str) -> None:
    put(uri)
    asked: list[tuple[str, ...]] = []

    def send(notice: Notice, to: Sequence[str]) -> Receipt:
        asked.append(tuple(to))
        later = tuple(address for address in to if address.startswith("full") and len(asked) == 1)
        return Receipt(settled=tuple(address for address in to if address not in later), later=later)

    both = Alerts(email=["a@example.com", "full@example.com"]).recipients
    with pytest.raises(MailUndelivered, match="refused for now for full@example.com"):
        deliver(uri, send, recipients=both)
    assert titles(deliver(uri, send, recipients=both)) == ["validate failed"]
    assert asked == [("a@example.com", "full@example.com"), ("full@example.com",)]
    assert deliver(uri, send, recipients=both) == []


def test_what_goes_to_nobody_waits_for_an_address(uri: str) -> None:
    put(uri)
    assert deliver(uri, recipients=Alerts().recipients) == []
    assert titles(deliver(uri)) == ["validate failed"]


def test_two_senders_at_once_send_a_mail_once(uri: str) -> None:
    for number in range(4):
        put(uri, str(number))
    sent: list[str] = []
    start = Barrier(3)

    def send(notice: Notice, to: Sequence[str]) -> Receipt:
        sent.append(notice.key)
        return accept(notice, to)

    def work() -> None:
        start.wait()
        try:
            deliver(uri, send)
        except MailUndelivered as error:
            assert "another task is sending it" in str(error)  # noqa: PT017 - it is raised only if they meet

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == ["0", "1", "2", "3"]
    assert waiting(uri) == []


def test_a_clock_that_is_behind_does_not_unsend_a_mail(uri: str) -> None:
    put(uri)
    deliver(uri, now=NOON - timedelta(hours=1))
    assert waiting(uri) == []


def test_the_same_problem_within_the_cooldown_is_noted_and_not_mailed(uri: str) -> None:
    put(uri)
    deliver(uri, now=NOON)
    for hour in (1, 2):
        held = put(uri, at=NOON + timedelta(hours=hour), attempt=hour)
        assert held.state is State.HELD
        assert deliver(uri, refuse("validate"), now=NOON + timedelta(hours=hour)) == []
    [mail] = [put(uri, at=NOON + DAY, attempt=3).notice]
    assert mail.summary == (
        "The same happened 2 times since the mail of 2013-04-01 12:00 UTC, and was not mailed.",
    )
    assert titles(deliver(uri, now=NOON + DAY)) == ["validate failed"]
    states = [entry.state for entry in outbox.entries(uri)]
    assert states == [State.SENT, State.HELD, State.HELD, State.SENT]


@pytest.mark.parametrize("change", [{"key": "train"}, {"topic": "flights.ingest/2013-04", "id": "other"}])
def test_another_problem_has_no_cooldown(uri: str, change: dict[str, str]) -> None:
    put(uri)
    outbox.put(uri, make_notice(**{"id": "another", "key": "validate"} | change), cooldown=DAY, now=NOON)
    assert len(waiting(uri)) == 2


def write(before: Notice) -> Notice:
    recovered = {"id": f"{before.id}/recovered", "key": f"{before.key}/recovered", "status": Status.RECOVERED}
    return before.model_copy(update=recovered | {"title": "recovered"})


def test_a_recovery_follows_a_mail_once_and_a_new_failure_after_it_is_mailed_at_once(uri: str) -> None:
    topic = put(uri).notice.topic
    assert outbox.recover(uri, "flights.ingest/2013-04", write) is None
    told = outbox.recover(uri, topic, write, now=NOON)
    assert told is not None
    assert outbox.recover(uri, topic, write, now=NOON) is None
    assert titles(deliver(uri, now=NOON)) == ["validate failed", "recovered"]
    assert put(uri, at=NOON + timedelta(hours=1), attempt=1).state is State.PENDING
    assert outbox.recover(uri, topic, write) is not None


def test_a_warning_after_a_failure_goes_to_those_who_know_of_the_failure(uri: str) -> None:
    put(uri)
    warned = {"status": Status.WARNED, "levels": (Level.WARNING,)}
    notice = put(uri, "warned", **warned).notice
    assert notice.levels == (Level.URGENT, Level.WARNING)
    assert notice.summary == ("It passes now. Before: validate failed.",)
    # And back again: each is news, although both were mailed within the cooldown.
    assert put(uri, attempt=1).state is State.PENDING
    assert put(uri, "warned", attempt=1, **warned).state is State.PENDING


def test_a_digest_collects_what_is_not_urgent_into_one_mail_a_period(uri: str) -> None:
    quiet = {"status": Status.WARNED, "levels": (Level.WARNING,)}
    put(uri, "a", **quiet)
    put(uri, "b", at=NOON + timedelta(hours=5), topic="flights.ingest/2013-04", **quiet)
    put(uri, "urgent", at=NOON + timedelta(hours=6), topic="flights.ingest/2013-05")
    assert titles(deliver(uri, digest=DAY, now=NOON + timedelta(hours=23))) == ["urgent failed"]
    [mail] = deliver(uri, digest=DAY, now=NOON + DAY)
    assert [passage.heading for passage in mail.passages] == ["a failed", "b failed"]
    assert mail.levels == (Level.WARNING,)
    assert deliver(uri, digest=DAY, now=NOON + 2 * DAY) == []


def test_a_digest_of_one_is_the_mail_itself(uri: str) -> None:
    put(uri, "a", levels=(Level.WARNING,))
    assert titles(deliver(uri, digest=DAY, now=NOON + DAY)) == ["a failed"]


def test_what_a_mail_says_is_kept_once_and_nothing_of_what_is_held_back(uri: str) -> None:
    from airflow_mlops.stores.tables import journal

    put(uri, summary=("x" * 5000,))
    deliver(uri, now=NOON)
    put(uri, attempt=1, summary=("x" * 5000,))
    sizes = [len(row["notice"] or "") for row in journal.rows(uri)]
    assert [size > 5000 for size in sizes] == [True, False, False, False]


KILLED = """
import os, signal, smtplib, sys
sys.path[:0] = {path!r}
from airflow_mlops.reporting.alerts import mail, outbox
from airflow_mlops.reporting.alerts.channel import Receipt
from notices import make_notice

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def send(notice, to):
    if {when!r} == "sending":
        die()
    with smtplib.SMTP("127.0.0.1", {port}) as client:
        client.send_message(mail.message(notice, sender="airflow@example.com", to=to))
    if {when!r} == "noting":
        die()
    return Receipt(settled=tuple(to))

outbox.put({uri!r}, make_notice())
if {when!r} == "put":
    die()
outbox.deliver({uri!r}, send, lambda levels: ["ml-team@example.com"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("when", "sends"), [("put", 1), ("sending", 1), ("noting", 2), ("never", 1)])
def test_a_task_that_is_killed_loses_no_mail(uri: str, tmp_path: Path, when: str, sends: int) -> None:
    with as_process(tmp_path / "mails") as inbox:
        script = KILLED.format(path=sys.path, when=when, port=inbox.port, uri=uri)
        ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, timeout=120)
        assert ended.returncode == (0 if when == "never" else -signal.SIGKILL), ended.stderr.decode()
        if when in ("sending", "noting"):
            with pytest.raises(MailUndelivered, match="another task is sending it since"):
                deliver(uri)
        later = datetime.now(UTC) + CLAIM + timedelta(seconds=1)

        def send(notice: Notice, to: Sequence[str]) -> Receipt:
            import smtplib

            from airflow_mlops.reporting.alerts.mail import message

            with smtplib.SMTP("127.0.0.1", inbox.port) as client:
                client.send_message(message(notice, sender="airflow@example.com", to=to))
            return accept(notice, to)

        deliver(uri, send, now=later)
        assert waiting(uri) == []
        found = [mail["Message-ID"] for mail in inbox.mails]
    # What cannot be known, whether the server took it, shows in one message that came twice.
    assert len(found) == sends
    assert len(set(found)) == 1
