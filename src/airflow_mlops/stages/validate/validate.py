"""Validation: hold one partition to its expectations, and tell the rows that may go on from those that may not."""

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
from airflow_mlops.stages.validate import gx, page, prechecks, sample, suites
from airflow_mlops.stages.validate import history as validation_history
from airflow_mlops.stages.validate.docs import render
from airflow_mlops.stages.validate.findings import ExpectationFinding, finding, of_result, reason
from airflow_mlops.stores.sources import frames
from airflow_mlops.stores.tables import tables
from airflow_mlops.stores.tables.tables import record_report

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.spec.model import Expectation
    from airflow_mlops.stages.validate.gx import GxAnswer
    from airflow_mlops.stages.validate.history import History
    from airflow_mlops.stores.sources.python import Source

log = logging.getLogger(__name__)

Allowed = Callable[[Sequence[int]], Collection[int]]
"""Tells which of some rows, by position, a person has released."""


@dataclass(frozen=True)
class ValidationPolicy:
    """What a partition is held to.

    :param expectations: each with its severity.
    :param required: columns that must be there and not be all null.
    :param known: columns that tell a row to people: key and event time.
    :param pii: columns with personal data, masked in all that leaves validation.
    :param max_quarantined: largest share of rows to set aside; above it the partition is stopped and no row is moved.
    :param moves: whether rows can be set aside at all; if not, it is only told which would be.
    """

    expectations: Sequence[Expectation] = ()
    required: Sequence[str] = ()
    known: Sequence[str] = ()
    pii: Collection[str] = ()
    max_quarantined: float = 1.0
    moves: bool = True

    def __post_init__(self) -> None:
        """Refuse a text where columns are listed: it would be taken for its letters.

        :raises TypeError: naming the field.
        """
        for field in ("required", "known", "pii"):
            value = getattr(self, field)
            if isinstance(value, str):
                raise TypeError(f"{field} is a text; write a list of columns: {field}=[{value!r}]")


class Validated(NamedTuple):
    """One validated partition.

    :param reasons: what is wrong with each row that is to be set aside, by position; none unless the verdict is PASS.
    :param html: a page about it, without external resources.
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
) -> Validated:
    """Check rows and required columns ourselves, then the expectations, then skew.

    Great Expectations passes empty tables, columns without a value and empty suites, so our own checks come first;
    without rows, or without a required column, nothing else is run. Floats that are not a number count as null. An
    expectation that tolerates some broken rows (``mostly``) and passes sets none aside. One of severity quarantine
    that fails and is not about rows stops the partition, as does one that leaves no row.

    :param table: the rows of the partition, with at least the columns that :func:`columns` names.
    :param names: all columns of the data; None means those of the table.
    :param allowed: None if no row was released.
    :param history: the partitions before; None if the rows belong to no dataset.
    :param skew: compares the rows with those that the champion was trained on; None leaves that out.
    :raises ValidationErrored: Great Expectations does not know an expectation or refuses its arguments.
    """
    names = table.column_names if names is None else names
    if unknown := [name for name in policy.pii if name not in names]:
        log.warning("%s %s: pii names no column of the data: %s", dataset, partition, ", ".join(unknown))
    findings = list(prechecks.check(table, policy.required, names))
    theirs = [each for each in policy.expectations if not is_ours(each.expectation)]
    answers: list[GxAnswer] = []
    if all(each.result.outcome is Outcome.PASS for each in findings[:2]):
        answers = gx.evaluate(table, theirs, names) if theirs else []
        findings += _findings(table, policy, iter(answers), history)
        findings += [of_result(result, policy.pii) for result in (skew() if skew else ())]
    broken = _broken(findings)
    released = frozenset(allowed(broken)) if allowed and broken else frozenset()
    aside = [row for row in broken if row not in released]
    verdict = _verdict(findings, table.num_rows, len(aside), policy.max_quarantined)
    reasons = _reasons(findings, aside) if verdict is Verdict.PASS and policy.moves else {}
    report = ValidationReport(
        dataset=dataset,
        partition=partition,
        verdict=verdict,
        results=tuple(each.result for each in findings),
        rows=table.num_rows,
        quarantined=len(reasons),
        released=len(released),
        sample=sample.take(table, findings, known=policy.known, pii=policy.pii),
        reason=reason(
            findings,
            rows=table.num_rows,
            aside=len(aside),
            released=len(released),
            largest=policy.max_quarantined,
            moved=bool(reasons),
        ),
    )
    docs = render(theirs, answers, dataset=dataset, partition=partition, pii=policy.pii)
    return Validated(report, reasons, page.render(report, docs=docs is not None), docs)


def version(
    dataset: DatasetVersion,
    policy: ValidationPolicy,
    *,
    data: str,
    allowed: Allowed | None = None,
    skew: Callable[[], Sequence[ExpectationResult]] | None = None,
) -> Validated:
    """Validate a dataset version, of which only the columns are read that something is asked of.

    :param data: URI of the published table, which has the partitions before.
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
        history=validation_history.History(data, dataset.partition),
        skew=skew,
    )


