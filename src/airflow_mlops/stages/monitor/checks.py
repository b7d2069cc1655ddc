"""The table of checks: a row for each check of a partition, for dashboards and for waiting DAGs."""

from __future__ import annotations

import re
from typing import Any

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import HealthReport
from airflow_mlops.stores.tables import tables

_CODES = {Verdict.PASS: 0.0, Verdict.FAIL: 1.0, Verdict.INCONCLUSIVE: -1.0}


def record(uri: str, report: HealthReport) -> None:
    """Write every check of a report to the table; it replaces earlier rows of the same partition.

    :param uri: URI of the Delta table ``checks`` of the model.
    """
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    schema = pa.schema(
        [
            ("model", text), ("partition", text), ("model_version", text), ("check", text), ("slice", text),
            ("verdict", text), ("expected", text), ("observed", number), ("baseline", number), ("low", number),
            ("high", number), ("n", pa.int64()), ("reason", text),
        ]
    )  # fmt: skip
    rows = [_row(report, check) for check in checks(report)]
    tables.replace_partition(uri, pa.Table.from_pylist(rows, schema), report.partition)


def checks(report: HealthReport) -> list[Check]:
    """Return every check of a report: first ``health``, the verdict of the whole report, then its parts."""
    health = Check(name="health", verdict=report.verdict, expected="no failure", reason=report.reason)
    return [health, report.drift, *report.columns, report.performance, report.staleness, *report.others]


def verdict(uri: str, partition: str, name: str) -> Verdict | None:
    """Return the verdict of a check on a partition; None if it has not been recorded.

    :param name: name of the check, such as ``drift`` or ``drift.temperature``; of a check with slices, the
        verdict on all rows is returned.
    """
    if not tables.exists(uri):
        return None
    rows = tables.read(uri, partition=partition, columns=["check", "slice", "verdict"]).to_pylist()
    verdicts = (row["verdict"] for row in rows if row["check"] == name and row["slice"] is None)
    return next(map(Verdict, verdicts), None)


def gauges(report: HealthReport) -> dict[str, float]:
    """Return the gauges for dashboards, by their names.

    ``mlops.<model>.<check>`` is the observed number, ``mlops.<model>.<check>.verdict`` is 0 for PASS, 1 for
    FAIL and -1 for INCONCLUSIVE, and ``mlops.<model>.metrics.<metric>`` is a metric on matured labels.
    Numbers that were not measured are left out, and so are slices.
    """
    readings: dict[str, float] = {}
    for check in checks(report):
        if check.slice is None:
            name = _name(report.model, check.name)
            readings[f"{name}.verdict"] = _CODES[check.verdict]
            if check.observed is not None:
                readings[name] = check.observed
    for metric, value in report.metrics.items():
        if value is not None:
            readings[_name(report.model, f"metrics.{metric}")] = value
    return readings


def _name(model: str, name: str) -> str:
    # Columns may have any name; these are the characters that StatsD and OpenTelemetry both accept.
    return re.sub(r"[^a-zA-Z0-9_.-]", "_", f"mlops.{model}.{name}")[:240]


def _row(report: HealthReport, check: Check) -> dict[str, Any]:
    low, high = check.interval or (None, None)
    return {
        "model": report.model,
        "partition": report.partition,
        "model_version": report.champion.version if report.champion else None,
        "check": check.name,
        "slice": check.slice,
        "verdict": check.verdict.value,
        "expected": check.expected,
        "observed": check.observed,
        "baseline": check.baseline,
        "low": low,
        "high": high,
        "n": check.n,
        "reason": check.reason,
    }
