"""One server for each database and session, and a proxy before it for each test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from mlflow import MlflowClient

from faults.proxy import Proxy, proxied
from faults.server import Server, postgresql, running

# What depends on the database too is shown on both; everything else on SQLite alone.
BOTH = pytest.mark.parametrize("server", ["sqlite", "postgresql"], indirect=True)
Stopped = Callable[[str], AbstractContextManager[None]]

# For what a call needs besides, on a busy machine; less than a second call would wait in tasks.
_SLACK = 5.0
# As in tasks, but two tries in place of four, and nothing between them.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
}


def longest(timeout: float, retries: int, factor: float, jitter: float) -> float:
    """Return the seconds that a call takes at most: each try, and what urllib3 waits between them, but for the first two."""
    return (retries + 1) * timeout + sum(factor * 2**number + jitter for number in range(1, retries))


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with postgresql() as database, running(tmp_path_factory.mktemp("server"), database) as server:
        yield server


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_server")
    return server


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxied(server.uri) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client through the proxy."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return MlflowClient(proxy.uri, proxy.uri)


@pytest.fixture
def direct(server: Server) -> MlflowClient:
    """A client of the server itself."""
    return MlflowClient(server.uri, server.uri)


@pytest.fixture
def stopped(server: Server, proxy: Proxy, client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> Stopped:
    """Stop the server when it gets a call, wait for the shortest time that MLflow knows, and let it go on afterwards.

    What fails meanwhile has to fail within the time that these settings give one call: no second one is waited for.
    """

    @contextmanager
    def during(call: str) -> Iterator[None]:
        since: list[float] = []

        def stop() -> None:
            server.stop()
            since.append(time.monotonic())

        proxy.before(call, stop)
        with monkeypatch.context() as short:
            short.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
            short.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            try:
                yield
                took = time.monotonic() - since[0]
                assert took < longest(1, 0, 0, 0) + _SLACK, f"{call} was given up after {took:.1f} s"
            finally:
                server.resume()
                # A task is tried again half a minute later.
                proxy.settle()
        assert proxy.waiting == 0, f"nothing has called {call}"

    return during
