from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from airflow_mlops.engines import journal, outbox
from airflow_mlops.engines.outbox import Mail
from airflow_mlops.exceptions import MailUndelivered


def make_mail(key: str = "flights.ingest/run/validate") -> Mail:
    return Mail(key=key, subject=f"{key} failed", text="it failed", html="<p>it failed</p>")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/outbox"


def keys(mails: list[Mail]) -> list[str]:
    return [mail.key for mail in mails]


def refuse(*refused: str) -> Callable[[Mail], None]:
    def send(mail: Mail) -> None:
        if mail.key in refused:
            raise OSError("550 no such user")

    return send


def test_without_an_outbox_nothing_is_pending(uri: str) -> None:
    assert outbox.pending(uri) == []
    assert outbox.deliver(uri, refuse()) == []


def test_a_mail_comes_back_as_it_was_written(uri: str) -> None:
    mail = Mail(key="k", subject="späť", text="a\n'b'", html="<p>ü</p>")
    outbox.put(uri, mail)
    sent: list[Mail] = []
    outbox.deliver(uri, sent.append)
    [found] = sent
    assert found.model_dump(include=set(Mail.model_fields)) == mail.model_dump()


def test_a_key_is_sent_once_however_often_it_is_put(uri: str) -> None:
    outbox.put(uri, make_mail())
    outbox.put(uri, make_mail())
    assert keys(outbox.deliver(uri, refuse())) == [make_mail().key]
    outbox.put(uri, make_mail())
    assert outbox.pending(uri) == []
    assert outbox.deliver(uri, refuse()) == []


def test_a_mail_that_could_not_be_sent_stays_pending_and_holds_up_no_other(uri: str) -> None:
    for key in ("a", "b", "c"):
        outbox.put(uri, make_mail(key))
    with pytest.raises(MailUndelivered, match="b failed: 550 no such user"):
        outbox.deliver(uri, refuse("b"))
    assert keys(outbox.pending(uri)) == ["b"]
    assert keys(outbox.deliver(uri, refuse())) == ["b"]


def test_two_senders_at_once_send_a_mail_once(uri: str) -> None:
    for number in range(4):
        outbox.put(uri, make_mail(str(number)))
    sent: list[str] = []
    start = Barrier(3)

    def deliver() -> None:
        start.wait()
        try:
            outbox.deliver(uri, lambda mail: sent.append(mail.key))
        except MailUndelivered as error:
            assert "another task is sending it" in str(error)  # noqa: PT017 - it is raised only if they meet

    threads = [Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == ["0", "1", "2", "3"]
    assert outbox.pending(uri) == []


def test_a_mail_whose_sender_was_killed_is_sent_once_its_claim_has_ended(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.put(uri, make_mail())
    sending = {**make_mail().model_dump(), "state": "sending"}
    journal.append(uri, list(sending), lambda rows, at: {**sending, "at": at})
    assert keys(outbox.pending(uri)) == [make_mail().key]
    with pytest.raises(MailUndelivered, match="another task is sending it since"):
        outbox.deliver(uri, refuse())

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=61)

    monkeypatch.setattr(journal, "datetime", Later)
    assert keys(outbox.deliver(uri, refuse())) == [make_mail().key]


def test_a_clock_that_is_behind_does_not_unsend_a_mail(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Behind(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) - timedelta(seconds=30)

    outbox.put(uri, make_mail())
    monkeypatch.setattr(journal, "datetime", Behind)
    outbox.deliver(uri, refuse())
    assert outbox.pending(uri) == []
