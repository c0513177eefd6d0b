"""Those who have something to say: webhooks at a fixed rate, and a load balancer that asks whether we are alive."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field

from tests.support.events import webhook

_LONGEST = 30.0


@dataclass
class Heard:
    """Answers, with the seconds from the beginning of the connection to the end of the answer."""

    webhooks: list[float] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    """Webhooks that were not taken, and why."""
    health: list[float] = field(default_factory=list)
    unwell: int = 0


async def call(port: int, rate: float, seconds: float) -> Heard:
    """`rate` webhooks a second, whatever becomes of those before, each on a connection of its own."""
    heard = Heard()
    began = time.monotonic()
    calls = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        calls.append(asyncio.create_task(_send_webhook(port, heard)))
        if number % max(1, round(rate / 5)) == 0:
            calls.append(asyncio.create_task(_ask_health(port, heard)))
    await asyncio.gather(*calls)
    return heard


async def _send_webhook(port: int, heard: Heard) -> None:
    name = uuid.uuid4().hex
    body = json.dumps(webhook(merchant_transaction_id=name)).encode()
    head = f"POST /webhooks/proof HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    status, lasted = await _exchange(port, head.encode() + body)
    heard.webhooks.append(lasted)
    if status in (200, 202):
        heard.accepted.add(name)
    else:
        heard.failed.append(str(status))


async def _ask_health(port: int, heard: Heard) -> None:
    status, lasted = await _exchange(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    heard.health.append(lasted)
    heard.unwell += status != 200


async def _exchange(port: int, request: bytes) -> tuple[int | str, float]:
    """Status, or the name of what went wrong, and seconds."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(_LONGEST):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                answer = await reader.read()
            finally:
                writer.close()
        status: int | str = int(answer[9:12])
    except (OSError, TimeoutError, ValueError) as error:
        status = type(error).__name__
    return status, time.monotonic() - began
