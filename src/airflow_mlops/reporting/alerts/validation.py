"""The notice of a validation: what was expected, what was observed, and what happened to the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow_mlops.domain.checks import Outcome, Severity, Verdict
from airflow_mlops.domain.counts import counted
from airflow_mlops.domain.spec.alerts import Event, Level
from airflow_mlops.reporting.alerts.notice import Finding, Notice, Passage, Status
from airflow_mlops.reporting.alerts.outcome import LISTED, Run, fingerprint, some
from airflow_mlops.reporting.verdicts import WARN, of_result
from airflow_mlops.reporting.words import line, percent

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import DatasetVersion
    from airflow_mlops.domain.facts.validation import ExpectationResult, Sample, ValidationReport

_CELL = 60
_COLUMNS = 8
_SAMPLES = 5
_ORDER = (Severity.BLOCK, Severity.QUARANTINE, Severity.WARN)


def validation(
    run: Run,
    report: ValidationReport,
    *,
    failed: Sequence[str] = (),
    dataset: DatasetVersion | None = None,
    page: str | None = None,
) -> Notice:
    """Return the notice that data broke expectations, and of what happened to the data.

    :param failed: the failed tasks of the run; none if the data passed, with warnings.
    :param dataset: the version that was checked; None if nobody knows it.
    :param page: place of the report under ``[mlops] reports``; None if there is none.
    """
    broken = sorted(
        (result for result in report.results if result.outcome is not Outcome.PASS),
        key=lambda result: (_ORDER.index(result.severity), result.outcome is Outcome.ERROR),
    )
    state = ", ".join(failed) or "warned"
    key = f"{run.topic}/{state}/{_problem(report, broken, dataset)}"
    return Notice(
        id=run.happened(key),
        key=key,
        topic=run.topic,
        event=Event.VALIDATION,
        status=Status.FAILED if failed else Status.WARNED,
        levels=(Level.URGENT if failed else Level.WARNING,),
        title=f"{report.dataset} {report.partition}: {_title(report, failed)}",
        badge=_badge(report, failed),
        summary=(_short(report.reason, 500),),
        facts=run.facts(
            ("Rows", f"{report.rows:,}"),
            ("Expectations", f"{len(broken)} of {len(report.results)} not met"),
            ("Failed", some(failed)),
            ("Dataset", _version(dataset)),
        ),
        findings=tuple(_finding(result) for result in broken[:LISTED]),
        more=max(0, len(broken) - LISTED),
        sample=_sample(report.sample),
        passages=tuple(_passages(run, report, failed, dataset)),
        links=run.links(*_links(page, dataset)),
        report=page,
    )


def _problem(
    report: ValidationReport, broken: Sequence[ExpectationResult], dataset: DatasetVersion | None
) -> str:
    """Return a digest of what is wrong: other rows, or other expectations that do not hold, are another problem."""
    about = (report.dataset, report.partition, report.rows, report.quarantined, report.released)
    results = sorted(
        f"{result.column} {result.expectation} {result.severity} {result.outcome} {result.unexpected}"
        for result in broken
    )
    # What was observed may hold a time, which is another one each time that the same rows are looked at.
    rows = [dataset.digest] if dataset else sorted(f"{result.observed} {result.samples}" for result in broken)
    return fingerprint(*about, *results, *rows)


def _title(report: ValidationReport, failed: Sequence[str]) -> str:
    if failed and report.verdict is Verdict.INCONCLUSIVE:
        return "validation could not be completed"
    if failed:
        return "validation failed"
    aside = f", {counted(report.quarantined, 'row')} set aside" if report.quarantined else ""
    return f"validation passed with warnings{aside}"


def _badge(report: ValidationReport, failed: Sequence[str]) -> str:
    return report.verdict.value if failed else WARN


def _version(dataset: DatasetVersion | None) -> str | None:
    if dataset is None:
        return None
    return (
        f"{dataset.name}, version {dataset.version} of the table {dataset.uri.rstrip('/').rpartition('/')[2]}"
    )


def _finding(result: ExpectationResult) -> Finding:
    observed = result.observed
    if result.unexpected and not observed.startswith(f"{result.unexpected:,} of "):
        observed = f"{counted(result.unexpected, 'row')}: {observed}"
    return Finding(
        name=result.column or "table",
        note=f"{of_result(result)}: {result.expectation}",
        tone=of_result(result).tone,
        expected=_short(result.expected, 300),
        observed=_short(observed, 300),
        share=result.unexpected_share if result.unexpected else None,
        samples=tuple(_short(value) for value in result.samples[:_SAMPLES]),
    )


def _sample(sample: Sample | None) -> Sample | None:
    if sample is None:
        return None
    return sample.model_copy(
        update={
            "columns": sample.columns[:_COLUMNS],
            "rows": tuple(tuple(_short(cell) for cell in row[:_COLUMNS]) for row in sample.rows[:LISTED]),
            "reasons": tuple(_short(reason, 200) for reason in sample.reasons[:LISTED]),
        }
    )


def _short(text: str, most: int = _CELL) -> str:
    start = line(text[: 4 * most])
    return start if len(start) <= most and len(text) <= 4 * most else f"{start[: most - 1]}…"


def _passages(
    run: Run, report: ValidationReport, failed: Sequence[str], dataset: DatasetVersion | None
) -> Iterator[Passage]:
    if failed:
        yield Passage(heading="What happened to the data", text=_stopped(run))
        yield Passage(
            heading="What to do",
            text="Correct the data, its source or the expectation, then clear the run: it reads the source again. To clear "
            f"{failed[0]} alone judges the rows once more that were read before.",
            commands=_clear(run),
        )
        return
    yield Passage(heading="What happened to the data", text=_went_on(report))
    if report.quarantined:
        where = f"{report.dataset} --partition {report.partition}"
        yield Passage(
            heading="The rows set aside",
            text="No row is lost. See them, export them, and let them pass as they are or corrected; they do at the "
            "next run of the partition, so clear this run afterwards.",
            commands=(
                f"airflow mlops quarantine list {where}",
                f"airflow mlops quarantine export {where} --output-file rows.csv",
                f'airflow mlops quarantine release {where} --reason "…"',
                *_clear(run),
            ),
        )
    if dataset:
        yield Passage(
            heading="The dataset version",
            text="Every published version can be read again.",
            commands=(f"airflow mlops datasets list {dataset.name} --partition {dataset.partition}",),
        )


def _clear(run: Run) -> tuple[str, ...]:
    """Return the command that clears the run; none if no partition names it."""
    return (f"airflow dags clear {run.dag} --partition-key {run.partition} --yes",) if run.partition else ()


def _stopped(run: Run) -> str:
    if run.stage != "ingest":
        return "Tasks that depend on what failed have not run."
    return (
        "It was not published, and nothing downstream runs for it. What was published before stays as it is, "
        "and so does the champion of a model."
    )


def _went_on(report: ValidationReport) -> str:
    sentences = []
    if report.quarantined:
        share = percent(report.quarantined / report.rows) if report.rows else "all"
        rest = report.rows - report.quarantined
        sentences.append(
            f"{report.quarantined:,} of {report.rows:,} rows ({share}) were set aside in quarantine; the other "
            f"{rest:,} go on."
        )
    else:
        sentences.append("All rows go on: what failed only warns.")
    if report.released:
        sentences.append(
            f"{report.released:,} rows break an expectation and go on, because a person released them."
        )
    return " ".join(sentences)


def _links(page: str | None, dataset: DatasetVersion | None) -> Iterator[tuple[str, str]]:
    if page:
        yield "Open the report", f"/mlops/reports/{quote(page)}"
    if dataset:
        yield "Open the dataset's asset", f"/assets?{urlencode({'name_pattern': f'{dataset.name}/data'})}"
