"""A mail server that keeps what it is sent, and a page that shows it; both are reached from this machine only."""

from __future__ import annotations

import base64
import email
import email.policy
import itertools
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

SMTP = "AIRFLOW_CONN_SMTP_DEFAULT"
"""Environment variable of the connection that alerts are mailed through, unless ``[mlops] smtp_conn_id`` names another."""
_STYLE = "body{font-family:sans-serif;margin:2rem;color-scheme:light dark}td,th{padding:.3rem 1rem .3rem 0;text-align:left}"
# What a mail holds may come from the data: its page runs nothing, and fetches nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups allow-popups-to-escape-sandbox"


class Keeper:
    """Keeps each mail as a file, in order.

    :param folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.numbers = itertools.count(len(list(folder.glob("*.eml"))) + 1)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a mail."""
        # Written under another name first, so that the page never shows half of it.
        file = self.folder / f"{next(self.numbers):05}.eml"
        draft = file.with_suffix(".part")
        draft.write_bytes(envelope.content)
        draft.rename(file)
        return "250 OK"


def connection(port: int) -> str:
    """Return Airflow's connection to the server at a port, as JSON."""
    extra = {"from_email": "airflow@localhost", "disable_ssl": True, "disable_tls": True}
    return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra})


@contextmanager
def catching(folder: Path, smtp_port: int, page_port: int) -> Iterator[str]:
    """Take mails at one port and show them at another, until the block ends; yield the page's URL.

    :raises ModuleNotFoundError: if aiosmtpd is not installed.
    """
    from aiosmtpd.controller import Controller

    # Of each connection it says when it came and went.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    controller = Controller(Keeper(folder), hostname="127.0.0.1", port=smtp_port)
    controller.start()
    try:
        page = ThreadingHTTPServer(("127.0.0.1", page_port), _handler(folder))
        try:
            Thread(target=page.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{page.server_port}"
        finally:
            page.shutdown()
            page.server_close()
    finally:
        controller.stop()


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A page elsewhere could otherwise read the mails under a name that leads here.
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            html = _page(folder, self.path) if host in ("127.0.0.1", "localhost") else None
            content = (html or "There is no such mail.").encode()
            self.send_response(200 if html else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", _POLICY)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


def _page(folder: Path, path: str) -> str | None:
    files = {file.stem: file for file in sorted(folder.glob("*.eml"), reverse=True)}
    if path == "/":
        rows = "".join(_row(name, _read(file)) for name, file in files.items())
        table = f"<table><tr><th>when<th>to<th>subject</tr>{rows}</table>" if rows else "<p>No mail yet.</p>"
        return f"<!doctype html><title>Mails</title><style>{_STYLE}</style><h1>Mails</h1>{table}"
    file = files.get(path.removeprefix("/"))
    return _body(_read(file)) if file is not None else None


def _row(name: str, mail: EmailMessage) -> str:
    when, to, subject = (escape(str(mail[header] or "")) for header in ("Date", "To", "Subject"))
    return f'<tr><td>{when}<td>{to}<td><a href="/{name}">{subject or "(no subject)"}</a></tr>'


def _body(mail: EmailMessage) -> str:
    page = mail.get_body(("html",))
    if page is not None:
        html = str(page.get_content())
        for part in mail.walk():
            # A picture in the mail stands beside its page, under a name.
            if (name := part["Content-ID"]) and part.get_content_maintype() == "image":
                picture = base64.b64encode(part.get_payload(decode=True)).decode()  # type: ignore[arg-type]
                html = html.replace(
                    f"cid:{name.strip('<>')}", f"data:{part.get_content_type()};base64,{picture}"
                )
        return html
    text = mail.get_body(("plain",))
    return f"<!doctype html><pre>{escape(str(text.get_content()) if text is not None else '')}</pre>"


def _read(file: Path) -> EmailMessage:
    mail: EmailMessage = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    return mail
