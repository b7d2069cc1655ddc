"""The channel that sends mails, through Airflow's SMTP connection and in bounded time."""

from __future__ import annotations

import contextlib
import logging
import smtplib
import socket
import time
from collections.abc import Callable
from email.message import EmailMessage
from threading import Event, Thread
from typing import TYPE_CHECKING, cast

from airflow_mlops import config
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.mail import attachment, message, unattached
from airflow_mlops.reporting.alerts.outbox import CLAIM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow.providers.smtp.hooks.smtp import SmtpHook

    from airflow_mlops.reporting.alerts.notice import Notice

log = logging.getLogger(__name__)

ONE = 0.75 * CLAIM.total_seconds()
"""Seconds that one mail may take, connecting included; less than the time for which it is claimed."""

ALL = 300.0
"""Seconds after the first mail in which further ones are begun; the others wait for the next alert."""

_FOR_NOW = range(400, 500)
_TOO_LARGE = (552, 523)


class MailServer:
    """Send mails through an SMTP connection.

    :param smtp_conn_id: SMTP connection; None means ``[mlops] smtp_conn_id``.
    :param one: seconds that one mail may take.
    :param read: returns the bytes of the report or picture at a place, None if it cannot be read; by default None.
    """

    def __init__(
        self,
        smtp_conn_id: str | None = None,
        *,
        one: float = ONE,
        read: Callable[[str], bytes | None] = lambda place: None,
    ) -> None:
        self.name = smtp_conn_id or config.smtp_conn_id()
        self.one = one
        self.read = read
        self.end: float | None = None

    def deliver(self, notice: Notice, to: Sequence[str]) -> Receipt:
        """Mail a notice, with its report and its picture if they can be read.

        :param to: addresses.
        :raises MailUndelivered: if the server cannot be used or does not answer in time.
        :raises smtplib.SMTPException: if the server refuses this mail.
        """
        page = notice.report
        report = attachment(page, self.read(page)) if page else None
        picture = self.read(notice.picture) if notice.picture else None

        def write(sender: str, large: bool) -> EmailMessage:
            attached = report if large or page is None else unattached(page)
            return message(notice, sender=sender, to=to, attached=attached, picture=picture)

        return self.send(write, to)

    def send(self, write: Callable[[str, bool], EmailMessage], to: Sequence[str]) -> Receipt:
        """Send one mail.

        :param write: returns the mail, given the sender's address and whether attachments may be large.
        :param to: addresses.
        :raises MailUndelivered: if the server cannot be used or does not answer in time.
        :raises smtplib.SMTPException: if the server refuses this mail.
        """
        now = time.monotonic()
        if self.end is None:
            self.end = now + ALL
        if now > self.end:
            raise MailUndelivered(f"Mailing took {ALL:.0f} s; the next alert goes on")
        # A server that sends a byte now and then keeps a socket's own timeout from ending.
        sending = _Sending(self.name, write, to)
        worker = Thread(target=sending.run, daemon=True)
        worker.start()
        worker.join(self.one)
        if worker.is_alive():
            sending.abandon()
            raise MailUndelivered(
                f"The mail server of SMTP connection {self.name!r} did not finish within {self.one:.0f} s"
            )
        if sending.error is not None:
            raise sending.error
        assert sending.receipt is not None
        return sending.receipt


class _Sending:
    """One mail on its way, in a thread of its own."""

    def __init__(self, name: str, write: Callable[[str, bool], EmailMessage], to: Sequence[str]) -> None:
        self.name = name
        self.write = write
        self.to = to
        self.receipt: Receipt | None = None
        self.error: Exception | None = None
        self.abandoned = Event()
        self.hook: SmtpHook | None = None

    def run(self) -> None:
        try:
            with self._connected() as hook:
                self.receipt = self._send(hook)
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits for this one
            self.error = error

    def abandon(self) -> None:
        self.abandoned.set()
        client = self.hook._smtp_client if self.hook else None
        if client is not None and client.sock is not None:
            # Closing would wait for the thread that reads from it.
            with contextlib.suppress(OSError):
                client.sock.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[SmtpHook]:
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        hook = self.hook = SmtpHook(smtp_conn_id=self.name)
        try:
            hook.get_conn()
        except Exception as error:
            if hook._smtp_client is not None:
                cast("smtplib.SMTP", hook._smtp_client).close()
            raise MailUndelivered(f"No mail server by SMTP connection {self.name!r}: {error}") from error
        with hook:
            if not hook.from_email:
                raise MailUndelivered(
                    f"SMTP connection {self.name!r} has no sender: set from_email in its extra."
                )
            yield hook

    def _send(self, hook: SmtpHook) -> Receipt:
        try:
            return self._send_one(hook, large=True)
        except smtplib.SMTPResponseException as error:
            if error.smtp_code not in _TOO_LARGE:
                raise
            log.warning("The mail is too large for the server, so it goes without attachment: %s", error)
        with self._connected() as smaller:
            return self._send_one(smaller, large=False)

    def _send_one(self, hook: SmtpHook, *, large: bool) -> Receipt:
        if self.abandoned.is_set():
            raise TimeoutError("abandoned")
        mail = self.write(cast("str", hook.from_email), large)
        # The hook's own method can only send mails of one part.
        client = cast("smtplib.SMTP", hook._smtp_client)
        refused = client.send_message(mail, to_addrs=list(self.to))
        for address, (code, reply) in refused.items():
            log.warning(
                "The mail server refused %s with %s: %s", address, code, reply.decode(errors="replace")
            )
        later = tuple(address for address, (code, _) in refused.items() if code in _FOR_NOW)
        reached = [address for address in self.to if address not in refused]
        log.info("Mailed to %s: %s", ", ".join(reached), mail["Subject"])
        return Receipt(settled=tuple(address for address in self.to if address not in later), later=later)
