"""Sends hostile requests to a real web process and judges what it did. Bounded in count and in time."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import psutil
from sqlalchemy import func, select

from tests.fuzz.corpus import Hostile
from tests.support.servers import wait_for
from tests.support.web_process import WebProcess
from webhook_app.db.database import Database
from webhook_app.models import Event

#: Requests under way at once.
AT_ONCE = 64
#: Seconds in which the server must have answered or closed the connection; more than any of its deadlines.
LONGEST = 30.0
#: Sent together, so that no list of all answers grows.
_BATCH = 500


@dataclass
class Findings:
    """What a run found. `wrong` holds what must not be: an empty list is a good run."""

    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    acknowledged: set[int] = field(default_factory=set)
    spooled: int = 0
    wrong: list[str] = field(default_factory=list)
    memory_before: int = 0
    memory_after: int = 0
    """Bytes of resident memory of all the web processes."""

    @property
    def growth(self) -> int:
        return self.memory_after - self.memory_before


def attack(web: WebProcess, hostile: Iterable[Hostile], count: int, seconds: float) -> Findings:
    """Sends up to `count` requests for up to `seconds`. Memory is first measured after a tenth, when all is loaded."""
    findings = Findings()
    ends_at = time.monotonic() + seconds
    wires = islice(hostile, count)
    with ThreadPoolExecutor(AT_ONCE) as executor:
        while time.monotonic() < ends_at and (batch := list(islice(wires, min(_BATCH, max(count // 10, 1))))):
            for one, answer in zip(batch, executor.map(lambda one: _exchange(web.port, one.wire), batch), strict=True):
                _judge(one, answer, findings)
            if not findings.memory_before:
                findings.memory_before = resident(web)
    findings.memory_after = resident(web)
    if not web.is_up():
        findings.wrong.append("the web process no longer answers /healthz")
    return findings


def check_kept(database: Database, spool_is_empty: bool, findings: Findings) -> None:
    """Everything acknowledged must be in SQL."""
    wanted = sorted(findings.acknowledged)
    kept = 0
    with database.read() as session:
        for start in range(0, len(wanted), 1000):
            ids = wanted[start : start + 1000]
            kept += session.scalar(select(func.count()).where(Event.id.in_(ids))) or 0
    if kept != len(wanted):
        findings.wrong.append(f"{len(wanted) - kept} acknowledged events are not in SQL")
    if findings.spooled and not spool_is_empty:
        findings.wrong.append("spooled events did not reach SQL")


def wait_for_spool(web: WebProcess) -> bool:
    """Whether the spool was drained in time."""

    def is_empty() -> bool:
        answer = web.http.request("GET", f"{web.url}/readyz")
        return bool(json.loads(answer.data)["spool"]["records"] == 0)

    try:
        wait_for(is_empty, "the spool is empty", 30)
    except AssertionError:
        return False
    return True


def resident(web: WebProcess) -> int:
    """Bytes of resident memory of the process and its children."""
    parent = psutil.Process(web.pid)
    return sum(process.memory_info().rss for process in (parent, *parent.children(recursive=True)))


def _exchange(port: int, wire: bytes) -> bytes:
    """All that comes back until the server closes the connection; `b""` where it closed without an answer."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), LONGEST) as connection:
        with suppress(OSError):  # where it has answered already, and takes no more
            connection.sendall(wire)
        try:
            while part := connection.recv(65_536):
                received = received[: 1 << 20] + part
        except TimeoutError:
            return b"HANGS"
        except OSError:
            pass
    return received


def _judge(hostile: Hostile, answer: bytes, findings: Findings) -> None:
    findings.sent += 1
    if answer == b"HANGS":
        findings.wrong.append(f"{hostile.name}: no end after {LONGEST:g} s: {hostile.wire[:200]!r}")
        return
    if not answer:
        findings.statuses["closed"] += 1
        return
    if not answer.startswith(b"HTTP/1."):
        findings.wrong.append(f"{hostile.name}: not HTTP: {answer[:100]!r}")
        return
    for status, body in _answers(answer):
        findings.statuses[str(status)] += 1
        # Neither Redis nor the clock runs here, so /readyz says 503, which is right.
        is_stated = b'"overload"' in body or (status == 503 and b" /readyz" in hostile.wire.partition(b"\r\n")[0])
        if status >= 500 and not is_stated:
            findings.wrong.append(f"{hostile.name}: {status} to {hostile.wire[:300]!r}")
        if status in (200, 202) and body.startswith(b'{"event_id"'):
            findings.acknowledged.add(json.loads(body)["event_id"])
        findings.spooled += status == 202 and body.startswith(b'{"spooled"')


def _answers(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Status and body of each answer on the connection. Bodies of which the length is not announced are not split."""
    while received.startswith(b"HTTP/1."):
        head, _, rest = received.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        names = {name.strip().lower(): value.strip() for name, _, value in map(_split, head.split(b"\r\n")[1:])}
        size = int(names[b"content-length"]) if b"content-length" in names else len(rest)
        if status in (100, 204, 304):
            size = 0
        yield status, rest[:size]
        received = rest[size:]


def _split(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")
