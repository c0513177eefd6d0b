"""Run as a program: keeps so many silent connections open, each anew when its time is over, and tells how they ended.

`python -m tests.silence.hold PORT KIND COUNT SECONDS DEADLINE` writes `ready` once all are open, at the end one line of
JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass

from tests.silence.kinds import KINDS, SilentKind

#: Seconds that a connection may outlast its deadline: the time until a loaded machine gets to it.
GRACE = 1.0
_PAUSE = 0.5


@dataclass
class Ended:
    opened: int = 0
    closed: int = 0
    late: int = 0
    """Closed by the server after its deadline, or not at all."""
    longest: float = 0.0
    refused: int = 0
    """Not connected."""


async def hold(port: int, kind: SilentKind, count: int, seconds: float, deadline: float) -> Ended:
    ended = Ended()
    until = time.monotonic() + seconds
    all_open = asyncio.Semaphore(0)
    slots = [
        asyncio.create_task(_fill(number, port, kind, until, deadline, ended, all_open)) for number in range(count)
    ]
    for _ in slots:
        await all_open.acquire()
    print("ready", flush=True)
    await asyncio.gather(*slots)
    return ended


async def _fill(
    number: int, port: int, kind: SilentKind, until: float, deadline: float, ended: Ended, is_open: asyncio.Semaphore
) -> None:
    """One connection after the other, never more often than one in `deadline` seconds."""
    await asyncio.sleep(deadline * (number % 97) / 97)  # not all at the same moment
    is_first = True
    while is_first or time.monotonic() < until:
        began = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            ended.refused += 1
        else:
            ended.opened += 1
            if is_first:
                is_open.release()
            await _stay_silent(number, reader, writer, kind, deadline, ended)
        is_first = False
        await asyncio.sleep(max(0.0, began + deadline - time.monotonic()))


async def _stay_silent(
    number: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    kind: SilentKind,
    deadline: float,
    ended: Ended,
) -> None:
    began = time.monotonic()
    client = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    writer.write(kind.begun.format(client=client).encode())
    dripping = asyncio.create_task(_drip(writer, kind.drop)) if kind.drop else None
    try:
        async with asyncio.timeout(deadline + 10):
            while await reader.read(65536):
                pass
    except TimeoutError:
        pass
    except OSError:
        ended.closed += 1
    else:
        ended.closed += 1
    finally:
        lasted = time.monotonic() - began
        ended.longest = max(ended.longest, lasted)
        ended.late += lasted > deadline + GRACE
        if dripping is not None:
            dripping.cancel()
        writer.close()


async def _drip(writer: asyncio.StreamWriter, drop: str) -> None:
    while not writer.is_closing():
        await asyncio.sleep(_PAUSE)
        writer.write(drop.encode())


def main() -> None:
    port, name, count, seconds, deadline = sys.argv[1:]
    ended = asyncio.run(hold(int(port), KINDS[name], int(count), float(seconds), float(deadline)))
    print(json.dumps(asdict(ended)), flush=True)


if __name__ == "__main__":
    main()
