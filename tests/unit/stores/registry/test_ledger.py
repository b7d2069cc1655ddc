from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.exceptions import PromotionConflict, TableUnreadable
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.registry.ledger import RowKind
from airflow_mlops.stores.tables import journal, tables

# It ends as a task process does: Arrow's threads sometimes abort an interpreter that ends in order.
WRITER = """
import os
import sys
from airflow_mlops.domain.facts.results import PromotionDecision
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import journal
journal._FILES = 4
uri, who = sys.argv[1:]
for number in range(8):
    for key in (f"{who}-{number}", f"shared-{number}"):
        decision = PromotionDecision(
            model="flights", partition="2013-01", action="kept", before="1", after="1", reason="r", key=key
        )
        ledger.record_decision(uri, decision, actor=who)
os._exit(0)
"""


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/flights/ledger"


def make_decision(
    key: str = "run-1",
    *,
    partition: str = "2013-01",
    action: Action = Action.PROMOTED,
    before: str | None = "1",
    after: str | None = "2",
    reason: str = "better",
    checks: tuple[Check, ...] = (),
) -> PromotionDecision:
    return PromotionDecision(
        model="flights", partition=partition, action=action, before=before, after=after, digest="abc", checks=checks,
        reason=reason, key=key,
    )  # fmt: skip


def move(uri: str, decision: PromotionDecision) -> None:
    ledger.record(uri, RowKind.INTENT, decision, actor="me")
    ledger.record(uri, RowKind.DONE, decision, actor="me")


def test_a_ledger_that_does_not_exist_has_no_rows_and_no_decisions(uri: str) -> None:
    assert ledger.rows(uri) == []
    assert ledger.decision(uri, "2013-01") is None
    assert ledger.latest_partition(uri) is None
    assert ledger.champion_as_of(uri, "2013-01") is None
    assert ledger.begun(uri, "run-1") is None


def test_a_row_is_read_back_with_all_its_evidence(uri: str) -> None:
    infinite = Check(
        name="floor.rmse",
        verdict=Verdict.PASS,
        expected="<= 1",
        interval=(0.5, float("inf")),
        n=10,
        reason="fine",
    )
    written = ledger.record_decision(uri, make_decision(before=None, checks=(infinite,)), actor="person")
    assert ledger.rows(uri) == [written]
    assert written.evidence.checks == (infinite,)
    assert (written.before, written.after, written.actor) == (None, "2", "person")


def test_what_the_last_row_of_a_key_says_is_not_written_again(uri: str) -> None:
    first = ledger.record(uri, RowKind.INTENT, make_decision(), actor="me")
    assert ledger.record(uri, RowKind.INTENT, make_decision(), actor="my retry") == first
    assert len(ledger.rows(uri)) == 1


def test_a_partition_that_failed_again_after_another_decision_says_so(uri: str) -> None:
    failed, kept = make_decision(action=Action.FAILED), make_decision(action=Action.KEPT)
    for decision in (failed, kept, failed):
        ledger.record_decision(uri, decision, actor="me")
    assert ledger.decision(uri, "2013-01") == failed


def test_a_second_move_cannot_begin_before_the_first_has_ended(uri: str) -> None:
    first, second = make_decision("run-1"), make_decision("run-2", after="3")
    ledger.record(uri, RowKind.INTENT, first, actor="me")
    with pytest.raises(
        PromotionConflict, match="Version 3 cannot .* run-1 moves the alias from version 1 to 2"
    ):
        ledger.record(uri, RowKind.INTENT, second, actor="you")
    ledger.record(uri, RowKind.ABORT, first, actor="me", reason="given up")
    ledger.record(uri, RowKind.INTENT, second, actor="you")
    assert [row.key for row in ledger.pending(uri)] == ["run-2"]
    assert ledger.begun(uri, "run-1") is None


def test_a_move_that_was_given_up_can_begin_again(uri: str) -> None:
    for kind in (RowKind.INTENT, RowKind.ABORT, RowKind.INTENT):
        ledger.record(uri, kind, make_decision(), actor="me")
    assert [row.kind for row in ledger.rows(uri)] == [RowKind.INTENT, RowKind.ABORT, RowKind.INTENT]


def test_a_promotion_is_the_decision_on_its_partition_and_a_rollback_is_not(uri: str) -> None:
    move(uri, make_decision("run-1"))
    back = make_decision("undo", partition="2013-02", action=Action.ROLLED_BACK, before="2", after="1")
    move(uri, back)
    assert ledger.decision(uri, "2013-01") == make_decision("run-1")
    assert ledger.decision(uri, "2013-02") is None
    assert ledger.latest_partition(uri) == "2013-01"


def test_decisions_are_the_latest_of_each_partition_in_order(uri: str) -> None:
    february = make_decision("run-2", partition="2013-02", action=Action.REFUSED)
    january = make_decision("run-3", action=Action.KEPT)
    for decision in (february, make_decision("run-1", action=Action.FAILED), january):
        ledger.record_decision(uri, decision, actor="me")
    assert ledger.decisions(uri) == [january, february]


