from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.exceptions import PromotionConflict
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.registry.ledger import Row, RowKind
from airflow_mlops.stores.tables import journal, tables
from history import make_decision

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
STEPS = 16


class Story:
    """Random decisions and moves on a ledger, and what has to follow from them, kept without reading it."""

    def __init__(self, uri: str, random: Random) -> None:
        self.uri = uri
        self.random = random
        self.partition = 1
        self.champion: str | None = None
        self.open: PromotionDecision | None = None
        self.decided: dict[str, PromotionDecision] = {}
        self.written: list[tuple[RowKind, str]] = []

    def step(self) -> None:
        self.random.choice(
            [self.decide, self.decide_late, self.promote, self.promote, self.roll_back, self.end]
        )()

    def decide(self) -> None:
        self.partition += 1
        self._decide(self._key(self.partition))

    def decide_late(self) -> None:
        """Decide on a partition again, or on one that was passed over."""
        self._decide(self._key(self.random.randint(1, self.partition)))

    def promote(self) -> None:
        self._begin(Action.PROMOTED)

    def roll_back(self) -> None:
        self._begin(Action.ROLLED_BACK)

    def end(self) -> None:
        """Finish the move that is open, or give it up."""
        if self.open is None:
            return
        move = self.open
        kind = self.random.choice([RowKind.DONE, RowKind.DONE, RowKind.ABORT])
        self._record(kind, move, "killed" if kind is RowKind.ABORT else None)
        self.open = None
        if kind is RowKind.DONE:
            self.champion = move.after
            if move.action is Action.PROMOTED:
                self._decided(move)

    def _begin(self, action: Action) -> None:
        after = str(len(self.written) + 1)
        move = make_decision(
            self._key(self.partition), action, before=self.champion, after=after, key=f"move-{after}"
        )
        if self.open is not None:
            # Whoever comes second is refused, and leaves no trace.
            with pytest.raises(PromotionConflict):
                ledger.record(self.uri, RowKind.INTENT, move, actor="second")
            return
        self._record(RowKind.INTENT, move)
        self.open = move

    def _decide(self, partition: str) -> None:
        action = self.random.choice([Action.KEPT, Action.REFUSED, Action.FAILED])
        number = len(self.written)
        decision = make_decision(
            partition,
            action,
            before=self.champion,
            after=self.champion,
            key=f"run-{number}",
            reason=f"reason {number}",
        )
        self._record(RowKind.DECISION, decision)
        self._decided(decision)

    def _decided(self, decision: PromotionDecision) -> None:
        self.decided[decision.partition] = decision

    def _record(self, kind: RowKind, decision: PromotionDecision, reason: str | None = None) -> None:
        # A retry says the same again.
        for _ in range(self.random.choice([1, 1, 2])):
            ledger.record(self.uri, kind, decision, actor="me", reason=reason)
        self.written.append((kind, decision.key))

    def _key(self, number: int) -> str:
        return f"2013-{number:02}"


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Random], None]:
    """Let each writer be on a machine whose clock is hours before or after that of the one before."""
    append = journal.append

    def skew(random: Random) -> None:
        def appended(*args: Any) -> None:
            append(*args, now=NOON + timedelta(minutes=random.randint(-600, 600)))

        monkeypatch.setattr(journal, "append", appended)

    return skew


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_ledger_replays_to_where_the_champion_is(
    seed: int, tmp_path: Path, skewed: Callable[[Random], None]
) -> None:
    random = Random(seed)
    story = Story(f"file://{tmp_path}/ledger", random)
    skewed(random)
    former: list[Row] = []
    for _ in range(STEPS):
        story.step()
        rows = ledger.rows(story.uri)
        assert rows[: len(former)] == former, "a row was changed"
        former = rows
    assert [(row.kind, row.key) for row in rows] == story.written
    assert all(one.at < other.at for one, other in zip(rows, rows[1:], strict=False))
    moves = ledger.moves(story.uri)
    assert (moves[-1].after if moves else None) == story.champion
    assert [row.evidence for row in ledger.pending(story.uri)] == ([story.open] if story.open else [])
    assert ledger.decisions(story.uri) == [story.decided[key] for key in sorted(story.decided)]
    assert ledger.champion_as_of(story.uri, "2014-01") == story.champion
    for key in {key for kind, key in story.written if kind is not RowKind.DECISION}:
        ended = [kind for kind, each in story.written if each == key][-1]
        found = ledger.begun(story.uri, key)
        assert (found.kind if found else RowKind.ABORT) is ended


def test_the_order_of_the_rows_outlives_a_compaction_of_their_files(tmp_path: Path) -> None:
    story = Story(f"file://{tmp_path}/ledger", Random(0))
    for _ in range(STEPS):
        story.step()
    rows = ledger.rows(story.uri)
    tables.open_table(story.uri).optimize.compact()
    assert len(tables.open_table(story.uri).file_uris()) == 1 < len(rows)
    assert ledger.rows(story.uri) == rows
