"""Lanes: each kind of request has its own threads and places; what is full is an overload, never a broken database."""

from __future__ import annotations

import asyncio
import json
import select
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from flask import Flask

from tests.support.event_loops import run_coroutine
from tests.support.events import webhook
from tests.support.raw_http import RawAnswer, RawConnection, ask, connected
from tests.support.waiting import wait_for
from tests.support.web_process import WebProcess
from webhook_app.server.kinds import LANES, SPOOL, Kind, kind_of
from webhook_app.server.lanes import LaneFull, ThreadLane

HOST = b"Host: example.org\r\n"
EVENT = json.dumps(webhook()).encode()
#: The same event in a body that is too large for the event loop.
LARGE_EVENT = json.dumps(webhook(note="x" * 5000)).encode()

#: One request of each kind, and what is answered when nothing is in its way.
REQUESTS = {
    Kind.WEBHOOK: (b"POST /webhooks/proof HTTP/1.1\r\nContent-Length: %d\r\n" % len(LARGE_EVENT), (200, 202)),
    Kind.READY: (b"GET /readyz HTTP/1.1\r\n", (503,)),  # no Redis
    Kind.LOG_IN: (b"POST /login HTTP/1.1\r\n", (400,)),
    Kind.COSTLY: (b"GET /api/v1/summary HTTP/1.1\r\n", (401,)),
    Kind.FILE: (b"GET /api/v1/transactions/export HTTP/1.1\r\n", (401,)),
    Kind.SESSION: (b"POST /api/v1/sessions HTTP/1.1\r\nContent-Length: 0\r\n", (401,)),
    Kind.CHEAP: (b"GET /api/v1/transactions HTTP/1.1\r\n", (401,)),
    Kind.HEALTH: (b"GET /healthz HTTP/1.1\r\n", (200,)),
}
LIMITED = [Kind.LOG_IN, Kind.COSTLY, Kind.FILE, Kind.SESSION, Kind.CHEAP]


def request_of(kind: Kind, more: bytes = b"") -> bytes:
    head, _ = REQUESTS[kind]
    return head + HOST + more + b"\r\n" + (LARGE_EVENT if kind is Kind.WEBHOOK else b"")


def is_overload(answer: RawAnswer) -> bool:
    """And with all that an overload has to say."""
    if answer.status != 503 or answer.json().get("code") != "overload":
        return False
    assert answer.json()["error"] == "internal_error"
    assert int(answer.headers["retry-after"]) > 0
    assert len(answer.headers["x-request-id"]) == 32
    return True


class Held:
    """Requests whose threads stand still until the end of the block."""

    def __init__(self, probe: WebProcess, stack: ExitStack) -> None:
        self._probe = probe
        self._stack = stack
        self._name = uuid.uuid4().hex
        self._folder: Path = probe.log.parent / "var"

    def add(self, kind: Kind, count: int) -> list[RawConnection]:
        added = [self._stack.enter_context(connected(self._probe.port)) for _ in range(count)]
        for connection in added:
            connection.send(request_of(kind, f"X-Hold: {self._name}\r\n".encode()))
        return added

    def count(self) -> int:
        return len(list(self._folder.glob(f"held-{self._name}-*")))

    def wait_for(self, count: int) -> None:
        wait_for(lambda: self.count() >= count, f"{count} are held")

    def hold_readiness(self) -> None:
        """What is remembered holds no thread; so asks until it has been forgotten."""
        wait_for(lambda: self.add(Kind.READY, 1) and self.count(), "readiness is held")

    def let_go(self) -> None:
        (self._folder / f"let-go-{self._name}").touch()


@contextmanager
def holding(probe: WebProcess) -> Iterator[Held]:
    with ExitStack() as stack:
        held = Held(probe, stack)
        try:
            yield held
        finally:
            held.let_go()


@pytest.mark.parametrize("kind", [*LIMITED, Kind.READY])
def test_full_lane_takes_nothing_of_the_others(probe: WebProcess, kind: Kind) -> None:
    size = LANES[kind]
    # Log-ins that an earlier test has left there are checked to their end, and take long.
    wait_for(lambda: not is_overload(ask(probe.port, request_of(Kind.LOG_IN))), "the log-in is free")
    with holding(probe) as held:
        if kind is Kind.READY:
            held.hold_readiness()
        else:
            held.add(kind, size.threads + size.most_waiting)
            held.wait_for(size.threads)
        for other, (_, statuses) in REQUESTS.items():
            if other is not kind:
                answer = ask(probe.port, request_of(other))
                assert not is_overload(answer), other
                assert answer.status in statuses, (other, answer)
                assert other is Kind.READY or b"db_error" not in answer.body


