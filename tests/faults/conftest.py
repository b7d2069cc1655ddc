"""One server for each database, and a proxy before it for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest
from mlflow import MlflowClient

from faults.proxy import Proxy, proxied
from faults.server import Server, postgresql, running

# What only depends on the server and on its client need not be shown on each database.
SQLITE = pytest.mark.parametrize("server", ["sqlite"], indirect=True, scope="session")
Stopped = Callable[[str], AbstractContextManager[None]]

# As in tasks, but two tries in place of four, and nothing between them.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
}


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ExitStack() as stack:
        database = stack.enter_context(postgresql()) if request.param == "postgresql" else None
        yield stack.enter_context(running(tmp_path_factory.mktemp("server"), database))


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
    """Stop the server when it gets a call, wait for a fortieth of what tasks wait, and let it go on afterwards."""

    @contextmanager
    def during(call: str) -> Iterator[None]:
        proxy.before(call, server.stop)
        with monkeypatch.context() as short:
            short.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
            try:
                yield
            finally:
                server.resume()
                # A task is tried again half a minute later.
                proxy.settle()
        assert proxy.waiting == 0, f"nothing has called {call}"

    return during
