"""Prechecks of our own, because Great Expectations passes empty tables and columns without a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Outcome, Severity
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.stages.validate.findings import ExpectationFinding

if TYPE_CHECKING:
    import pyarrow as pa


def check(table: pa.Table, required: Sequence[str], names: Sequence[str]) -> Iterator[ExpectationFinding]:
    """Yield whether there are rows, then whether the required columns exist, then whether they have a value.

    :param required: columns that must exist and not be all null; floats that are not a number count as null.
    :param names: all columns of the data, also those that were not read.
    """
    import pyarrow.compute as pc

    required = tuple(dict.fromkeys(required))
    yield _precheck("rows_present", "at least 1 row", "there are no rows" if not table.num_rows else None)
    missing = [column for column in required if column not in names]
    yield _precheck(
        "columns_present", _columns(required), f"{_columns(missing)} missing" if missing else None
    )
    if table.num_rows:
        present = [column for column in required if column not in missing]
        null = [column for column in present if pc.all(pc.is_null(table[column], nan_is_null=True)).as_py()]
        problem = f"{_columns(null)} all null" if null else None
        expected = f"{_columns(required)} not all null" if required else _columns(required)
        yield _precheck("columns_not_all_null", expected, problem)


def _precheck(name: str, expected: str, problem: str | None) -> ExpectationFinding:
    result = ExpectationResult(
        expectation=name,
        severity=Severity.BLOCK,
        outcome=Outcome.FAIL if problem else Outcome.PASS,
        expected=expected,
        observed=problem or "it holds",
    )
    return ExpectationFinding(result, problem or "")


def _columns(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else "no column is required"
