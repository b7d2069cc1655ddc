"""Findings: results of expectations in words, without personal values, and the rows that they are about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.checks import Outcome, Severity
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.stages.validate.words import Words, describe, text

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import Expectation
    from airflow_mlops.stages.validate.gx import GxAnswer

MASK = "•••"
"""Text shown in place of a personal value: always the same, so that it reveals neither length nor content."""
SAMPLES = 20
"""Maximum number of different values that a result shows."""
_HINTS = (
    ("NA is ambiguous", "an integer is missing: say what becomes of such rows with `ignore_row_if`"),
    ("dtype=datetime64", "write a time with its zone, such as 2013-01-31T00:00:00+00:00"),
    ("of processor time", "simplify its pattern: repeats within repeats, such as (a+)+, take ever longer"),
    ("Cannot compare Timestamp", "write a time with its zone, such as 2013-01-31T00:00:00+00:00"),
)
_NAMED = 5
"""Maximum number of findings of one kind that a reason spells out."""


class ExpectationFinding(NamedTuple):
    """One result, and what it means for the rows.

    :param broken: what is wrong, in words, if the expectation failed or could not be evaluated; it quotes no
        value of a personal column.
    :param columns: the columns that the expectation is about.
    :param rows: positions of the rows that broke it, counted from 0; None if it is not about rows or passed.
    """

    result: ExpectationResult
    broken: str
    columns: tuple[str, ...] = ()
    rows: Sequence[int] | None = None

    @property
    def sets_aside(self) -> bool:
        """Whether the rows that broke it are to be set aside."""
        return self.result.severity is Severity.QUARANTINE and self.rows is not None

    @property
    def blocks(self) -> bool:
        """Whether it stops the partition."""
        stops = self.result.severity is not Severity.WARN and not self.sets_aside
        return stops and self.result.outcome is Outcome.FAIL

    @property
    def undecided(self) -> bool:
        """Whether an error leaves the verdict open; an error of a skew check that only warns does not."""
        warns_only = self.result.expectation == "skew" and self.result.severity is Severity.WARN
        return self.result.outcome is Outcome.ERROR and not warns_only


def concerns(expectation: Expectation, pii: Collection[str]) -> bool:
    """Return whether the result of an expectation may quote a value of one of these columns."""
    condition = str(expectation.args.get("row_condition") or "")
    columns = describe(expectation.expectation, expectation.args).columns
    return any(column in columns or column in condition for column in pii)


def of_answer(
    expectation: Expectation, answer: GxAnswer, rows: int, pii: Collection[str] = ()
) -> ExpectationFinding:
    """Return an answer of Great Expectations as a finding.

    :param rows: rows of the partition.
    :param pii: columns with personal data.
    """
    words, masked = describe(expectation.expectation, expectation.args), concerns(expectation, pii)
    if answer.error is not None or answer.result is None:
        return _errored(expectation, words, MASK if masked and not answer.cut else answer.error or "unknown")
    details = answer.result.result
    unexpected = int(details["unexpected_count"]) if "element_count" in details else None
    examples = details.get("partial_unexpected_list") or ()
    result = ExpectationResult(
        expectation=expectation.expectation,
        column=", ".join(words.columns) or None,
        severity=expectation.severity,
        outcome=Outcome.PASS if answer.result.success else Outcome.FAIL,
        expected=words.expected,
        observed=_observed(details, unexpected, rows, bool(answer.result.success), masked),
        unexpected=unexpected,
        unexpected_share=None if unexpected is None else unexpected / rows,
        samples=(MASK,) if masked and examples else _different(examples),
    )
    return ExpectationFinding(result, words.broken, words.columns, answer.rows)


def of_result(result: ExpectationResult, pii: Collection[str] = ()) -> ExpectationFinding:
    """Return a result of a check of ours, which is not about rows, as a finding."""
    columns = (result.column,) if result.column else ()
    words = describe(result.expectation, {"column": result.column} if result.column else {})
    if result.column in pii:
        result = result.model_copy(update={"observed": MASK, "expected": MASK, "samples": ()})
    if result.outcome is Outcome.ERROR:
        return ExpectationFinding(result, f"{_about(result)} {result.observed}", columns)
    ours = result.expectation.startswith("expect_")
    broken = words.broken if ours else f"{_about(result)}: {result.observed}"
    return ExpectationFinding(result, broken, columns)


def _about(result: ExpectationResult) -> str:
    return f"{result.expectation} on {result.column}" if result.column else result.expectation


def _observed(details: dict[str, Any], unexpected: int | None, rows: int, holds: bool, masked: bool) -> str:
    if unexpected is not None:
        return f"{unexpected:,} of {rows:,} rows broke it"
    if details.get("observed_value") is not None:
        return MASK if masked else text(details["observed_value"])
    return "it holds" if holds else "it does not hold"


def _different(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text(value) for value in values))[:SAMPLES]


def _errored(expectation: Expectation, words: Words, message: str) -> ExpectationFinding:
    short = message.strip().partition("\n")[0][:200] or "unknown"
    hint = next((f" ({hint})" for part, hint in _HINTS if part in short), "")
    result = ExpectationResult(
        expectation=expectation.expectation,
        column=", ".join(words.columns) or None,
        severity=expectation.severity,
        outcome=Outcome.ERROR,
        expected=words.expected,
        observed=f"could not be evaluated: {short}{hint}",
    )
    return ExpectationFinding(result, f"{_about(result)} {result.observed}", words.columns)


def reason(
    findings: Sequence[ExpectationFinding],
    *,
    rows: int,
    aside: int,
    released: int,
    largest: float,
    moved: bool,
) -> str:
    """Return the reason of a verdict: failures, errors, rows set aside or released, warnings, passed checks.

    :param rows: number of rows of the partition.
    :param aside: number of rows that are to be set aside.
    :param released: number of rows that broke an expectation and pass, because a person has released them.
    :param largest: largest share of rows that may be set aside.
    :param moved: whether the rows are in fact moved to quarantine.
    """
    failed = [finding for finding in findings if finding.result.outcome is Outcome.FAIL]
    clauses = [_listed(_counted(finding) for finding in failed if finding.blocks)]
    clauses.append(_listed(finding.broken for finding in findings if finding.result.outcome is Outcome.ERROR))
    if aside:
        share = f"{aside:,} of {counted(rows, 'row')}" if aside < rows else f"all {counted(rows, 'row')}"
        limit = f", above {100 * largest:.4g} % of them" if aside < rows and aside / rows > largest else ""
        why = _listed(finding.broken for finding in failed if finding.sets_aside)
        clauses.append(f"{share} {'' if moved else 'would be '}set aside{limit}: {why}")
    if released:
        clauses.append(
            f"{counted(released, 'row')} that a person has released {'go' if released > 1 else 'goes'} on"
        )
    warned = _listed(_counted(finding) for finding in failed if finding.result.severity is Severity.WARN)
    clauses.append(f"warning: {warned}" if warned else "")
    passed = sum(finding.result.outcome is Outcome.PASS for finding in findings)
    checks = f"{passed}" if passed == len(findings) else f"{passed} of {len(findings)}"
    clauses.append(f"{checks} checks passed on {counted(rows, 'row')}")
    return "; ".join(clause for clause in clauses if clause)


def broken_rows(findings: Sequence[ExpectationFinding]) -> list[int]:
    """Return the positions of the rows that are to be set aside."""
    import numpy as np

    rows = [np.asarray(finding.rows, dtype=np.int64) for finding in findings if finding.sets_aside]
    positions: list[int] = np.unique(np.concatenate(rows)).tolist() if rows else []
    return positions


def reasons_of(findings: Sequence[ExpectationFinding], aside: Sequence[int]) -> dict[int, str]:
    """Return what is wrong with each of some rows, by position."""
    by_row: dict[int, list[str]] = {row: [] for row in aside}
    for finding in findings:
        for row in (finding.rows or ()) if finding.sets_aside else ():
            if row in by_row:
                by_row[row].append(finding.broken)
    return {row: "; ".join(reasons) for row, reasons in by_row.items()}


def _counted(finding: ExpectationFinding) -> str:
    result = finding.result
    if result.unexpected is not None:
        return f"{finding.broken} in {counted(result.unexpected, 'row')}"
    observed = result.expectation.startswith("expect_") and result.observed != "it does not hold"
    return f"{finding.broken} (observed: {result.observed})" if observed else finding.broken


def _listed(texts: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(texts))
    more = [f"{len(distinct) - _NAMED} more"] if len(distinct) > _NAMED else []
    return ", ".join(distinct[:_NAMED] + more)
