from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kit.clients import AnyClient
from kit.server import Server
from switchboard_client import _progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real sandbox server, shared by all tests that do not stop it."""
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A real server for one test. Its journal survives a restart."""
    with Server(tmp_path, store=True) as running:
        yield running


@pytest.fixture(params=["sync", "aio"])
def flavour(request: pytest.FixtureRequest) -> str:
    """Runs a test with both clients, which must behave alike."""
    flavour: str = request.param
    return flavour


@pytest.fixture
def connect(flavour: str) -> Iterator[Callable[..., AnyClient]]:
    """Creates clients and closes them after the test."""
    clients: list[AnyClient] = []

    def connect(address: str, **options: Any) -> AnyClient:
        clients.append(AnyClient(flavour, address, **options))
        return clients[-1]

    yield connect
    for any_client in clients:
        any_client.close()


@pytest.fixture
def any_client(connect: Callable[..., AnyClient], server: Server) -> AnyClient:
    """A client of the real server."""
    return connect(server.address)


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records the number of consecutive failures at each backoff, and skips the wait."""
    failures: list[int] = []

    def backoff(number: int, cap: float) -> float:
        failures.append(number)
        return 0.0

    monkeypatch.setattr(_progress, "backoff", backoff)
    return failures
