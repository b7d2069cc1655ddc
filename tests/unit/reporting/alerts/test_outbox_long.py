"""An outbox of years, and one that a former build has written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.spec.alerts import Alerts
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.reporting.alerts import entries, outbox
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.entries import Entry, State
from airflow_mlops.reporting.alerts.notice import Notice, Status
from airflow_mlops.stores.tables import delta, journal, tables
from airflow_mlops.stores.tables.selection import Selection
from notices import make_notice

NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FORMER = ("state", "ids", "notice", "told")
SENT = 600


def notice(number: int, **changes: Any) -> Notice:
    own = {"id": f"validate/{number}", "title": f"notice {number}"}
    return make_notice("validate", **(own | changes))


def rows(count: int) -> list[journal.JournalRow]:
    """Return the rows of a notice an hour that was mailed."""
    rows: list[journal.JournalRow] = []
    for number in range(count):
        for minute, state in enumerate((State.PENDING, State.SENDING, State.SENT)):
            at = NOON + number * HOUR + timedelta(minutes=minute)
            words = notice(number) if state is State.PENDING else None
            rows.append(
                entries.event(Selection.of(rows[-1:]), state, at, [f"validate/{number}"], notice=words)
            )
    return rows


def write(uri: str, columns: Sequence[str], stored: list[journal.JournalRow]) -> str:
    table = pa.Table.from_pylist(stored, journal._schema(columns))
    tables.create(uri, table.schema)
    delta.append(uri, table)
    return uri


def accept(notice: Notice, to: Sequence[str]) -> Receipt:
    return Receipt(settled=tuple(to))


def refuse(notice: Notice, to: Sequence[str]) -> Receipt:
    raise MailUndelivered("the server is away")


EVERYBODY = Alerts(email=("ml-team@example.com",)).recipients


@pytest.fixture
def long(tmp_path: Path) -> str:
    return write(f"file://{tmp_path}/outbox", entries.COLUMNS, rows(SENT))


@pytest.fixture
def former(tmp_path: Path) -> str:
    """Return an outbox of a former build: one notice was sent, one waits."""
    stored = rows(2)[:4]
    return write(
        f"file://{tmp_path}/outbox", FORMER, [{name: row[name] for name in ("at", *FORMER)} for row in stored]
    )


def test_what_a_long_outbox_is_asked_reads_a_few_notices(long: str, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    read = Notice.model_validate_json.__func__  # type: ignore[attr-defined]

    def noted(kind: type[Notice], *args: Any, **options: Any) -> Notice:
        words: Notice = read(kind, *args, **options)
        titles.append(words.title)
        return words

    monkeypatch.setattr(Notice, "model_validate_json", classmethod(noted))
    later = NOON + (SENT + 1) * HOUR
    assert outbox.pending(long) == []
    assert titles == []
    held = outbox.put(long, notice(SENT), cooldown=timedelta(days=1), now=later)
    assert held.state is State.HELD
    told = outbox.put(long, notice(SENT + 1), cooldown=HOUR, now=later + HOUR)
    assert told.state is State.PENDING
    assert told.notice.summary[-1].startswith("The same happened once since the mail of 2013-04-26 11:00 UTC")
    assert outbox.put(long, notice(17), now=later).notice == notice(17)
    assert [sent.title for sent in outbox.deliver(long, accept, EVERYBODY, now=later)] == [
        f"notice {SENT + 1}"
    ]
    well = outbox.recover(
        long, notice(0).topic, lambda last: notice(-1, status=Status.NEWS, title=f"after {last.title}")
    )
    assert well is not None
    assert well.title == f"after notice {SENT + 1}"
    assert outbox.recover(long, "of no notice", lambda last: last) is None
    assert len(set(titles)) <= 5


def test_each_row_says_what_waits_after_it(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/outbox"
    for number in range(3):
        outbox.put(uri, notice(number, topic=f"topic {number}"), now=NOON + number * HOUR)
    with pytest.raises(MailUndelivered):
        outbox.deliver(uri, refuse, EVERYBODY, now=NOON + 4 * HOUR)
    outbox.deliver(uri, accept, lambda levels: ["one@example.com"], now=NOON + 5 * HOUR)
    assert outbox.pending(uri) == []
    stored = journal.rows(uri)
    for count in range(1, len(stored) + 1):
        everything = entries.entries(stored[:count])
        still = [entry for entry in everything.values() if entry.state in (State.PENDING, State.SENDING)]
        assert entries.pending(_in_memory(stored[:count])) == still


def _in_memory(stored: list[journal.JournalRow]) -> Any:
    class Row(dict[str, Any]):
        __getattr__ = dict.__getitem__

    return Selection.of([Row(row) for row in stored])


def test_a_sender_that_is_late_does_not_make_a_mail_of_what_was_never_written(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/outbox"
    outbox.put(uri, notice(0), now=NOON)

    def slow(words: Notice, to: Sequence[str]) -> Receipt:
        # Its claim has run out, and another one has sent the mail meanwhile.
        outbox.deliver(uri, accept, EVERYBODY, now=NOON + HOUR)
        raise OSError("the connection was lost")

    with pytest.raises(MailUndelivered, match="the connection was lost"):
        outbox.deliver(uri, slow, EVERYBODY, now=NOON)
    [entry] = outbox.pending(uri)
    assert (entry.notice, entry.at, entry.state) == (notice(0), NOON, State.PENDING)
    assert entry == outbox.entries(uri)[0]


def test_what_a_former_build_has_written_is_read(former: str) -> None:
    assert [entry.state for entry in outbox.entries(former)] == [State.SENT, State.PENDING]
    assert [entry.notice for entry in outbox.pending(former)] == [notice(1)]


def test_what_a_former_build_has_written_is_known_to_what_comes_after_it(former: str) -> None:
    at = NOON + 2 * HOUR
    entry: Entry = outbox.put(former, notice(0), now=at)
    assert (entry.state, entry.at) == (State.SENT, NOON)
    assert outbox.put(former, notice(2), cooldown=timedelta(days=1), now=at).state is State.HELD
    assert [row["topic"] for row in journal.rows(former)] == [
        row["topic"] for row in (*rows(2)[:4], rows(1)[0])
    ]
    assert [sent.title for sent in outbox.deliver(former, accept, EVERYBODY, now=at)] == ["notice 1"]
    assert outbox.pending(former) == []


def test_a_former_build_tells_of_what_is_well_again(former: str) -> None:
    well = outbox.recover(
        former, notice(0).topic, lambda last: notice(9, status=Status.NEWS, title=last.title)
    )
    assert well is not None
    assert well.title == "notice 1"
