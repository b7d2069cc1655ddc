"""A real object store on 127.0.0.1, and a proxy before it that strips what keeps two writers apart.

Both run as processes: deltalake holds the interpreter while it waits for some answers. ``python object_store.py <host:port>``
runs the proxy, which prints its port; ``python object_store.py <port>`` runs the store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

BUCKET = "mlops"
_DROPPED = ("if-none-match", "connection")
_OWN = ("connection", "transfer-encoding", "content-length", "date", "server")


class Store:
    """An S3 server.

    :param uri: its endpoint.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @property
    def environment(self) -> Mapping[str, str]:
        """Return what tells deltalake where it is."""
        return {
            "AWS_ENDPOINT_URL": self.uri,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the bucket that begin with a prefix."""
        with urlopen(f"{self.uri}/{BUCKET}?list-type=2&prefix={prefix}", timeout=30) as answer:
            return [part.partition("<")[0] for part in answer.read().decode().split("<Key>")[1:]]

    def start(self, script: str) -> subprocess.Popen[str]:
        """Run Python code as a process that uses this store."""
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | self.environment | {"PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen(
            [sys.executable, "-c", script], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, script: str) -> str:
        """Run Python code as a process that uses this store, and return what it prints."""
        return told(self.start(script))


def told(process: subprocess.Popen[str]) -> str:
    """Return what a process prints, its last line being «end»."""
    output, errors = process.communicate(timeout=120)
    lines = output.splitlines()
    # Not its exit code: having read through deltalake's file system, a process may be aborted at its very end.
    assert lines[-1:] == ["end"], errors
    return "\n".join(lines[:-1])


@contextmanager
def serving(folder: Path, port: int) -> Iterator[Store]:
    """Run moto's server, which heeds If-None-Match, with an empty bucket.

    :param folder: where its log goes.
    """
    log = folder / "moto.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, str(port)],
            stdout=output,
            stderr=output,
        )
    store = Store(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 60
        while not _has_bucket(store):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield store
    finally:
        process.kill()
        process.wait(30)


@contextmanager
def careless(store: Store) -> Iterator[Store]:
    """Run a proxy before a store that strips If-None-Match, so that the store takes a key that it holds already."""
    upstream = urlsplit(store.uri).netloc
    with subprocess.Popen([sys.executable, __file__, upstream], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Store(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


def _has_bucket(store: Store) -> bool:
    try:
        with urlopen(Request(f"{store.uri}/{BUCKET}", method="PUT"), timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _DROPPED}
        connection = HTTPConnection(self.upstream)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OWN:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = forward

    def log_message(self, *_: object) -> None:
        pass


def _forward(upstream: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"upstream": upstream}))
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


def _moto(port: int) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    os.environ["MOTO_PORT"] = str(port)
    application, turn = DomainDispatcherApplication(create_backend_app), Lock()

    def one_at_a_time(environment: dict[str, Any], start: Any) -> list[bytes]:
        # moto looks whether a key is there before it puts it, and on a busy machine two threads see that it is not.
        with turn:
            return list(application(environment, start))

    run_simple("127.0.0.1", port, one_at_a_time, threaded=True)


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        _moto(int(sys.argv[1]))
    else:
        _forward(sys.argv[1])
