"""A real SMTP server that keeps what it takes as files, and misbehaves as it is told.

``python mail_server.py <folder>`` runs it as a process, which prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

LIMIT = 200_000
"""Bytes of a mail above which the mode ``small`` refuses it."""


class Handler:
    """Keep mails in a folder; the file ``mode`` there says what goes wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def mode(self) -> str:
        file = self.folder / "mode"
        return file.read_text() if file.exists() else "fine"

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, lines: list[str]
    ) -> Any:
        session.host_name = hostname
        while self.mode == "hang":
            await asyncio.sleep(0.05)
        while self.mode == "drip":
            server.transport.write(b"2")
            await asyncio.sleep(0.05)
        if self.mode == "slow":
            await asyncio.sleep(0.3)
        return lines

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        envelope.mail_from = address
        return "421 going down" if self.mode == "421" else "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.mode == "550" or address.startswith("gone@"):
            return "550 no such user"
        if self.mode == "451" or address.startswith("full@"):
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.mode == "554":
            return "554 refused"
        if self.mode == "small" and len(envelope.content) > LIMIT:
            return "552 too large"
        (self.folder / f"{len(list(self.folder.glob('*.eml'))):03}.eml").write_bytes(
            b"X-Recipients: " + ",".join(envelope.rcpt_tos).encode() + b"\r\n" + envelope.content
        )
        if self.mode == "drop":
            server.transport.close()
        return "250 OK"


class Inbox:
    """What a server has taken.

    :param folder: where it keeps it.
    :param port: where it listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    @property
    def mails(self) -> list[EmailMessage]:
        return [
            email.message_from_bytes(file.read_bytes(), policy=email.policy.default)  # type: ignore[misc]
            for file in sorted(self.folder.glob("*.eml"))
        ]

    def misbehave(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)


@contextlib.contextmanager
def in_thread(folder: Path, port: int) -> Iterator[Inbox]:
    """Run the server in a thread of this process."""
    folder.mkdir(exist_ok=True)
    controller = Controller(Handler(folder), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield Inbox(folder, port)
    finally:
        controller.stop()


@contextlib.contextmanager
def as_process(folder: Path) -> Iterator[Inbox]:
    """Run the server as a process of its own."""
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield Inbox(folder, int(process.stdout.readline()))
        finally:
            process.terminate()


def body(mail: EmailMessage, kind: str) -> str:
    """Return the text of a mail's part."""
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


async def _serve(folder: Path) -> None:
    from aiosmtpd.smtp import SMTP

    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(folder)), host="127.0.0.1", port=0
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
