"""Servers and clients for the tests of the Proof client; all of it is real HTTP on 127.0.0.1."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile_server import HostileServer, Script
from webhook_app.adapters.proof import ProofClient

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def serve() -> Iterator[Callable[..., HostileServer]]:
    """Starts servers that follow a script; they end with the test."""
    servers: list[HostileServer] = []

    def start(script: Script, certificate: str | None = None) -> HostileServer:
        servers.append(HostileServer(script, certificate))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., ProofClient]]:
    """Makes clients; they are closed with the test."""
    clients: list[ProofClient] = []

    def make(url: str, tokens: tuple[str, ...] = ("token-of-the-day",), **options: Any) -> ProofClient:
        defaults: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 5, "pool_size": 4}
        clients.append(ProofClient(url, tokens, **{**defaults, **options}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def transaction() -> dict[str, Any]:
    """Proof's documented example of a transaction."""
    example: dict[str, Any] = json.loads((DATA / "transaction.json").read_text())
    return example
