"""The listener: takes turns at the leases in SQL, and has a connection for each topic that it holds."""

from __future__ import annotations

import asyncio
import random
import uuid
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from webhook_app.adapters.proof_websocket import ProofWebSocket
from webhook_app.listen.connection import Connection, Watcher
from webhook_app.listen.intake import UpdateIntake
from webhook_app.logs import first_line, get_logger
from webhook_app.services import Services
from webhook_app.usecases.channels.listenings import Listener, Progress, Turn, give_back, take_turn
from webhook_app.usecases.reconcile.listened import LISTENING_LEASE

log = get_logger()

#: Seconds between two turns while there is something to do, and between two that find nothing.
TURN_SECONDS, IDLE_SECONDS = 0.5, 2.0
#: Connections that are opened at once.
OPENERS = 20
#: Seconds that connections are given to end in order.
GOODBYE_SECONDS = 5.0
#: Threads that wait for SQL and for the spool.
_THREADS = 4


async def listen(services: Services, proof: ProofWebSocket, stop: asyncio.Event) -> None:
    """Listens until `stop` is set; then the connections are closed, what had come is taken in, and the leases go back.
    While SQL is away the connections stay, and what comes goes to the spool."""
    settings = services.settings
    listener = Listener(
        name=uuid.uuid4().hex,
        most_connections=settings.listen_max_connections,
        listen_for=timedelta(seconds=settings.listen_for),
        is_by_user=proof.address.is_by_user,
    )
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="listen") as executor:
        await _Listening(services, proof, listener, executor).run(stop)


class _Listening:
    def __init__(self, services: Services, proof: ProofWebSocket, listener: Listener, executor: Executor) -> None:
        self._services = services
        self._proof = proof
        self._listener = listener
        self._executor = executor
        self._intake = UpdateIntake(services, executor)
        self._openers = asyncio.Semaphore(OPENERS)
        self._rng = random.Random()
        self._connections: dict[str, tuple[Connection, asyncio.Task[None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._connected: set[str] = set()
        self._broken: dict[str, str] = {}
        self._said: str | None = None
        self._told_update_at: datetime | None = None
        self._turned_at = services.clock() - LISTENING_LEASE

    async def run(self, stop: asyncio.Event) -> None:
        trouble = False
        while not stop.is_set():
            try:
                is_busy = await self._turn()
                if trouble:
                    log.info("the listener is back at work")
                trouble = False
            except SQLAlchemyError as error:
                is_busy = True
                if not trouble:
                    log.warning("the listener waits for SQL", error=first_line(error))
                trouble = True
            await _wait(stop, TURN_SECONDS if is_busy else IDLE_SECONDS)
        await self._leave()

    async def _turn(self) -> bool:
        """Whether there is something to listen to, or was."""
        connected, self._connected = self._connected, set()
        broken, self._broken = self._broken, {}
        update_at = self._intake.update_at
        news = update_at if update_at != self._told_update_at else None
        progress = Progress(tuple(self._connections), connected, broken, news)
        try:
            turn = await self._in_thread(progress)
        except SQLAlchemyError:
            self._connected |= connected
            self._broken = broken | self._broken
            raise
        self._told_update_at = update_at
        self._say(broken)
        for topic in turn.over:
            self._end(topic)
        for topic in turn.claimed:
            self._begin(topic)
        return bool(self._connections or turn.over)

    async def _in_thread(self, progress: Progress) -> Turn:
        loop = asyncio.get_running_loop()
        now = self._services.clock()
        return await loop.run_in_executor(
            self._executor, take_turn, self._services.database, self._listener, progress, now
        )

    def _begin(self, topic: str) -> None:
        if topic in self._connections:  # its lease had run out, and was taken again
            return
        watcher = Watcher(self._note_connected, self._note_broken)
        connection = Connection(topic, self._proof, self._intake.take_in, watcher, self._openers, self._rng)
        self._connections[topic] = connection, asyncio.create_task(connection.run(), name=topic)

    def _end(self, topic: str) -> None:
        connection, task = self._connections.pop(topic)
        leaving = asyncio.create_task(_end_in_order(connection, task))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _leave(self) -> None:
        held = tuple(self._connections)
        for topic in held:
            self._end(topic)
        if self._leaving:
            await asyncio.wait(tuple(self._leaving))
        loop = asyncio.get_running_loop()
        now = self._services.clock()
        try:
            await loop.run_in_executor(self._executor, give_back, self._services.database, self._listener, held, now)
        except SQLAlchemyError as error:
            log.warning("the leases run out by themselves", error=first_line(error))

    def _note_connected(self, topic: str) -> None:
        self._broken.pop(topic, None)
        self._connected.add(topic)
        self._say_again()

    def _note_broken(self, topic: str, problem: str) -> None:
        self._connected.discard(topic)
        self._broken[topic] = problem

    def _say(self, broken: dict[str, str]) -> None:
        """One line where something new is wrong, not one for each connection and try."""
        for topic, problem in broken.items():
            kind = problem.partition(", request id")[0]
            if kind != self._said:
                log.warning("no WebSocket connection", why=problem, topic=topic, advice=_advise(problem))
                self._said = kind
                return

    def _say_again(self) -> None:
        if self._said is not None:
            log.info("WebSocket connections stand again")
            self._said = None


def _advise(problem: str) -> str:
    if "answered 401" in problem:
        return "Check PROOF_CLIENT_TOKEN."
    if "answered 403" in problem:
        return "Proof's allowlist lacks our address or PROOF_ORIGIN."
    if "answered 404" in problem:
        return "Check PROOF_WS_URL, unless Proof does not know the transaction."
    return "It is tried again by itself; polling goes on meanwhile."


async def _end_in_order(connection: Connection, task: asyncio.Task[None]) -> None:
    """Closed, and cancelled where that takes too long."""
    closing = asyncio.create_task(connection.close())
    await asyncio.wait((closing, task), timeout=GOODBYE_SECONDS)
    for one in (closing, task):
        one.cancel()
    await asyncio.gather(closing, task, return_exceptions=True)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