@pytest.mark.parametrize("kind", LIMITED)
def test_one_too_many_is_an_overload_and_whoever_waited_is_answered(probe: WebProcess, kind: Kind) -> None:
    size = LANES[kind]
    with holding(probe) as held:
        running = held.add(kind, size.threads)
        held.wait_for(size.threads)
        others = held.add(kind, size.most_waiting)
        while not (answered := select.select([each.socket for each in others], [], [], 0.2)[0]):
            others += held.add(kind, 1)
        assert len(others) > size.most_waiting
        assert is_overload(next(each for each in others if each.socket in answered).answer())
        held.let_go()
        assert {each.answer().status for each in running} == set(REQUESTS[kind][1])
        waited = [each.answer() for each in others if each.socket not in answered]
        assert all(answer.status in REQUESTS[kind][1] or is_overload(answer) for answer in waited)
        assert any(answer.status in REQUESTS[kind][1] for answer in waited)


def test_who_waits_too_long_is_told_of_an_overload(probe: WebProcess) -> None:
    with holding(probe) as held:
        held.add(Kind.LOG_IN, LANES[Kind.LOG_IN].threads)
        held.wait_for(LANES[Kind.LOG_IN].threads)
        assert is_overload(ask(probe.port, request_of(Kind.LOG_IN)))


def test_webhook_that_finds_no_thread_in_time_goes_to_the_spool(probe: WebProcess) -> None:
    with holding(probe) as held:
        held.add(Kind.WEBHOOK, LANES[Kind.WEBHOOK].threads)
        held.wait_for(LANES[Kind.WEBHOOK].threads)
        answers = [ask(probe.port, request_of(Kind.WEBHOOK)) for _ in range(2)]
        assert [answer.status for answer in answers] == [202, 202]
        assert all(answer.json()["spooled"] for answer in answers)

        held.add(Kind.WEBHOOK, SPOOL.threads)
        held.wait_for(LANES[Kind.WEBHOOK].threads + SPOOL.threads)
        assert is_overload(ask(probe.port, request_of(Kind.WEBHOOK)))


def test_plain_webhook_needs_no_thread(probe: WebProcess) -> None:
    """And its answer has the headers that the whole application gives."""

    def taken(request: bytes) -> RawAnswer | None:
        answer = ask(probe.port, request)
        return None if "spooled" in answer.json() else answer

    plain = b"POST /webhooks/proof HTTP/1.1\r\nContent-Length: %d\r\n" % len(EVENT) + HOST + b"\r\n" + EVENT
    with holding(probe) as held:
        held.add(Kind.WEBHOOK, LANES[Kind.WEBHOOK].threads)
        held.wait_for(LANES[Kind.WEBHOOK].threads)
        on_loop = wait_for(lambda: taken(plain), "SQL has taken it")
    on_thread = wait_for(lambda: taken(request_of(Kind.WEBHOOK)), "SQL has taken it again")
    assert {on_loop.status, on_thread.status} <= {200, 202}
    named = {"content-length", "date", "x-request-id"}
    assert named <= on_loop.headers.keys() == on_thread.headers.keys()
    for name in on_loop.headers.keys() - named:
        assert on_loop.headers[name] == on_thread.headers[name]


def test_readiness_is_asked_once_a_second_however_many_ask(probe: WebProcess) -> None:
    def asked() -> int:
        count: int = ask(probe.port, b"GET /api/v1/counts HTTP/1.1\r\n", HOST, b"\r\n").json().get("/readyz", 0)
        return count

    with holding(probe) as held:
        held.hold_readiness()
        before = asked()
        waiting = held.add(Kind.READY, 30)
        held.let_go()
        answers = [connection.answer() for connection in waiting]
    assert {answer.status for answer in answers} == {503}
    assert {answer.body for answer in answers} == {answers[0].body}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 30
    assert asked() <= before + 1


