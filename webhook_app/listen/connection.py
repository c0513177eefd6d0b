"""One connection and its life: opened, read, and, whenever it ends, opened again after a wait that grows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from webhook_app.adapters.proof_websocket import NotOpened, ProofWebSocket
from webhook_app.domain.backoff import backoff_seconds
from webhook_app.domain.retry_policy import Budget

#: Waits between two tries, in seconds: the first one at most, and the longest.
BACKOFF = Budget(base_seconds=1.0, cap_seconds=60.0)
#: A connection that stood for so long has worked: the waits begin anew.
STEADY_SECONDS = 30.0

#: Takes in one message that came on a topic, from an address.
TakeIn = Callable[[str | bytes, str, str | None], Awaitable[None]]


@dataclass(frozen=True)
class Watcher:
    """Who is told that the connection of a topic stands, or does not, and why."""

    connected: Callable[[str], None]
    broken: Callable[[str, str], None]


class Connection:
    """`run` it as a task; it ends when that is cancelled, or after `close`, when all that had come is taken in."""

    def __init__(
        self,
        topic: str,
        proof: ProofWebSocket,
        take_in: TakeIn,
        watcher: Watcher,
        openers: asyncio.Semaphore,
        rng: random.Random,
    ) -> None:
        self._topic = topic
        self._proof = proof
        self._take_in = take_in
        self._watcher = watcher
        self._openers = openers
        self._rng = rng
        self._open: ClientConnection | None = None
        self._closing = asyncio.Event()

    async def run(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            began = loop.time()
            problem = await self._live()
            if self._closing.is_set():
                return
            self._watcher.broken(self._topic, problem)
            failures = 1 if loop.time() - began > STEADY_SECONDS else failures + 1
            await self._wait(backoff_seconds(failures, BACKOFF, None, self._rng))

    async def close(self) -> None:
        """Reads no more than has come already."""
        self._closing.set()
        if self._open is not None:
            await self._open.close()

    async def _live(self) -> str:
        """Opens the connection and reads it to its end; why it did not open, or why it ended."""
        try:
            async with self._openers:  # after an outage all connections are opened anew
                opening = self._proof.open(self._topic)
                connection = await opening.__aenter__()
        except NotOpened as error:
            return str(error)
        self._open = connection
        try:
            self._watcher.connected(self._topic)
            return await self._read(connection)
        finally:
            self._open = None
            await opening.__aexit__(None, None, None)

    async def _read(self, connection: ClientConnection) -> str:
        peer = connection.remote_address
        address = str(peer[0]) if isinstance(peer, tuple) and peer else None
        try:
            while True:
                await self._take_in(await connection.recv(), self._topic, address)
        except ConnectionClosed as closed:
            return self._proof.hide(f"the connection ended: {closed}")

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
