"""A sample of the rows that broke expectations, for people to look at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Severity
from airflow_mlops.domain.facts.validation import Sample
from airflow_mlops.stages.validate.findings import MASK, ExpectationFinding
from airflow_mlops.stages.validate.words import text

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 20
COLUMNS = 8

_ORDER = (Severity.BLOCK, Severity.QUARANTINE, Severity.WARN)


def take(
    table: pa.Table,
    findings: Sequence[ExpectationFinding],
    *,
    identifiers: Sequence[str],
    pii: Collection[str],
) -> Sample | None:
    """Return some rows that broke expectations, the most severe first and some for every expectation.

    :param identifiers: columns that identify a row to people: key and event time.
    :param pii: columns with personal data, whose values are masked.
    :return: None if no row broke an expectation.
    """
    broken = sorted(
        (finding for finding in findings if finding.rows is not None and len(finding.rows)),
        key=lambda finding: _ORDER.index(finding.result.severity),
    )
    rows = _rows(broken)
    if not rows:
        return None
    wrong = [column for finding in broken for column in finding.columns]
    columns = [name for name in dict.fromkeys([*identifiers, *wrong]) if name in table.column_names][:COLUMNS]
    records = table.select(columns).take(rows).to_pylist()
    return Sample(
        columns=tuple(columns),
        rows=tuple(
            tuple(MASK if name in pii else text(record[name]) for name in columns) for record in records
        ),
        reasons=tuple(
            "; ".join(finding.broken for finding in broken if _has(finding.rows or (), row)) for row in rows
        ),
    )


def _rows(broken: Sequence[ExpectationFinding]) -> list[int]:
    if not broken:
        return []
    quota = max(1, ROWS // len(broken))
    shares = [row for finding in broken for row in list(finding.rows or ())[:quota]]
    rest = [row for finding in broken for row in list(finding.rows or ())[quota:ROWS]]
    return list(dict.fromkeys([*shares, *rest]))[:ROWS]


def _has(rows: Sequence[int], row: int) -> bool:
    from bisect import bisect_left

    place = bisect_left(rows, row)
    return place < len(rows) and rows[place] == row
