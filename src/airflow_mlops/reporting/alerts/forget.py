"""Samples in the outbox: the rows and values that notices show to people, taken out of those that it remembers."""

from __future__ import annotations

from airflow_mlops.reporting.alerts import entries
from airflow_mlops.reporting.alerts.notice import Notice
from airflow_mlops.stores.tables import journal
from airflow_mlops.stores.tables.journal import JournalRow


def count(uri: str) -> int:
    """Return how many notices of an outbox show rows or values of the data; none if there is no outbox.

    :raises TableUnreadable: if the outbox is damaged.
    """
    shown = (row["notice"] for row in journal.rows(uri) if row["notice"] is not None)
    return sum(_shows(Notice.model_validate_json(notice)) for notice in shown)


def take_out(uri: str) -> None:
    """Take samples out of every notice, whether it was sent or still waits, and delete the files that held them.

    What a cell says is shortened and partly masked, so nobody can tell whose it is: all of them go. Killed on its way, it is
    finished by its repetition.

    :raises WriteConflict: if other writers were faster again and again.
    :raises TableUnreadable: if the outbox is damaged.
    """
    if count(uri):
        journal.complete(uri, entries.COLUMNS, _without)
    journal.forget_former(uri)


def _shows(notice: Notice) -> bool:
    return notice.sample is not None or any(finding.samples for finding in notice.findings)


def _without(row: JournalRow) -> JournalRow:
    row = entries.completed(row)
    if row["notice"] is None:
        return row
    notice = Notice.model_validate_json(row["notice"])
    findings = tuple(finding.model_copy(update={"samples": ()}) for finding in notice.findings)
    blank = notice.model_copy(update={"sample": None, "findings": findings})
    return {**row, "notice": blank.model_dump_json(exclude_defaults=True)}
