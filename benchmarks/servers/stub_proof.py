"""A stand-in for Proof that is fast and always well: `python -m benchmarks.servers.stub_proof --delay 0.05`.

Every transaction that is asked for is `completed`, after `delay` seconds. A POST is answered 202 at once: against it a
load generator shows how fast it is by itself. Prints its port when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import deque

from benchmarks.load.payload import PAYLOAD, UNIQUE

_BODY = PAYLOAD[:-1] + b',"partner_user_id":"user-123"}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: stub\r\nContent-Length: %d\r\n\r\n"
_TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class _Delayed:
    """Answers that all wait equally long, so that one timer serves them in the order of their requests."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._loop = loop
        self._delay = delay
        self._waiting: deque[tuple[float, asyncio.Transport, bytes]] = deque()

    def answer(self, transport: asyncio.Transport, answer: bytes) -> None:
        if self._delay == 0:
            transport.write(answer)
            return
        if not self._waiting:
            self._loop.call_later(self._delay, self._send)
        self._waiting.append((self._loop.time() + self._delay, transport, answer))

    def _send(self) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, transport, answer = self._waiting.popleft()
            if not transport.is_closing():
                transport.write(answer)
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._send)


class _Connection(asyncio.Protocol):
    def __init__(self, delayed: _Delayed) -> None:
        self._delayed = delayed
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            body = 0
            if (found := head.lower().find(b"content-length:")) >= 0:
                body = int(head[found + 15 :].partition(b"\r\n")[0])
            if len(self._received) < end + 4 + body:
                return
            self._received = self._received[end + 4 + body :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, path = head.partition(b"\r\n")[0].split(b" ")[:2]
        if method != b"GET":
            self._transport.write(_TAKEN)
            return
        body = _BODY.replace(UNIQUE, path.rpartition(b"/")[2])
        self._delayed.answer(self._transport, _HEAD % len(body) + body)


async def _serve(delay: float) -> None:
    loop = asyncio.get_running_loop()
    delayed = _Delayed(loop, delay)
    server = await loop.create_server(lambda: _Connection(delayed), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers.stub_proof", description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds for which a GET waits")
    asyncio.run(_serve(parser.parse_args().delay))
    return 0


if __name__ == "__main__":
    sys.exit(main())
