"""Validation: hold one partition to its expectations, and tell the rows that may go on from those that may not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Outcome, Severity, Verdict
from airflow_mlops.domain.results import ExpectationResult, ValidationReport
from airflow_mlops.engines import validation_gx, validation_page
from airflow_mlops.engines.validation_gx import Finding

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec import Expectation

REASONS = "_reasons"
"""Column of the rows set aside that says what is wrong with each."""

_NAMED = 5
"""Findings of one kind that the reason spells out."""


class Validated(NamedTuple):
    """One validated partition.

    :param good: the rows that may go on, in their order.
    :param bad: the rows set aside, with the column ``_reasons``.
    :param html: a page about it, without external resources.
    """

    report: ValidationReport
    good: pa.Table
    bad: pa.Table
    html: str


def validate(
    table: pa.Table,
    *,
    dataset: str,
    partition: str,
    expectations: Sequence[Expectation],
    required: Sequence[str],
) -> Validated:
    """Check rows and required columns ourselves, then the expectations with Great Expectations.

    Great Expectations passes empty tables, columns without a value and empty suites, so these checks come first;
    without rows, or without a required column, it is not run. Floats that are not a number count as null. An
    expectation that tolerates some broken rows (``mostly``) and passes sets none aside. One of severity quarantine
    that fails and is not about rows stops the partition, as does one that leaves no row.

    :param table: the rows of the partition.
    :param expectations: what to hold them to, each with its severity.
    :param required: columns that must be there and not be all null.
    :raises ValidationErrored: Great Expectations does not know an expectation or refuses its arguments.
    """
    findings = list(_prechecks(table, required))
    if all(finding.result.outcome is Outcome.PASS for finding in findings[:2]):
        findings += validation_gx.evaluate(table, expectations)
    good, bad = _separate(table, findings)
    report = ValidationReport(
        dataset=dataset,
        partition=partition,
        verdict=_verdict(findings, good),
        results=tuple(finding.result for finding in findings),
        rows=table.num_rows,
        quarantined=bad.num_rows,
        reason=_reason(findings, table.num_rows, bad.num_rows),
    )
    return Validated(report, good, bad, validation_page.render(report))


def _prechecks(table: pa.Table, required: Sequence[str]) -> Iterator[Finding]:
    import pyarrow.compute as pc

    required = tuple(dict.fromkeys(required))
    yield _precheck("rows_present", "at least 1 row", "there are no rows" if not table.num_rows else None)
    missing = [column for column in required if column not in table.column_names]
    yield _precheck(
        "columns_present", _columns(required), f"{_columns(missing)} missing" if missing else None
    )
    if table.num_rows:
        found = [column for column in required if column not in missing]
        null = [each for each in found if pc.all(pc.is_null(table[each], nan_is_null=True)).as_py()]
        problem = f"{_columns(null)} all null" if null else None
        yield _precheck("columns_not_all_null", f"{_columns(required)} not all null", problem)


def _precheck(name: str, expected: str, problem: str | None) -> Finding:
    result = ExpectationResult(
        expectation=name,
        severity=Severity.BLOCK,
        outcome=Outcome.FAIL if problem else Outcome.PASS,
        expected=expected,
        observed=problem or "it holds",
    )
    return Finding(result, problem or "")


def _columns(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else "no column is required"


def _separate(table: pa.Table, findings: Iterable[Finding]) -> tuple[pa.Table, pa.Table]:
    import numpy as np
    import pyarrow as pa

    reasons: dict[int, list[str]] = {}
    for finding in findings:
        for row in finding.positions or ():
            reasons.setdefault(row, []).append(finding.broken)
    rows = sorted(reasons)
    good = np.ones(table.num_rows, dtype=bool)
    good[rows] = False
    told = pa.array(["; ".join(reasons[row]) for row in rows], pa.string())
    return table.filter(good), table.take(pa.array(rows, pa.int64())).append_column(REASONS, told)


def _blocks(finding: Finding) -> bool:
    stops = finding.result.severity is not Severity.WARN and finding.positions is None
    return stops and finding.result.outcome is Outcome.FAIL


def _verdict(findings: Sequence[Finding], good: pa.Table) -> Verdict:
    if not good.num_rows or any(_blocks(finding) for finding in findings):
        return Verdict.FAIL
    if any(finding.result.outcome is Outcome.ERROR for finding in findings):
        return Verdict.INCONCLUSIVE
    return Verdict.PASS


def _reason(findings: Sequence[Finding], rows: int, bad: int) -> str:
    failed = [finding for finding in findings if finding.result.outcome is Outcome.FAIL]
    clauses = [_listed(_counted(each) for each in failed if _blocks(each))]
    clauses.append(_listed(each.broken for each in findings if each.result.outcome is Outcome.ERROR))
    if bad:
        share = f"{bad:,} of {rows:,} rows" if bad < rows else f"all {_rows(rows)}"
        clauses.append(
            f"{share} set aside: {_listed(each.broken for each in failed if each.positions is not None)}"
        )
    warned = _listed(_counted(each) for each in failed if each.result.severity is Severity.WARN)
    clauses.append(f"warning: {warned}" if warned else "")
    passed = sum(each.result.outcome is Outcome.PASS for each in findings)
    counted = f"{passed}" if passed == len(findings) else f"{passed} of {len(findings)}"
    clauses.append(f"{counted} checks passed on {_rows(rows)}")
    return "; ".join(clause for clause in clauses if clause)


def _counted(finding: Finding) -> str:
    result = finding.result
    if result.unexpected is not None:
        return f"{finding.broken} in {_rows(result.unexpected)}"
    return f"{finding.broken} (observed: {result.observed})" if result.column else finding.broken


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _listed(texts: Iterable[str]) -> str:
    told = list(dict.fromkeys(texts))
    more = [f"{len(told) - _NAMED} more"] if len(told) > _NAMED else []
    return ", ".join(told[:_NAMED] + more)
