"""The journal of what became of whole models: which were removed or renamed, when, by whom and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from airflow_mlops.stores.tables import journal, places
from airflow_mlops.stores.tables.journal import JournalRow

_COLUMNS = ("what", "model", "by", "reason", "facts")


class _OfModel(Protocol):
    @property
    def model(self) -> str: ...

    def model_dump_json(self) -> str: ...


def note(storage: str, what: str, facts: _OfModel, by: str, reason: str) -> None:
    """Add a row.

    :param storage: URI under which the tables of all models are.
    :param what: what happened, such as ``removed``.
    :param facts: of the model that it happened to.
    :param by: who did it.
    """

    def row(_: object, at: datetime) -> dict[str, Any]:
        return {
            "at": at,
            "what": what,
            "model": facts.model,
            "by": by,
            "reason": reason,
            "facts": facts.model_dump_json(),
        }

    journal.append(places.changes_of(storage), _COLUMNS, row)


def rows(storage: str) -> Sequence[JournalRow]:
    """Return all rows, oldest first."""
    return journal.rows(places.changes_of(storage))
