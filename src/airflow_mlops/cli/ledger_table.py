"""The ledger as a table for people, and its rows as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli import terminal

if TYPE_CHECKING:
    from rich.table import Table

    from airflow_mlops.stores.registry.ledger import Row


def write(console: Any, document: Any, output: str) -> None:
    """Print plain JSON values as ``json`` or ``yaml``, with numbers as numbers, unlike Airflow's ``print_as``."""
    {"json": console.print_as_json, "yaml": console.print_as_yaml}[output](document)


def facts(row: Row) -> dict[str, Any]:
    """Return a row of the ledger as plain JSON values; infinite numbers, which JSON does not have, become null."""
    record: dict[str, Any] = json.loads(row.model_dump_json())
    return record


def events(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that say something new.

    Left out are the intent of a move that has ended, and a decision that repeats such a move.
    """
    from airflow_mlops.stores.registry.ledger import RowKind

    ledger_rows = list(rows)
    ended = {
        row.key: number for number, row in enumerate(ledger_rows) if row.kind in (RowKind.DONE, RowKind.ABORT)
    }
    moves: set[tuple[str, str, str | None]] = set()
    kept = []
    for number, row in enumerate(ledger_rows):
        move = (row.key, row.action, row.after)
        if row.kind is RowKind.DONE:
            moves.add(move)
        over = row.kind is RowKind.INTENT and ended.get(row.key, -1) > number
        repeated = row.kind is RowKind.DECISION and move in moves
        if not (over or repeated):
            kept.append(row)
    return kept


def table(rows: Iterable[Row]) -> Table:
    """Return a table with one line a decision or move, and its evidence below the reason."""
    names = ("when (UTC)", "partition", "what", "champion", "why")
    cells = (
        (f"{row.at:%Y-%m-%d %H:%M}", row.partition, _look(row), _moved(row), "\n".join(_why(row)))
        for row in events(rows)
    )
    return terminal.table(names, cells, leading=1)


def action_of(row: Row) -> str:
    """Return what a row of the ledger did, in words."""
    from airflow_mlops.domain.facts.evidence import judged_again
    from airflow_mlops.domain.facts.results import Action
    from airflow_mlops.stores.registry.ledger import RowKind

    note = {RowKind.INTENT: " (under way)", RowKind.ABORT: " (given up)"}.get(row.kind, "")
    approval = row.evidence.approval
    again = " again" if row.action is Action.REFUSED and judged_again(row.evidence.checks) else ""
    return f"{row.action}{again}{note}{' OVERRIDDEN' if approval and approval.overridden else ''}"


def _look(row: Row) -> str:
    from airflow_mlops.reporting.verdicts import appearance

    return f"{appearance(row.action).sign} {action_of(row)}"


def _moved(row: Row) -> str:
    return f"{row.before or '–'} → {row.after or '–'}" if row.before != row.after else row.after or "–"


def _why(row: Row) -> list[str]:
    from airflow_mlops.domain.facts.results import Action

    evidence = row.evidence
    lines = [row.reason]
    # A decision to keep the champion has no gates but rules of the retrain policy, which its reason names already.
    if (
        row.action in (Action.PROMOTED, Action.REFUSED, Action.CHALLENGING, Action.RECORDED)
        and evidence.checks
    ):
        lines.append(_gates(row))
    if evidence.trained_on is not None:
        learned = evidence.trained_on
        lines.append(
            f"learned from {learned.dataset.name} version {learned.dataset.version}, {learned.start:%Y-%m-%d} to "
            f"{learned.cut:%Y-%m-%d}"
        )
    return [*lines, f"by {row.actor}"]


def _gates(row: Row) -> str:
    from airflow_mlops.domain.checks import Verdict
    from airflow_mlops.reporting import sentences

    checks = row.evidence.checks
    passed = sum(check.verdict is Verdict.PASS for check in checks)
    parts = (f"{passed} of {len(checks)} gates passed", sentences.compared(checks))
    return "; ".join(part for part in parts if part)
