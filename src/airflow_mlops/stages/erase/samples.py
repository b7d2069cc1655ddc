"""Samples: the rows and values that reports on validations show to people."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow_mlops.stores import damage
from airflow_mlops.stores.tables import erasure, log, tables
from airflow_mlops.stores.tables.versions import partitions

if TYPE_CHECKING:
    import pyarrow as pa

_REPORT = "report"
PAGES = ("validation", "data-docs")
"""Kinds of report pages that show rows."""


def reported(uri: str, touched: Collection[str]) -> list[str]:
    """Return which partitions have a report in a table of validations."""
    return sorted(set(touched) & set(partitions(uri))) if tables.exists(uri) else []


def take_out(uri: str, touched: Collection[str]) -> None:
    """Take samples out of the reports on some partitions, in every version of the table."""
    for partition in touched:
        erasure.rewrite(uri, partition, (), lambda *_: {"run": "erase"}, change=_without)
    spans, present = log.spans(uri), erasure.part_of(uri)
    doomed = {path for path in spans if path not in present and erasure.partition_of(path) in touched}
    log.forget_ranges(uri, doomed)
    erasure.remove(uri, doomed)


def _without(rows: pa.Table) -> pa.Table:
    import pyarrow as pa

    with damage.errors("A report on validation, whose samples cannot be taken out,"):
        reports = [json.dumps(_blank(json.loads(text))) for text in rows[_REPORT].to_pylist()]
    return rows.set_column(rows.column_names.index(_REPORT), _REPORT, pa.array(reports, pa.string()))


def _blank(report: dict[str, Any]) -> dict[str, Any]:
    results = [expectation | {"samples": []} for expectation in report.get("results", [])]
    return report | {"sample": None, "results": results}
