"""The ledger as a table, and rows of it as plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from airflow_mlops.stores.registry.ledger import Row

WIDTH = 140
"""Most characters a line of a table may take; a terminal that is narrower has fewer."""


def write(console: Any, data: Any, output: str) -> None:
    """Print plain JSON values as ``json`` or ``yaml``: numbers as numbers, which Airflow's ``print_as`` does not."""
    {"json": console.print_as_json, "yaml": console.print_as_yaml}[output](data)


def facts(row: Row) -> dict[str, Any]:
    """Return a row as plain JSON values; an infinite number, which JSON does not have, as null."""
    values: dict[str, Any] = json.loads(row.model_dump_json())
    return values


def events(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that say something new.

    The intent of a move that has ended, and the decision on a partition that repeats a move, do not.
    """
    from airflow_mlops.stores.registry.ledger import RowKind

    known = list(rows)
    ended = {row.key: number for number, row in enumerate(known) if row.kind in (RowKind.DONE, RowKind.ABORT)}
    moves: set[tuple[str, str, str | None]] = set()
    kept = []
    for number, row in enumerate(known):
        move = (row.key, row.action, row.after)
        if row.kind is RowKind.DONE:
            moves.add(move)
        over = row.kind is RowKind.INTENT and ended.get(row.key, -1) > number
        repeated = row.kind is RowKind.DECISION and move in moves
        if not (over or repeated):
            kept.append(row)
    return kept


def table(rows: Iterable[Row]) -> Table:
    """Return a table of what happened, one line a decision or move, its evidence below the reason."""
    from airflow.cli.simple_table import SimpleTable

    page = SimpleTable(show_header=True)  # type: ignore[no-untyped-call]
    page.leading = 1
    for name in ("when (UTC)", "partition", "what", "champion"):
        page.add_column(name, no_wrap=True)
    page.add_column("why", overflow="fold")
    for row in events(rows):
        cells = (f"{row.at:%Y-%m-%d %H:%M}", row.partition, _what(row), _moved(row), "\n".join(_why(row)))
        page.add_row(*map(shown, cells))
    return page


def shown(text: object) -> Any:
    """Return text that a terminal shows as it is: neither markup nor control codes of it count."""
    from rich.text import Text

    return Text(_clean(str(text)))


def _clean(text: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else "�" for each in text)


def _what(row: Row) -> str:
    from airflow_mlops.stores.registry.ledger import RowKind

    note = {RowKind.INTENT: " (under way)", RowKind.ABORT: " (given up)"}.get(row.kind, "")
    approval = row.evidence.approval
    return f"{row.action}{note}{' OVERRIDDEN' if approval and approval.overridden else ''}"


def _moved(row: Row) -> str:
    return f"{row.before or '–'} → {row.after or '–'}" if row.before != row.after else row.after or "–"


def _why(row: Row) -> list[str]:
    from airflow_mlops.domain.facts.results import Action

    evidence = row.evidence
    told = [row.reason]
    # The rules of a decision to keep the champion are no gates, and its reason names them.
    if row.action in (Action.PROMOTED, Action.REFUSED, Action.CHALLENGING) and evidence.checks:
        told.append(_gates(row))
    if evidence.trained_on is not None:
        learned = evidence.trained_on
        told.append(
            f"learned from {learned.dataset.name} version {learned.dataset.version}, {learned.start:%Y-%m-%d} to "
            f"{learned.cut:%Y-%m-%d}"
        )
    return [*told, f"by {row.actor}"]


def _gates(row: Row) -> str:
    from airflow_mlops.domain.checks import Verdict

    checks = row.evidence.checks
    passed = sum(check.verdict is Verdict.PASS for check in checks)
    told = f"{passed} of {len(checks)} gates passed"
    compared = next((check for check in checks if check.name.startswith("versus_champion.")), None)
    if compared is not None and compared.observed is not None:
        told += f"; {compared.name.partition('.')[2]} {compared.observed:.4g}"
        told += f", the champion's {compared.baseline:.4g}" if compared.baseline is not None else ""
    return told