def test_every_route_has_its_kind(app: Flask) -> None:
    """What is not named here is cheap."""
    found: dict[Kind, set[str]] = {}
    for rule in app.url_map.iter_rules():
        method = "GET" if "GET" in (rule.methods or ()) else "POST"
        found.setdefault(kind_of(method, rule.rule, ""), set()).add(rule.rule)
    del found[Kind.CHEAP]
    assert found == {
        Kind.HEALTH: {"/healthz"},
        Kind.READY: {"/readyz"},
        Kind.WEBHOOK: {"/webhooks/proof", "/webhooks/proof/<secret>"},
        Kind.COSTLY: {"/api/v1/summary", "/transaction-totals/counted", "/transaction-strip"},
        Kind.FILE: {"/api/v1/transactions/export"},
        Kind.SESSION: {"/api/v1/sessions"},
    }
    assert {kind_of("GET", f"/transactions.{name}", "") for name in ("csv", "ndjson", "xlsx")} == {Kind.FILE}
    assert kind_of("GET", "/api/v1/transactions", "limit=5&q=ab") is Kind.COSTLY
    assert kind_of("GET", "/transactions", "%71=ab") is Kind.COSTLY
    assert kind_of("GET", "/transactions", "q=&status=completed") is Kind.CHEAP
    assert kind_of("GET", "/overview/part", "span=month") is kind_of("GET", "/", "span=week") is Kind.COSTLY
    assert kind_of("GET", "/", "span=day") is Kind.CHEAP
    assert kind_of("POST", "/login", "") is kind_of("POST", "/account", "") is Kind.LOG_IN
    assert {kind_of("POST", path, "") for path in ("//webhooks/proof/", "/Webhooks/x", "/webhooks")} == {Kind.WEBHOOK}
    assert kind_of("GET", "/login", "") is kind_of("POST", "/healthz", "") is Kind.CHEAP


Busy = Callable[[], None]


@contextmanager
def busy() -> Iterator[tuple[threading.Semaphore, Busy]]:
    """Work that stands still until the end of the block, and what counts how many have begun it."""
    begun, go = threading.Semaphore(0), threading.Event()

    def work() -> None:
        begun.release()
        go.wait(30)

    try:
        yield begun, work
    finally:
        go.set()


def test_lane_returns_what_the_work_returns_and_raises() -> None:
    async def run() -> None:
        lane = ThreadLane("test", threads=1, most_waiting=1)
        assert await lane.run(lambda: 7, patience=5) == 7
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0, patience=5)
        assert await lane.run(threading.current_thread, patience=5) is not threading.current_thread()

    run_coroutine(run())


def test_work_that_was_given_up_is_never_done() -> None:
    async def run() -> None:
        lane = ThreadLane("test", threads=1, most_waiting=4)
        done: list[str] = []
        with busy() as (begun, stand_still):
            first = asyncio.create_task(lane.run(stand_still, patience=5))
            await asyncio.to_thread(begun.acquire)
            with pytest.raises(LaneFull):
                await lane.run(lambda: done.append("late"), patience=0.01)
            waiting = asyncio.create_task(lane.run(lambda: done.append("cancelled"), patience=5))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            second = asyncio.create_task(lane.run(lambda: done.append("second"), patience=5))
            third = asyncio.create_task(lane.run(lambda: done.append("third"), patience=5))
            await asyncio.sleep(0)
            with pytest.raises(LaneFull):
                await lane.run(lambda: done.append("too many"), patience=5)
        await asyncio.gather(first, second, third)
        assert done == ["second", "third"]
        assert await lane.run(lambda: "all places are free again", patience=5)

    run_coroutine(run())


def test_lane_stands_still_when_all_its_threads_do() -> None:
    async def run() -> None:
        lane = ThreadLane("test", threads=2, most_waiting=1)
        assert not lane.stands_still(0)
        with busy() as (begun, stand_still):
            tasks = [asyncio.create_task(lane.run(stand_still, patience=5))]
            await asyncio.to_thread(begun.acquire)
            assert not lane.stands_still(0)
            tasks.append(asyncio.create_task(lane.run(stand_still, patience=5)))
            await asyncio.to_thread(begun.acquire)
            assert lane.stands_still(0)
            assert not lane.stands_still(60)
        await asyncio.gather(*tasks)
        assert not lane.stands_still(0)

    run_coroutine(run())