def source(rows: Source, partition: Partition | None, policy: ValidationPolicy, *, name: str) -> Validated:
    """Validate the rows of a source, which belong to no dataset; they are held in memory.

    :param partition: None means all there is.
    :param name: what the rows are called in the report.
    :raises ValueError: if nothing is asked of them.
    :raises SourceMissing: if nothing is there.
    :raises SourceUnreadable: if what is there cannot be read.
    """
    import pyarrow as pa

    _see_that_something_is_asked(policy)
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
    """Validate a data frame or table that nothing else of ours knows of; no row is moved.

    :param rows: a ``pyarrow.Table``, or a data frame of pandas or Polars.
    :param expectations: as in a spec, or the path of a suite.
    :param name: what the rows are called in the report.
    :param policy: other fields of :class:`ValidationPolicy`, such as ``required`` and ``pii``.
    :raises ValueError: if nothing is asked of them.
    :raises TypeError: if they are no table.
    :raises SchemaMismatch: if columns share a name.
    :raises SpecError: if an expectation is wrong.
    :raises SuiteUnreadable: if a suite is missing, damaged, empty, or not the one that was pinned.
    """
    held = ValidationPolicy(expectations=suites.expand(expectations), moves=False, **policy)
    _see_that_something_is_asked(held)
    return validate(frames.to_table(rows, name), held, dataset=name, partition=partition)


def columns(policy: ValidationPolicy, names: Sequence[str]) -> list[str]:
    """Return the columns that validation reads, of those that the data has.

    :param names: columns of the data.
    """
    asked = {*policy.required, *policy.known}
    for each in policy.expectations:
        asked.update(gx.reads(each, names))
    return [name for name in names if name in asked]


def record(uri: str, report: ValidationReport, run: str) -> None:
    """Keep a report in the table of validations; the same partition again replaces its row."""
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


def _see_that_something_is_asked(policy: ValidationPolicy) -> None:
    if not policy.expectations and not policy.required:
        raise ValueError("nothing is asked of the data: give expectations= or required=")


def _findings(
    table: pa.Table, policy: ValidationPolicy, answers: Iterator[GxAnswer], history: History | None
) -> Iterator[ExpectationFinding]:
    for each in policy.expectations:
        if is_ours(each.expectation):
            yield of_result(validation_history.compare(each, table, history), policy.pii)
        else:
            yield finding(each, next(answers), table.num_rows, policy.pii)


def _broken(findings: Sequence[ExpectationFinding]) -> list[int]:
    import numpy as np

    rows = [np.asarray(each.rows, dtype=np.int64) for each in findings if each.sets_aside]
    found: list[int] = np.unique(np.concatenate(rows)).tolist() if rows else []
    return found


def _verdict(findings: Sequence[ExpectationFinding], rows: int, aside: int, largest: float) -> Verdict:
    if aside == rows or aside / rows > largest or any(each.blocks for each in findings):
        return Verdict.FAIL
    if any(each.undecided for each in findings):
        return Verdict.INCONCLUSIVE
    return Verdict.PASS


def _reasons(findings: Sequence[ExpectationFinding], aside: Sequence[int]) -> dict[int, str]:
    told: dict[int, list[str]] = {row: [] for row in aside}
    for each in findings:
        for row in (each.rows or ()) if each.sets_aside else ():
            if row in told:
                told[row].append(each.broken)
    return {row: "; ".join(reasons) for row, reasons in told.items()}
