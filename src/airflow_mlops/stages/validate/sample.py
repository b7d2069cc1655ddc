"""A sample of the rows that broke expectations, for people to look at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Severity
from airflow_mlops.domain.facts.validation import Sample
from airflow_mlops.stages.validate.apart import Unread
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
    apart: Unread,
) -> Sample | None:
    """Return some rows that broke expectations, the most severe first and some for every expectation.

    :param identifiers: columns that identify a row to people: key and event time.
    :param pii: columns with personal data, whose values are masked.
    :param apart: rows that are not in the table, and stand after it.
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
    names = {*table.column_names, *apart.columns}
    columns = [name for name in dict.fromkeys([*identifiers, *wrong]) if name in names][:COLUMNS]
    ours = [row for row in rows if row < table.num_rows]
    available = [name for name in columns if name in table.column_names]
    staged = dict(zip(ours, _records(table.select(available), ours), strict=True))
    records = [staged.get(row) or apart.records[row - table.num_rows] for row in rows]
    return Sample(
        columns=tuple(columns),
        rows=tuple(
            tuple(MASK if name in pii else text(record.get(name)) for name in columns) for record in records
        ),
        reasons=tuple(
            "; ".join(finding.broken for finding in broken if _has(finding.rows or (), row))
            if row in staged
            else apart.reasons[row - table.num_rows]
            for row in rows
        ),
    )


def _records(table: pa.Table, rows: Sequence[int]) -> list[dict[str, Any]]:
    import pyarrow as pa

    records: list[dict[str, Any]] = table.take(pa.array(rows, pa.int64())).to_pylist()
    return records


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
