"""Validation: check one partition against its expectations, and name the rows that must not pass."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.checks import Outcome, Verdict
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.facts.validation import ExpectationResult, ValidationReport
from airflow_mlops.domain.spec.expectations import is_ours
from airflow_mlops.exceptions import ValidationErrored, ValidationFailed
from airflow_mlops.stages.validate import apart, gx, page, prechecks, sample, suites
from airflow_mlops.stages.validate.docs import render
from airflow_mlops.stages.validate.findings import (
    ExpectationFinding,
    broken_rows,
    of_answer,
    of_result,
    reason,
    reasons_of,
)
from airflow_mlops.stages.validate.history import History, compare
from airflow_mlops.stores.sources import frames
from airflow_mlops.stores.tables import tables
from airflow_mlops.stores.tables.tables import record_report

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.spec.model import Expectation
    from airflow_mlops.stages.validate.gx import GxAnswer
    from airflow_mlops.stores.sources.source import Source

log = logging.getLogger(__name__)

Allowed = Callable[[Sequence[int]], Collection[int]]
"""A function that takes positions of rows, and returns those of the rows that a person has released."""


@dataclass(frozen=True)
class ValidationPolicy:
    """The expectations and limits that a partition is checked against.

    :param expectations: expectations of ours and of Great Expectations, each with its severity.
    :param required: columns that must exist and not be all null.
    :param identifiers: columns that identify a row to people: key and event time.
    :param pii: columns with personal data, masked in all that leaves validation.
    :param max_quarantined: largest share of rows to set aside; above it the partition is stopped and no row
        is moved.
    :param seconds: processor time that an expectation may take which runs a pattern or a condition, beside 0.1 ms a row.
    :param moves: whether rows can be set aside at all; if not, the report only counts them.
    """

    expectations: Sequence[Expectation] = ()
    required: Sequence[str] = ()
    identifiers: Sequence[str] = ()
    pii: Collection[str] = ()
    max_quarantined: float = 1.0
    moves: bool = True
    seconds: float = gx.SECONDS

    def __post_init__(self) -> None:
        """Refuse a string where a list of columns is expected: its letters would be taken for columns.

        :raises TypeError: if a field is a string; the message names the field.
        """
        for field in ("required", "identifiers", "pii"):
            value = getattr(self, field)
            if isinstance(value, str):
                raise TypeError(f"{field} is a text; write a list of columns: {field}=[{value!r}]")


class Validated(NamedTuple):
    """The outcome of validating one partition.

    :param report: the report to store.
    :param reasons: what is wrong with each row that is to be set aside, by position; empty unless the verdict
        is PASS.
    :param html: the page of the report, without external resources.
    :param docs: the Data Docs of Great Expectations; None if it was not run, or could not render them.
    """

    report: ValidationReport
    reasons: Mapping[int, str]
    html: str
    docs: str | None


def validate(
    table: pa.Table,
    policy: ValidationPolicy,
    *,
    dataset: str,
    partition: str,
    names: Sequence[str] | None = None,
    allowed: Allowed | None = None,
    history: History | None = None,
    skew: Callable[[], Sequence[ExpectationResult]] | None = None,
    waiting: pa.Table | None = None,
) -> Validated:
    """Check rows and required columns, then the expectations, then skew.

    Great Expectations passes empty tables, columns without a value and empty suites, so checks of our own
    come first; without rows, or without a required column, nothing else is run. Floats that are not a number
    count as null. An expectation that tolerates some broken rows (``mostly``) and passes sets none aside. An
    expectation of severity quarantine stops the partition if it fails and is not about rows, or if it would
    set all rows aside.

    :param table: the rows of the partition, with at least the columns that :func:`columns` names.
    :param names: all columns of the data; None means those of the table.
    :param allowed: returns the released ones among the rows that broke expectations; None if no row was
        released.
    :param history: the earlier partitions; None if the rows belong to no dataset.
    :param skew: compares the rows with the champion's training data; None skips that.
    :param waiting: rows with a cell that cannot be read, of which no expectation is asked: they are set aside if the
        partition passes, and count against ``max_quarantined``; None if there are none.
    :raises ValidationErrored: if Great Expectations does not know an expectation or refuses its arguments.
    :raises MachineBusy: if an expectation did not get the processor time that it may take.
    """
    names = table.column_names if names is None else names
    if unknown := [name for name in policy.pii if name not in names]:
        log.warning("%s %s: pii names no column of the data: %s", dataset, partition, ", ".join(unknown))
    findings = list(prechecks.check(table, policy.required, names))
    theirs = [expectation for expectation in policy.expectations if not is_ours(expectation.expectation)]
    answers: list[GxAnswer] = []
    if all(finding.result.outcome is Outcome.PASS for finding in findings[:2]):
        answers = gx.evaluate(table, theirs, names, policy.seconds) if theirs else []
        findings += _findings(table, policy, iter(answers), history)
        findings += [of_result(result, policy.pii) for result in (skew() if skew else ())]
    unread = apart.of(waiting, table.num_rows, policy.pii)
    broken = broken_rows(findings)
    released = frozenset(allowed(broken)) if allowed and broken else frozenset()
    aside = [row for row in broken if row not in released]
    findings += unread.findings
    rows, count = table.num_rows + len(unread.records), len(aside) + len(unread.records)
    verdict = _verdict(findings, rows, count, policy.max_quarantined)
    passes = verdict is Verdict.PASS and policy.moves
    report = ValidationReport(
        dataset=dataset,
        partition=partition,
        verdict=verdict,
        results=tuple(finding.result for finding in findings),
        rows=rows,
        quarantined=count if passes else 0,
        released=len(released),
        sample=sample.take(table, findings, identifiers=policy.identifiers, pii=policy.pii, apart=unread),
        reason=reason(
            findings,
            rows=rows,
            aside=count,
            released=len(released),
            largest=policy.max_quarantined,
            moved=passes,
        ),
    )
    reasons = reasons_of(findings, aside) if passes else {}
    docs = render(theirs, answers, dataset=dataset, partition=partition, pii=policy.pii)
    return Validated(report, reasons, page.render(report, docs=docs is not None), docs)


def version(
    dataset: DatasetVersion,
    policy: ValidationPolicy,
    *,
    data: str,
    allowed: Allowed | None = None,
    skew: Callable[[], Sequence[ExpectationResult]] | None = None,
    waiting: pa.Table | None = None,
) -> Validated:
    """Validate a dataset version, reading only the columns that the policy needs.

    :param data: URI of the published table, which has the earlier partitions.
    :param waiting: rows of the partition with a cell that cannot be read, which are not in the version.
    """
    names = list(dataset.columns)
    rows = tables.read(
        dataset.uri,
        version=dataset.version,
        partition=dataset.partition,
        columns=columns(policy, names) or names[:1],
    )
    return validate(
        rows,
        policy,
        dataset=dataset.name,
        partition=dataset.partition,
        names=names,
        allowed=allowed,
        history=History(data, dataset.partition),
        skew=skew,
        waiting=waiting,
    )


def source(rows: Source, partition: Partition | None, policy: ValidationPolicy, *, name: str) -> Validated:
    """Validate the rows of a source, which belong to no dataset; they are held in memory.

    :param partition: the partition to read; None means all rows of the source.
    :param name: name of the rows in the report.
    :raises ValueError: if the policy has neither expectations nor required columns.
    :raises SourceMissing: if the source does not exist.
    :raises SourceUnreadable: if the source cannot be read.
    """
    import pyarrow as pa

    _require_checks(policy)
    batches = list(rows.batches(partition))
    table = pa.Table.from_batches(batches) if batches else pa.table({})
    return validate(table, policy, dataset=name, partition=partition.key if partition else "latest")


def frame(
    rows: Any,
    expectations: str | Sequence[Any],
    *,
    name: str = "frame",
    partition: str = "latest",
    **policy: Any,
) -> Validated:
    """Validate a data frame or table that belongs to no dataset of ours; no row is moved.

    :param rows: a ``pyarrow.Table``, or a data frame of pandas or Polars.
    :param expectations: as in a spec, or the path of a suite.
    :param name: name of the rows in the report.
    :param policy: other fields of :class:`ValidationPolicy`, such as ``required`` and ``pii``.
    :raises ValueError: if there are neither expectations nor required columns.
    :raises TypeError: if the rows are neither a table nor a data frame.
    :raises SchemaMismatch: if columns share a name.
    :raises SpecError: if an expectation is wrong.
    :raises SuiteUnreadable: if a suite is missing, damaged, empty, or not the one that was pinned.
    """
    held = ValidationPolicy(expectations=suites.expand(expectations), moves=False, **policy)
    _require_checks(held)
    return validate(frames.to_table(rows, name), held, dataset=name, partition=partition)


def columns(policy: ValidationPolicy, names: Sequence[str]) -> list[str]:
    """Return the columns of the data that validation reads.

    :param names: columns of the data.
    """
    needed = {*policy.required, *policy.identifiers}
    for expectation in policy.expectations:
        needed.update(gx.reads(expectation, names))
    return [name for name in names if name in needed]


def record(uri: str, report: ValidationReport, run: str) -> None:
    """Write a report to the table of validations; it replaces an earlier report of the same partition."""
    record_report(
        uri,
        report.partition,
        report,
        verdict=report.verdict.value,
        reason=report.reason,
        rows=report.rows,
        quarantined=report.quarantined,
        run=run,
    )


def raise_for(report: ValidationReport) -> None:
    """Raise unless the verdict is PASS.

    :raises ValidationFailed: if the data broke an expectation that blocks.
    :raises ValidationErrored: if an expectation could not be evaluated.
    """
    about = f"{report.dataset} {report.partition}: {report.reason}"
    if report.verdict is Verdict.FAIL:
        raise ValidationFailed(about)
    if report.verdict is Verdict.INCONCLUSIVE:
        raise ValidationErrored(about)


def _require_checks(policy: ValidationPolicy) -> None:
    if not policy.expectations and not policy.required:
        raise ValueError("nothing is asked of the data: give expectations= or required=")


def _findings(
    table: pa.Table, policy: ValidationPolicy, answers: Iterator[GxAnswer], history: History | None
) -> Iterator[ExpectationFinding]:
    for expectation in policy.expectations:
        if is_ours(expectation.expectation):
            yield of_result(compare(expectation, table, history), policy.pii)
        else:
            yield of_answer(expectation, next(answers), table.num_rows, policy.pii)


def _verdict(findings: Sequence[ExpectationFinding], rows: int, aside: int, largest: float) -> Verdict:
    if aside == rows or aside / rows > largest or any(finding.blocks for finding in findings):
        return Verdict.FAIL
    if any(finding.undecided for finding in findings):
        return Verdict.INCONCLUSIVE
    return Verdict.PASS
