from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import journal

from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.stores.registry import ledger


def test_a_journal_is_filled_as_appends_would_have_left_it(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/ledger"
    journal.fill(uri, "ledger", 100)
    # 100 is 144 in eights.
    assert journal.files(uri) == 1 + 4 + 4
    assert len(ledger.decisions(uri)) == 100


def test_the_notices_of_an_outbox_were_mailed(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/outbox"
    journal.fill(uri, "outbox", 30)
    assert {entry.state for entry in outbox.entries(uri)} == {outbox.State.SENT}
    assert outbox.pending(uri) == []


def test_each_call_is_measured_on_each_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "ROWS", (3, 10))
    monkeypatch.setattr(journal, "RUNS", 1)
    monkeypatch.setattr(journal, "LIMIT", 1000)
    lines = [json.loads(growth.line()) for growth in journal.compare(lambda what: None)]
    assert len({line["case"] for line in lines}) == len(lines) / 2 == 15
    assert {line["rows"] for line in lines} == {3, 10}
    assert all(line["ratio"] == 1.0 for line in lines if line["rows"] == 3)
