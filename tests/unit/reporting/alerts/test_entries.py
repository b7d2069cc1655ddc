from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_mlops.exceptions import TableUnreadable
from airflow_mlops.reporting.alerts import entries
from airflow_mlops.reporting.alerts.entries import State
from damaged import DAMAGED
from notices import make_notice

NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)


def row(**changes: Any) -> dict[str, Any]:
    notice = make_notice(id="a#0")
    facts = {"at": NOON, "state": "sent", "ids": json.dumps([notice.id]), "told": '["a@example.com"]'}
    return {**facts, "notice": notice.model_dump_json(), **changes}


def test_a_row_says_what_became_of_its_notice() -> None:
    (entry,) = entries.entries([row()]).values()
    assert (entry.state, entry.told, entry.notice.id) == (State.SENT, ("a@example.com",), "a#0")


@pytest.mark.parametrize("text", [text for text in DAMAGED if text != "[]"], ids=range(len(DAMAGED) - 1))
@pytest.mark.parametrize("column", ["notice", "ids"])
def test_a_row_that_is_damaged_is_named(column: str, text: str) -> None:
    # An object as ids is a list of its names.
    rows = [row(**{column: text, **({"notice": None} if column == "ids" else {})})]
    with pytest.raises(
        TableUnreadable, match=f"The outbox's row of {NOON:%Y-%m-%d}.* written by another version"
    ):
        entries.entries(rows)