def test_the_champion_as_of_a_partition_is_the_one_that_was_in_force(uri: str) -> None:
    move(uri, make_decision("run-1", partition="2013-01", before=None, after="1"))
    move(uri, make_decision("run-3", partition="2013-03", before="1", after="3"))
    move(uri, make_decision("undo", partition="2013-03", action=Action.ROLLED_BACK, before="3", after="1"))
    move(uri, make_decision("run-2", partition="2013-02", before="1", after="4"))  # a late decision
    ledger.record(uri, RowKind.INTENT, make_decision("run-4", partition="2013-04", after="5"), actor="me")
    found = {
        key: ledger.champion_as_of(uri, key)
        for key in ("2013-01", "2013-02", "2013-03", "2013-04", "2013-05")
    }
    # A decided partition knows its champion; one that is not decided has what the last move made it.
    assert found == {"2013-01": None, "2013-02": "1", "2013-03": "1", "2013-04": "4", "2013-05": "4"}


@pytest.mark.parametrize(
    ("then", "going_on", "has_alias"),
    [
        ([], True, True),
        ([(Action.RESTORED, "9", "1")], True, True),  # back where it was
        ([(Action.PROMOTED, "1", "2")], False, False),  # the challenger itself
        ([(Action.DROPPED, "1", "1")], False, False),
        ([(Action.PROMOTED, "1", "3")], False, True),
        ([(Action.ROLLED_BACK, "1", "0")], False, True),
        ([(Action.PROMOTED, "1", "3"), (Action.ROLLED_BACK, "3", "1")], True, True),
    ],
)
def test_a_trial_goes_on_as_long_as_the_champion_is_the_one_it_was_judged_against(
    uri: str, then: list[tuple[Action, str, str]], going_on: bool, has_alias: bool
) -> None:
    challenge = make_decision("train", action=Action.CHALLENGING, after="1")
    moves = [
        challenge,
        *(make_decision(f"run-{n}", action=a, before=b, after=c) for n, (a, b, c) in enumerate(then)),
    ]
    for each in moves:
        move(uri, each.model_copy(update={"candidate": "2"}))
    trial, challenger = ledger.trial(uri), ledger.challenger(uri)
    assert ((trial is not None), (challenger is not None)) == (going_on, has_alias)


def test_a_partition_at_which_the_champion_was_rolled_back_was_still_that_champions(uri: str) -> None:
    move(uri, make_decision("run-1", partition="2013-01", before="1", after="2"))
    assert [ledger.reached(uri, key) for key in ("2013-01", "2013-02")] == [True, False]
    restored = make_decision("put back", partition="2013-02", action=Action.RESTORED, before="9", after="2")
    move(uri, restored)
    assert not ledger.reached(uri, "2013-02")
    assert ledger.champion_as_of(uri, "2013-02") == "2"
    move(uri, make_decision("guard", partition="2013-02", action=Action.ROLLED_BACK, before="2", after="1"))
    ledger.record_decision(
        uri,
        make_decision("run-2", partition="2013-02", action=Action.KEPT, before="1", after="1"),
        actor="me",
    )
    assert ledger.reached(uri, "2013-02")
    assert [ledger.champion_as_of(uri, key) for key in ("2013-02", "2013-03")] == ["2", "1"]


def test_rows_of_processes_that_write_at_the_same_time_all_survive_and_none_is_double(uri: str) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, uri, who]) for who in ("a", "b", "c")]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    rows = ledger.rows(uri)
    own = [f"{who}-{number}" for who in "abc" for number in range(8)]
    assert sorted(row.key for row in rows) == sorted([*own, *(f"shared-{number}" for number in range(8))])
    assert len({row.at for row in rows}) == len(rows)


def test_a_long_ledger_has_few_files_and_every_row(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_FILES", 4)
    for number in range(9):
        ledger.record_decision(uri, make_decision(f"run-{number}"), actor="me")
    assert [row.key for row in ledger.rows(uri)] == [f"run-{number}" for number in range(9)]
    assert len(tables.open_table(uri).file_uris()) < 4


def test_a_move_is_ended_once(uri: str) -> None:
    with pytest.raises(PromotionConflict, match="run-1 has no claim any more .*: it never made one"):
        ledger.record(uri, RowKind.DONE, make_decision(), actor="me")
    ledger.record(uri, RowKind.INTENT, make_decision(), actor="me")
    ledger.record(uri, RowKind.ABORT, make_decision(), actor="you", reason="too late")
    with pytest.raises(PromotionConflict, match="you has ended it: too late"):
        ledger.record(uri, RowKind.DONE, make_decision(), actor="me")
    move(uri, make_decision())
    with pytest.raises(PromotionConflict, match="cannot be given up any more"):
        ledger.record(uri, RowKind.ABORT, make_decision(), actor="you", reason="too late")
    assert ledger.record(uri, RowKind.DONE, make_decision(), actor="you") == ledger.rows(uri)[-1]


def test_a_torn_ledger_is_refused_rather_than_read_as_older(uri: str, tmp_path: Path) -> None:
    for number in range(2):
        ledger.record_decision(uri, make_decision(f"run-{number}"), actor="me")
    last = sorted((tmp_path / "flights/ledger/_delta_log").glob("*.json"))[-1]
    last.write_text(json.dumps({"add": {"path": "x"}})[:12])
    with pytest.raises(TableUnreadable, match="flights/ledger"):
        ledger.rows(uri)
    with pytest.raises(TableUnreadable, match="flights/ledger"):
        ledger.record_decision(uri, make_decision("run-3"), actor="me")


def test_a_ledger_that_cannot_be_created_says_where(tmp_path: Path) -> None:
    (tmp_path / "flights").write_text("a file, not a folder")
    with pytest.raises(TableUnreadable, match="flights/ledger cannot be created"):
        ledger.record_decision(f"file://{tmp_path}/flights/ledger", make_decision(), actor="me")
