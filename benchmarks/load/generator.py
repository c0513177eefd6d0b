"""A load generator of our own: at a constant rate, or, where wrk is missing, as fast as answers come.

`python -m benchmarks.load.generator URL --run 1 --connections 64 --seconds 5 (--closed | --rate 500)`. It prints one
line of JSON (`load.Load`). Plain sockets on one event loop: a request costs it about 50 µs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.figures import percentile
from benchmarks.load.payload import PAYLOAD, UNIQUE, event_id

#: Seconds for an answer.
PATIENCE = 10.0
#: Seconds after which an idle connection is not used again, for its server may be closing it.
_IDLE = 1.0


@dataclass
class _Tally:
    """What was sent and answered; latencies are milliseconds."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    broken: int = 0
    latencies: list[float] = field(default_factory=list)
    last_answer: float = 0.0


class _Connection(asyncio.Protocol):
    """Carries one request after the other; `free` is called with it when the next may be sent."""

    def __init__(self, tally: _Tally, free: Callable[[_Connection], None]) -> None:
        self._tally = tally
        self._free = free
        self._received = b""
        self._due: float | None = None
        self.free_since = 0.0
        self.is_open = True
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._tally.sent += 1
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._due is None:
            return
        head = self._received[:end].lower()
        length = head.find(b"content-length:")
        if length < 0:
            raise ValueError("an answer without Content-Length")
        if len(self._received) < end + 4 + int(head[length + 15 :].partition(b"\r\n")[0]):
            return
        self._count(head[9:10] == b"2")
        self._received = b""
        if b"connection: close" in head:
            self.close()
        else:
            self._free(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        if self._due is not None:
            self._due = None
            self._tally.broken += 1

    def close(self) -> None:
        self.is_open = False
        self._transport.close()

    def _count(self, is_accepted: bool) -> None:
        assert self._due is not None
        now = time.perf_counter()
        self._tally.latencies.append((now - self._due) * 1000)
        self._tally.last_answer = now
        self._tally.accepted += is_accepted
        self._tally.refused += not is_accepted
        self._due = None
        self.free_since = now


class _Generator:
    """All connections of a load. Whatever is due and finds no free connection waits, and its wait counts."""

    def __init__(self, host: str, port: int, most: int, make_request: Callable[[int], bytes]) -> None:
        self._address = (host, port)
        self._most = most
        self._make_request = make_request
        self.tally = _Tally()
        self._open: set[_Connection] = set()
        self._opening = 0
        self._free: list[_Connection] = []
        self._waiting: deque[float] = deque()
        self._is_closed_loop = False
        self._ends_at = 0.0
        self._numbers = 0

    async def run_closed(self, seconds: float) -> None:
        """Each connection sends the next request when it has the last one's answer."""
        self._is_closed_loop = True
        self._ends_at = time.perf_counter() + seconds
        while time.perf_counter() < self._ends_at:
            self._open = {one for one in self._open if one.is_open}
            missing = self._most - len(self._open) - self._opening
            await asyncio.gather(*(self._open_one() for _ in range(missing)))
            await asyncio.sleep(0.05)
        await self._drain()

    async def run_steadily(self, rate: float, seconds: float) -> None:
        """A request every 1/rate seconds, however long answers take."""
        begins_at = time.perf_counter() + 0.05
        for number in range(int(rate * seconds)):
            due = begins_at + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            elif number % 64 == 0:
                await asyncio.sleep(0)
            self._dispatch(due)
        await self._drain()

    def _dispatch(self, due: float) -> None:
        while self._free:
            connection = self._free.pop()
            if connection.is_open and time.perf_counter() - connection.free_since < _IDLE:
                self._send(connection, due)
                return
            connection.close()
        self._waiting.append(due)
        self._open = {one for one in self._open if one.is_open}
        if len(self._open) + self._opening < self._most:
            task = asyncio.ensure_future(self._open_one())
            task.add_done_callback(lambda done: done.exception())

    async def _open_one(self) -> None:
        self._opening += 1
        try:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(lambda: _Connection(self.tally, self._on_free), *self._address)
        except OSError:
            self.tally.broken += 1
            return
        finally:
            self._opening -= 1
        self._open.add(connection)
        connection.free_since = time.perf_counter()
        self._on_free(connection)

    def _on_free(self, connection: _Connection) -> None:
        if self._is_closed_loop:
            now = time.perf_counter()
            if now < self._ends_at:
                self._send(connection, now)
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def _send(self, connection: _Connection, due: float) -> None:
        self._numbers += 1
        connection.send(self._make_request(self._numbers), due)

    async def _drain(self) -> None:
        """Waits for the answers that are missing; what has none in time is broken."""
        tally = self.tally
        deadline = time.perf_counter() + PATIENCE
        while time.perf_counter() < deadline:
            if not self._waiting and tally.accepted + tally.refused + tally.broken >= tally.sent:
                break
            await asyncio.sleep(0.01)
        tally.broken += len(self._waiting)
        for connection in self._open:
            if connection.is_open:
                connection.close()
        await asyncio.sleep(0)  # those that wait for an answer still are counted as broken by it
        await asyncio.sleep(0)


def main() -> int:
    arguments = _read_arguments()
    address = urlsplit(arguments.url)
    make_request = _getting(arguments, address.netloc) if arguments.paths else _posting(arguments)
    generator = _Generator(address.hostname or "", address.port or 80, arguments.connections, make_request)
    gc.freeze()
    gc.disable()
    began = time.perf_counter()
    if arguments.closed:
        asyncio.run(generator.run_closed(arguments.seconds))
    else:
        asyncio.run(generator.run_steadily(arguments.rate, arguments.seconds))
    _print(generator.tally, began)
    return 0


def _print(tally: _Tally, began: float) -> None:
    figures: dict[str, float] = {name: getattr(tally, name) for name in ("sent", "accepted", "refused", "broken")}
    figures["seconds"] = max(tally.last_answer - began, 1e-9)
    figures |= {f"p{share}": percentile(tally.latencies, share / 100) for share in (50, 95, 99)}
    figures["most"] = max(tally.latencies, default=float("nan"))
    print("LOAD", json.dumps(figures), flush=True)


def _posting(arguments: argparse.Namespace) -> Callable[[int], bytes]:
    address = urlsplit(arguments.url)
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    whole = f"{head}Content-Length: {len(PAYLOAD)}\r\n\r\n".encode() + PAYLOAD
    before, _, after = whole.partition(UNIQUE)
    return lambda number: before + event_id(arguments.run, number).encode() + after


def _getting(arguments: argparse.Namespace, host: str) -> Callable[[int], bytes]:
    lines = "".join(f"{line}\r\n" for line in arguments.headers)
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()
        for path in Path(arguments.paths).read_text().splitlines()
    ]
    return lambda number: requests[number % len(requests)]


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--run", type=int, default=0, help="tells apart the ids of the loads of one database")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    pace = parser.add_mutually_exclusive_group(required=True)
    pace.add_argument("--closed", action="store_true", help="the next request when the last one is answered")
    pace.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--paths", help="a file of paths to GET in turn, instead of posting webhooks")
    parser.add_argument("--header", action="append", default=[], dest="headers")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
