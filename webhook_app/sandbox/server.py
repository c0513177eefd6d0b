"""The sandbox as a whole: its settings, and how it is started, in a test or as a process of its own."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from webhook_app.logs import get_logger
from webhook_app.sandbox.behaviour import Behaviour
from webhook_app.sandbox.http_server import HttpServer
from webhook_app.sandbox.state_file import StateFile
from webhook_app.sandbox.web import responder
from webhook_app.sandbox.world import World


@dataclass(frozen=True, kw_only=True)
class SandboxSettings(Behaviour):
    """Where the sandbox listens and what it keeps; what it does at first is inherited."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: a free one."""
    state_file: Path | None = None
    """None: nothing survives a restart."""
    seed: int | None = None
    """Makes the ids, amounts, outcomes and losses the same in each run, as far as threads allow."""


class Sandbox:
    """A running sandbox, in this process. `with Sandbox(SandboxSettings(...)) as sandbox: sandbox.url`."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self._world = World(settings, settings.seed)
        self._state_file = StateFile(settings.state_file, self._world) if settings.state_file else None
        self._respond = responder(self._world)
        self._server: HttpServer | None = None
        self._port = settings.port

    @property
    def url(self) -> str:
        """Without a slash at its end; what PROOF_API_URL is set to."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self._port}"  # noqa: S104 - a comparison

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> Self:
        """Raises OSError where the port is taken. Started once; a stopped sandbox is not started again."""
        if self._state_file:
            self._state_file.load()  # before anybody can ask for a transaction that is in it
        self.open_port()
        if self._state_file:
            self._state_file.start()
        self._world.start()
        return self

    def stop(self) -> None:
        """In well under two seconds; state is saved."""
        self.close_port()
        self._world.stop()
        if self._state_file:
            self._state_file.stop()

    def open_port(self) -> None:
        """Listens again after `close_port`, on the same port. Raises OSError where it is taken."""
        if self._server is None:
            self._server = HttpServer(self.settings.host, self._port, self._respond)
            self._port = self._server.port

    def close_port(self) -> None:
        """Refuses connections and ends those that are open, as if Proof were gone; lifecycles and webhooks go on."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(settings: SandboxSettings) -> None:
    """Runs until SIGTERM or SIGINT. Raises OSError where the port is taken. Call it on the main thread."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with Sandbox(settings) as sandbox:
        get_logger().info("sandbox_started", url=sandbox.url, webhooks=bool(settings.webhook_url), speed=settings.speed)
        stopped.wait()
    get_logger().info("sandbox_stopped")
