"""The message that carries a notice and its report; the modules beside this one write its text and its HTML."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Sequence
from email import policy
from email.message import EmailMessage
from email.utils import localtime
from typing import NamedTuple

from airflow_mlops.reporting import words
from airflow_mlops.reporting.alerts import html, text
from airflow_mlops.reporting.alerts.notice import Notice

PLAIN = 1 << 20
"""Bytes of a report up to which it is attached as it is; a larger one is compressed."""

LARGEST = 5 << 20
"""Bytes of an attachment above which a mail has a link only; many servers refuse 10 MB once it is encoded."""


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
    """Return the attachment of a report that a mail server did not take: only a note."""
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
    mail.set_content(text.render(notice, note))
    mail.add_alternative(html.render(notice, note, picture is not None), subtype="html")
    page = mail.get_body(["html"])
    if page is not None and picture is not None:
        # Within the mail: programs do not load pictures from elsewhere unless they are told to.
        page.add_related(picture, "image", "png", cid=f"<{html.PICTURE}>", disposition="inline")
    if attached and attached.content is not None:
        packed = attached.name.endswith(".gz")
        kind = ("application", "gzip") if packed else ("text", "html")
        mail.add_attachment(attached.content, *kind, filename=attached.name)
    return mail


def subject(notice: Notice) -> str:
    """Return the subject: one short line, whatever stands in the names."""
    line = words.line(f"[airflow-mlops] {notice.title}")
    return line if len(line) <= 150 else f"{line[:149]}…"


def _file_name(path: str) -> str:
    return re.sub(r"[/\\]", "-", words.line(path))


def _megabytes(page: bytes) -> str:
    return f"{len(page) / 1e6:.1f} MB"
