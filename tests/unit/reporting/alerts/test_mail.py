from __future__ import annotations

import email
import email.policy
import gzip
import random
from email.message import EmailMessage
from typing import Any

import pytest

from airflow_mlops.reporting.alerts import mail as mails
from mail_server import body
from notices import make_notice

TO = ("ml-team@example.com", "on-call@example.com")
REPORT = "flights/2013-03/validation.html"


def make_message(attached: Any = None, **changes: Any) -> EmailMessage:
    return mails.message(make_notice(**changes), sender="airflow@example.com", to=TO, attached=attached)


def read(message: EmailMessage) -> Any:
    """Do to a mail what travelling does."""
    return email.message_from_bytes(message.as_bytes(), policy=email.policy.default)


def test_a_mail_says_the_same_as_text_and_as_html() -> None:
    mail = read(make_message(title="flights 2013-03: späť", summary=("ü & more",)))
    assert mail["Subject"] == "[airflow-mlops] flights 2013-03: späť"
    assert mail["To"] == ", ".join(TO)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"
    assert "ü & more" in body(mail, "plain")
    assert "ü &amp; more" in body(mail, "html")


def test_each_try_of_a_mail_has_the_same_message_id() -> None:
    first, second, other = make_message(), make_message(), make_message(id="another")
    assert first["Message-ID"] == second["Message-ID"] != other["Message-ID"]


@pytest.mark.parametrize("sign", ["\n", "\r\n", "\r", "\x0b", "\u2028", "\x00", "\u202e"])
def test_a_line_break_in_a_name_becomes_no_header(sign: str) -> None:
    mail = read(
        make_message(title=f"flights{sign}Bcc: stranger@example.com", facts=(("Model", f"a{sign}b"),))
    )
    assert mail["Bcc"] is None
    # A fact spells out what no JSON column of PostgreSQL holds.
    shown = "\\x00" if sign == "\x00" else " "
    assert mail["Subject"] == f"[airflow-mlops] flights{shown}Bcc: stranger@example.com"
    assert f"a{sign}b" not in body(mail, "plain")


@pytest.mark.parametrize("address", ["a@example.com\nBcc: b@example.com", "a@example.com\r\n\r\nhello"])
def test_a_line_break_in_an_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="(?i)header values may not contain linefeed"):
        mails.message(make_notice(), sender="airflow@example.com", to=[address])


def test_a_picture_stands_in_the_mail_itself() -> None:
    mail = read(
        mails.message(make_notice(), sender="airflow@example.com", to=TO, picture=b"\x89PNG of drift")
    )
    [shown] = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert (shown["Content-ID"], shown.get_content()) == ("<picture>", b"\x89PNG of drift")
    assert 'src="cid:picture"' in body(mail, "html")
    assert "cid:" not in body(read(make_message()), "html")


def test_a_subject_is_short() -> None:
    assert len(mails.subject(make_notice(title="x" * 5000))) == 150


def test_a_report_is_attached_as_it_is() -> None:
    page = "<p>é</p>".encode()
    mail = read(make_message(mails.attachment(REPORT, page), report=REPORT))
    assert mail.get_content_type() == "multipart/mixed"
    [part] = mail.iter_attachments()
    assert part.get_filename() == "flights-2013-03-validation.html"
    assert part.get_content_type() == "text/html"
    assert part.get_payload(decode=True) == page
    assert "The report is attached: flights-2013-03-validation.html" in body(mail, "plain")


def test_a_report_of_10_mb_is_compressed() -> None:
    page = b"<tr><td>1,204</td><td>at least 0</td></tr>" * 250_000
    mail = read(make_message(mails.attachment(REPORT, page), report=REPORT))
    [part] = mail.iter_attachments()
    assert part.get_filename() == "flights-2013-03-validation.html.gz"
    assert gzip.decompress(part.get_payload(decode=True)) == page
    assert len(mail.as_bytes()) < 1 << 20
    assert "The report, of 10.5 MB, is attached compressed" in body(mail, "plain")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (random.Random(0).randbytes(10 << 20), "not attached: it has 10.5 MB. Open the link."),
        (None, "not attached: it is not there, or too large. Open the link."),
    ],
    ids=["large", "gone"],
)
def test_a_report_that_cannot_travel_is_a_link(page: bytes | None, said: str) -> None:
    mail = read(make_message(mails.attachment(REPORT, page), report=REPORT))
    assert list(mail.iter_attachments()) == []
    for kind in ("plain", "html"):
        assert said in body(mail, kind)


def test_a_mail_travels_as_seven_bits_and_its_report_has_a_plain_name() -> None:
    page = mails.attachment("a/\nb\\c.html", b"x")
    assert "/" not in page.name
    assert page.name.isprintable()
    assert "\\" not in page.name
    assert make_message(page, summary=("ü",)).as_bytes().isascii()
