"""What a mail says, as facts, and the message that carries it; how it looks stands in the modules beside this one."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Sequence
from email import policy
from email.message import EmailMessage
from email.utils import localtime
from enum import StrEnum
from typing import NamedTuple

from airflow_mlops.domain.checks import Fact, Number
from airflow_mlops.domain.spec_alerts import Event, Level
from airflow_mlops.domain.validation import Sample
from airflow_mlops.engines import mails_html, mails_text

PLAIN = 1 << 20
"""Bytes of a report up to which it is attached as it is; a larger one is compressed."""

LARGEST = 5 << 20
"""Bytes of an attachment above which a mail has a link only; many servers refuse 10 MB once it is encoded."""


class Status(StrEnum):
    """What has happened to the topic of a mail."""

    FAILED = "failed"
    WARNED = "warned"
    RECOVERED = "recovered"
    NEWS = "news"


class Finding(Fact):
    """One thing that was expected, and what was seen instead.

    :param name: what it is about: a column, a gate.
    :param note: more on it in small print: the expectation, its severity.
    :param share: share of the rows that are concerned, 0 to 1; None if it is not about rows.
    :param samples: some values that were seen.
    """

    name: str
    note: str = ""
    expected: str
    observed: str
    share: Number = None
    samples: tuple[str, ...] = ()


class Link(Fact):
    """Where to look."""

    label: str
    url: str


class Passage(Fact):
    """A paragraph with its heading.

    :param commands: command lines to copy, one after the other.
    """

    heading: str
    text: str
    commands: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()


class Notice(Fact):
    """What people are to be told, before it is put into words and colours.

    :param id: what happened: it is told once, ever.
    :param same: other ids under which it may have been told already.
    :param key: the problem: while it lasts it is told again only after a cooldown.
    :param topic: what has the problem: it recovers as a whole.
    :param badge: the verdict, in one or two words.
    :param summary: what to know if nothing else is read, a sentence each.
    :param facts: name and value.
    :param more: findings that are left out.
    :param sample: some rows, masked.
    :param report: place of a page under ``[mlops] reports`` that is attached when the mail is sent.
    :param picture: place of a PNG there, which the mail shows.
    """

    id: str
    same: tuple[str, ...] = ()
    key: str
    topic: str
    event: Event
    status: Status
    levels: tuple[Level, ...]
    title: str
    badge: str
    summary: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    more: int = 0
    sample: Sample | None = None
    passages: tuple[Passage, ...] = ()
    links: tuple[Link, ...] = ()
    report: str | None = None
    picture: str | None = None


class Attachment(NamedTuple):
    """A report, as it travels with a mail.

    :param content: None if it is not attached.
    :param note: what the mail says about it.
    """

    name: str
    content: bytes | None
    note: str


def attachment(path: str, page: bytes | None) -> Attachment:
    """Decide how a report travels: as it is, compressed, or not at all.

    :param path: its place under ``[mlops] reports``: model, partition and kind.
    :param page: its content; None if it is not there or too large to be read.
    """
    name = _file_name(path)
    if page is None:
        return Attachment(
            name, None, "The report is not attached: it is not there, or too large. Open the link."
        )
    if len(page) <= PLAIN:
        return Attachment(name, page, f"The report is attached: {name}")
    packed = gzip.compress(page, mtime=0)
    if len(packed) > LARGEST:
        return Attachment(
            name, None, f"The report is not attached: it has {_megabytes(page)}. Open the link."
        )
    return Attachment(
        f"{name}.gz", packed, f"The report, of {_megabytes(page)}, is attached compressed: {name}.gz"
    )


def unattached(path: str) -> Attachment:
    """Leave a report out that a mail server did not take."""
    name = _file_name(path)
    return Attachment(
        name, None, "The report is not attached: it was too large for the mail server. Open the link."
    )


def message(
    notice: Notice,
    *,
    sender: str,
    to: Sequence[str],
    attached: Attachment | None = None,
    picture: bytes | None = None,
) -> EmailMessage:
    """Write a mail, as text and as HTML that say the same.

    :param sender: address in From.
    :param to: addresses.
    :param attached: the report; None if the notice has none.
    :param picture: PNG that the HTML shows; None if the notice has none, or it cannot be read.
    """
    # Not every server on the way takes bytes above 127.
    mail = EmailMessage(policy=policy.default.clone(cte_type="7bit"))
    mail["Subject"] = subject(notice)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = localtime()
    # The same for each try: a mail that is sent twice is shown once by many programs.
    mail["Message-ID"] = f"<{hashlib.sha256(notice.id.encode()).hexdigest()[:32]}@airflow-mlops>"
    mail["Auto-Submitted"] = "auto-generated"
    note = attached.note if attached else ""
    mail.set_content(mails_text.render(notice, note))
    mail.add_alternative(mails_html.render(notice, note, picture is not None), subtype="html")
    page = mail.get_body(["html"])
    if page is not None and picture is not None:
        # Within the mail: programs do not load pictures from elsewhere unless they are told to.
        page.add_related(picture, "image", "png", cid=f"<{mails_html.PICTURE}>", disposition="inline")
    if attached and attached.content is not None:
        packed = attached.name.endswith(".gz")
        kind = ("application", "gzip") if packed else ("text", "html")
        mail.add_attachment(attached.content, *kind, filename=attached.name)
    return mail


def subject(notice: Notice) -> str:
    """Return the subject: one short line, whatever stands in the names."""
    line = mails_text.line(f"[airflow-mlops] {notice.title}")
    return line if len(line) <= 150 else f"{line[:149]}…"


def _file_name(path: str) -> str:
    return re.sub(r"[/\\]", "-", mails_text.line(path))


def _megabytes(page: bytes) -> str:
    return f"{len(page) / 1e6:.1f} MB"
