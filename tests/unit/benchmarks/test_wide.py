from __future__ import annotations

import json

import pytest
from benchmarks import wide


@pytest.mark.slow
@pytest.mark.thorough
def test_each_call_is_measured_on_each_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "COLUMNS", (3, 6))
    monkeypatch.setattr(wide, "RUNS", 1)
    monkeypatch.setattr(wide, "LIMIT", 1000)
    lines = [json.loads(width.line()) for width in wide.compare(lambda what: None)]
    assert [(line["case"], line["columns"]) for line in lines] == [
        (case, width) for case in ("publish", "read", "score") for width in (3, 6)
    ]
    assert all(line["ratio"] == 1.0 for line in lines if line["columns"] == 6)
