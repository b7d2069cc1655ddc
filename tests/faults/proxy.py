"""A proxy before an MLflow server that does to chosen calls what a network may."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")


class Dropped(Exception):
    """The connection ends without an answer."""


class Refused(Exception):
    """The proxy answers with a status of its own."""

    def __init__(self, status: int) -> None:
        self.status = status


class _Rule(NamedTuple):
    method: str
    path: str
    after: bool
    action: Callable[[], Any]


class Proxy:
    """Forwards to a server, and keeps a list of what was called.

    A call is a method and the end of a path, such as ``POST runs/create``; ``*`` in it stands for anything.

    :ivar lossy: whether the answer to each write is lost the first time that it is sent.
    """

    def __init__(self, upstream: str) -> None:
        self.address = urlsplit(upstream).netloc
        self.uri = ""
        self.calls: list[str] = []
        self.lossy = False
        self._sent: set[tuple[str, str, bytes]] = set()
        self.under_way = 0
        self._rules: list[_Rule] = []
        self._lock = Lock()

    def before(self, call: str, action: Callable[[], Any], times: int = 1) -> None:
        """Act before the next calls of a kind reach the server."""
        self._add(call, False, action, times)

    def after(self, call: str, action: Callable[[], Any], times: int = 1) -> None:
        """Act once the server has answered the next calls of a kind, before the client hears of it."""
        self._add(call, True, action, times)

    def drop(self, call: str, times: int = 1) -> None:
        """Let the next calls of a kind commit, and lose the answers."""

        def lose() -> None:
            raise Dropped

        self.after(call, lose, times)

    def refuse(self, call: str, status: int, times: int) -> None:
        """Answer the next calls of a kind in the server's place."""

        def answer() -> None:
            raise Refused(status)

        self.before(call, answer, times)

    def count(self, call: str) -> int:
        """Say how often a call was made."""
        method, _, path = call.partition(" ")
        return sum(fnmatch(each, f"{method} */{path}") for each in self.calls)

    def kinds(self) -> list[str]:
        """Return each kind of call that was made, without what names one model, run or experiment."""
        return list(dict.fromkeys(map(_kind, self.calls)))

    def lose(self, *write: Any) -> None:
        """Lose the answer to a write that was not sent before."""
        with self._lock:
            new = self.lossy and write[0] != "GET" and write not in self._sent
            self._sent.add(write)
        if new:
            raise Dropped

    def settle(self) -> None:
        """Wait until the server has carried out what it was sent, also by a client that has given up."""
        deadline = time.monotonic() + 60
        while self.under_way:
            assert time.monotonic() < deadline, "the server has not answered"
            time.sleep(0.02)

    def enter(self, change: int) -> None:
        with self._lock:
            self.under_way += change

    @property
    def waiting(self) -> int:
        """How many actions no call has met yet."""
        return len(self._rules)

    def _add(self, call: str, after: bool, action: Callable[[], Any], times: int) -> None:
        method, _, path = call.partition(" ")
        self._rules += [_Rule(method, path, after, action)] * times

    def act(self, method: str, path: str, *, after: bool) -> None:
        with self._lock:
            met = next(
                (
                    rule for rule in self._rules
                    if rule.method == method and fnmatch(path, f"*/{rule.path}") and rule.after == after
                ),
                None,
            )  # fmt: skip
            if met is not None:
                self._rules.remove(met)
        if met is not None:
            met.action()


def _kind(call: str) -> str:
    method, _, path = call.partition(" ")
    parts = re.sub(r"^/api/2.0/(mlflow/)?", "", path).split("/")
    return f"{method} {'/'.join('*' if part.isdigit() or len(part) >= 32 else part for part in parts)}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def forward(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = urlsplit(self.path).path
        self.proxy.calls.append(f"{self.command} {path}")
        self.proxy.enter(1)
        try:
            self.proxy.act(self.command, path, after=False)
            status, headers, answer = self._ask(body)
            self.proxy.act(self.command, path, after=True)
            self.proxy.lose(self.command, self.path, body)
        except Refused as refused:
            status, headers, answer = (
                refused.status,
                [("Content-Type", "text/plain")],
                b"refused by the proxy",
            )
        except (Dropped, OSError):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        finally:
            self.proxy.enter(-1)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(self.proxy.address)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
            answer = connection.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A client that gave up has closed its end.
    handle_error = staticmethod(lambda *_: None)  # type: ignore[assignment]


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before a server."""
    proxy = Proxy(upstream)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        proxy.uri = f"http://127.0.0.1:{server.server_port}"
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
