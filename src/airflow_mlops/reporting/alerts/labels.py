"""The notice about labels that belong to no row of the data."""

from __future__ import annotations

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.labels import LabelsReport
from airflow_mlops.domain.spec.alerts import Event, Level
from airflow_mlops.reporting.alerts.model import findings
from airflow_mlops.reporting.alerts.notice import Notice, Passage, Status
from airflow_mlops.reporting.alerts.outcome import Run, fingerprint
from airflow_mlops.reporting.verdicts import WARN

_MEANING = (
    "A label counts for the row of the same key in the partition of its event time. These labels count for none: nothing is "
    "learned from them, and nobody is judged by them. They are kept, and count once such a row is published."
)
_STOPPED = (
    " The partition has no verdict on the model's health, so nothing is decided on it. The champion stays."
)
_TODO = (
    "Let labels.source write the key as the data does, and the event time of the row, not that of the label. If it tells of "
    "more rows than the data has, let it leave them out, or raise labels.max_unmatched. Then clear the task {task}, which reads "
    "the labels again."
)


def labels(run: Run, report: LabelsReport, check: Check, *, task: str, stopped: bool) -> Notice:
    """Return the notice that more labels than allowed belong to no published row.

    :param check: the check of the report.
    :param task: the task that has read the labels.
    :param stopped: whether the run failed by it.
    """
    # Other labels are another problem.
    key = f"{run.topic}/{check.name}/{fingerprint(stopped, report.rows, report.unmatched)}"
    return Notice(
        id=run.happened(key),
        key=key,
        topic=run.topic,
        event=Event.VALIDATION,
        status=Status.FAILED if stopped else Status.WARNED,
        levels=(Level.URGENT,) if stopped else (Level.WARNING,),
        title=f"{run.model} {run.partition or run.run_id}: {check.observed:.0%} of the labels belong to no row",
        badge=check.verdict.value if stopped else WARN,
        summary=(f"{check.reason}.",),
        facts=run.facts(),
        findings=findings([check]),
        passages=(
            Passage(heading="What it means", text=_MEANING + _STOPPED * stopped),
            Passage(heading="What to do", text=_TODO.format(task=task)),
        ),
        links=run.links(),
    )
