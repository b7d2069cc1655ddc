"""The reason of a validation's verdict: one line that a person can act on, without any value of a personal column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_mlops.domain.checks import Outcome, Severity
from airflow_mlops.engines.validation_findings import Finding

_NAMED = 5
"""Findings of one kind that are spelled out."""


def tell(
    findings: Sequence[Finding], *, rows: int, aside: int, released: int, largest: float, moved: bool
) -> str:
    """Return what stops the partition, what could not be evaluated, what becomes of rows, and what passed.

    :param aside: rows that are to be set aside.
    :param released: rows that break an expectation and go on, because a person has released them.
    :param largest: largest share of rows that may be set aside.
    :param moved: whether the rows are set aside.
    """
    failed = [each for each in findings if each.result.outcome is Outcome.FAIL]
    clauses = [_listed(_counted(each) for each in failed if each.blocks)]
    clauses.append(_listed(each.broken for each in findings if each.result.outcome is Outcome.ERROR))
    if aside:
        share = f"{aside:,} of {_rows(rows)}" if aside < rows else f"all {_rows(rows)}"
        limit = f", above {100 * largest:.4g} % of them" if aside < rows and aside / rows > largest else ""
        why = _listed(each.broken for each in failed if each.sets_aside)
        clauses.append(f"{share} {'' if moved else 'would be '}set aside{limit}: {why}")
    if released:
        clauses.append(f"{_rows(released)} that a person has released {'go' if released > 1 else 'goes'} on")
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
    observed = result.expectation.startswith("expect_") and result.observed != "it does not hold"
    return f"{finding.broken} (observed: {result.observed})" if observed else finding.broken


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _listed(texts: Iterable[str]) -> str:
    told = list(dict.fromkeys(texts))
    more = [f"{len(told) - _NAMED} more"] if len(told) > _NAMED else []
    return ", ".join(told[:_NAMED] + more)
