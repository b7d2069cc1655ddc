"""Rows with a cell that cannot be read: no expectation is asked of them, and validation sets them aside."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.checks import Outcome, Severity
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.stages.validate.findings import MASK, SAMPLES, ExpectationFinding
from airflow_mlops.stores import damage

if TYPE_CHECKING:
    import pyarrow as pa

READABLE = "readable"
"""Name of the check in a report."""


class Unread(NamedTuple):
    """Rows that are not among those of the partition, numbered after them.

    :param records: the rows, with their text where it cannot be read.
    :param reasons: what is wrong with each, without personal data.
    :param findings: one for each column with such cells.
    """

    records: Sequence[Mapping[str, Any]] = ()
    reasons: Sequence[str] = ()
    findings: Sequence[ExpectationFinding] = ()

    @property
    def columns(self) -> list[str]:
        """The columns with cells that cannot be read."""
        return [finding.columns[0] for finding in self.findings]


def of(rows: pa.Table | None, before: int, pii: Collection[str]) -> Unread:
    """Describe rows apart.

    :param rows: the rows, with the columns ``_reasons`` and ``_unreadable``; None for no rows.
    :param before: number of rows of the partition itself.
    :param pii: columns with personal data.
    """
    if rows is None:
        return Unread()
    with damage.errors("A row with a cell that cannot be read"):
        cells: list[dict[str, str]] = [dict(json.loads(text)) for text in rows["_unreadable"].to_pylist()]
    columns = dict.fromkeys(name for row in cells for name in row)
    total = before + rows.num_rows
    findings = [_finding(name, rows, cells, before, total, name in pii) for name in columns]
    broken = {finding.columns[0]: finding.broken for finding in findings}
    reasons = [
        "; ".join(broken[name] for name in row) if any(name in pii for name in row) else reason
        for row, reason in zip(cells, rows["_reasons"].to_pylist(), strict=True)
    ]
    records = [record | row for record, row in zip(rows.to_pylist(), cells, strict=True)]
    return Unread(records, reasons, findings)


def _finding(
    name: str, rows: pa.Table, cells: Sequence[Mapping[str, str]], before: int, total: int, masked: bool
) -> ExpectationFinding:
    places = [before + place for place, row in enumerate(cells) if name in row]
    texts = tuple(dict.fromkeys(row[name] for row in cells if name in row))[:SAMPLES]
    kind = str(rows.schema.field(name).type)
    noun = "a time" if kind.startswith("timestamp") else kind
    result = ExpectationResult(
        expectation=READABLE,
        column=name,
        severity=Severity.QUARANTINE,
        outcome=Outcome.FAIL,
        expected=f"each value can be read as {noun}",
        observed=f"{len(places):,} of {total:,} rows broke it",
        unexpected=len(places),
        unexpected_share=len(places) / total,
        samples=(MASK,) if masked else texts,
    )
    return ExpectationFinding(result, f"{name} cannot be read as {noun}", (name,), places)
