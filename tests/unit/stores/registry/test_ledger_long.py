"""A ledger of years: what a call asks for is what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import WriterProperties, write_deltalake

from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.registry.ledger import Row, RowKind
from airflow_mlops.stores.tables import journal, tables

START = datetime(2024, 1, 1, tzinfo=UTC)
HOURS = 2_000
# Every 500th partition makes a champion, and one a challenger.
CROWNED, TRIED = 500, 1_700


def decision(hour: int, action: Action = Action.KEPT) -> PromotionDecision:
    champion = (hour - 1) // CROWNED + 1
    return PromotionDecision(
        model="flights",
        partition=f"{START + timedelta(hours=hour):%Y-%m-%dT%H}",
        action=action,
        before=str(champion),
        after=str(champion + 1 if action is Action.PROMOTED else champion),
        candidate="99" if action is Action.CHALLENGING else None,
        reason="as it was",
        key=f"scheduled__{hour:05}",
    )


def events() -> Iterator[tuple[RowKind, PromotionDecision]]:
    for hour in range(1, HOURS):
        if hour % CROWNED and hour != TRIED:
            yield RowKind.DECISION, decision(hour)
        else:
            moved = decision(hour, Action.CHALLENGING if hour == TRIED else Action.PROMOTED)
            yield RowKind.INTENT, moved
            yield RowKind.DONE, moved
    yield RowKind.INTENT, decision(HOURS, Action.PROMOTED)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a ledger that lies in files as appends would have left it."""
    uri = f"file://{tmp_path_factory.mktemp('long')}/flights/ledger"
    rows = [
        ledger._columns(ledger._new(kind, made, "me", made.reason, START + timedelta(minutes=number)))
        for number, (kind, made) in enumerate(events())
    ]
    table = pa.Table.from_pylist(rows, journal._schema(ledger._TEXT))
    tables.create(uri, table.schema)
    properties = WriterProperties(max_row_group_size=64)
    for first, end in ((0, 1_536), (1_536, 1_984), (1_984, len(rows))):
        write_deltalake(
            uri, table.slice(first, end - first).combine_chunks(), mode="append", writer_properties=properties
        )
    return uri


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the key of each row that is read."""
    keys: list[str] = []
    read = ledger._row

    def noted(columns: journal.JournalRow) -> Row:
        keys.append(columns["key"])
        return read(columns)

    monkeypatch.setattr(ledger, "_row", noted)
    return keys


QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "begun": lambda source: ledger.begun(source, decision(1_000).key),
    "never begun": lambda source: ledger.begun(source, "of no row"),
    "pending": ledger.pending,
    "challenger": ledger.challenger,
    "trial": ledger.trial,
    "latest_partition": ledger.latest_partition,
    "reached": lambda source: ledger.reached(source, decision(HOURS - 1).partition),
    "not reached": lambda source: ledger.reached(source, decision(HOURS).partition),
    "champion at a decision": lambda source: ledger.champion_as_of(source, decision(1_234).partition),
    "champion of a later partition": lambda source: ledger.champion_as_of(source, "2031-01-01T00"),
    "attempts": ledger.attempts,
    "last move": lambda source: ledger.moves(source)[-1],
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_reads_a_few_rows_and_is_answered_as_from_all(
    name: str, uri: str, reads: list[str]
) -> None:
    answer = QUESTIONS[name](uri)
    assert repr(answer) == repr(QUESTIONS[name](ledger.rows(uri)))
    assert len(set(reads)) <= 20
    assert answer == QUESTIONS[name](list(ledger.rows(uri)))


def test_the_answers_are_those_of_the_story(uri: str) -> None:
    assert ledger.decision(uri, decision(77).partition) == decision(77)
    assert ledger.decision(uri, decision(CROWNED).partition) == decision(CROWNED, Action.PROMOTED)
    assert ledger.decision(uri, decision(HOURS).partition) is None
    assert ledger.latest_partition(uri) == decision(HOURS - 1).partition
    assert [row.after for row in ledger.moves(uri)] == ["2", "3", "4"]
    assert ledger.champion_as_of(uri, decision(1_234).partition) == "3"
    trial = ledger.trial(uri)
    assert trial is not None
    assert trial.evidence.candidate == "99"
    assert [row.key for row in ledger.pending(uri)] == [decision(HOURS).key]
    assert len(ledger.decisions(uri)) == HOURS - 1
    assert [made.action for made in ledger.attempts(uri)] == [
        *[Action.PROMOTED] * 3,
        Action.CHALLENGING,
    ]


def test_a_row_is_appended_without_reading_those_of_other_keys(
    tmp_path: Path, uri: str, reads: list[str]
) -> None:
    stored = journal.read(uri)
    copy = f"file://{tmp_path}/flights/ledger"
    write_deltalake(copy, stored.table().combine_chunks())
    written = ledger.record_decision(copy, decision(HOURS + 1), actor="me")
    assert ledger.record_decision(copy, decision(HOURS + 1), actor="my retry") == written
    assert set(reads) == {written.key}
