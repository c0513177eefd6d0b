"""Who does not go on holds nothing: neither what others need, nor its own connection beyond its deadline."""

from __future__ import annotations

import json
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest

from tests.support.events import webhook
from tests.support.raw_http import RawAnswer, RawConnection, ask, connected
from tests.support.waiting import wait_for
from tests.support.web_process import WebProcess

HOST = b"Host: example.org\r\n"
HEAD = b"POST /webhooks/proof HTTP/1.1\r\n" + HOST
NO_BODY = HEAD + b"Content-Length: 300\r\n\r\n"
HALF_CHUNK = HEAD + b"Transfer-Encoding: chunked\r\n\r\n40\r\n{"


def get(probe: WebProcess, path: bytes, more: bytes = b"") -> RawAnswer:
    return ask(probe.port, b"GET " + path + b" HTTP/1.1\r\n", HOST, more, b"\r\n")


def bodies_under_way(probe: WebProcess) -> int:
    count: int = get(probe, b"/api/v1/counts").json()["bodies"]
    return count


def error_of(answer: RawAnswer) -> tuple[int, str, str]:
    return answer.status, answer.json()["error"], answer.json()["code"]


@contextmanager
def silent(probe: WebProcess, count: int, request: bytes) -> Iterator[list[RawConnection]]:
    """So many connections on which that was sent and no more."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(probe.port)) for _ in range(count)]
        for connection in connections:
            connection.send(request)
        yield connections


def test_headers_that_do_not_arrive_end_the_connection(probe: WebProcess) -> None:
    with ExitStack() as stack:
        begun = [b"", b"POST /webhooks/proof HT", HEAD, HEAD + b"X: "]
        for connection in [stack.enter_context(silent(probe, 1, each))[0] for each in begun]:
            assert connection.rest() == b""


def test_idle_connection_is_ended(probe: WebProcess) -> None:
    with silent(probe, 1, b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n") as (connection,):
        assert connection.answer().status == 200
        assert connection.rest() == b""


def test_body_that_does_not_arrive_is_a_408_that_ends_the_connection(probe: WebProcess) -> None:
    with ExitStack() as stack:
        begun = [NO_BODY, NO_BODY + b"{", HALF_CHUNK, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"]
        for connection in [stack.enter_context(silent(probe, 1, each))[0] for each in begun]:
            answer = connection.answer()
            assert error_of(answer) == (408, "invalid_request", "timeout")
            assert "2 seconds" in answer.json()["message"]
            assert len(answer.headers["x-request-id"]) == 32
            assert answer.headers["connection"] == "close"
            assert connection.rest() == b""


@pytest.mark.parametrize(
    ("begun", "drop"), [(NO_BODY, b" "), (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")]
)
def test_body_that_drips_has_no_more_time(probe: WebProcess, begun: bytes, drop: bytes) -> None:
    done = threading.Event()

    def drip(connection: RawConnection) -> None:
        while not done.wait(0.1):
            try:
                connection.send(drop)
            except OSError:  # the server has ended it
                return

    with silent(probe, 1, begun) as (connection,):
        dripping = threading.Thread(target=drip, args=(connection,))
        dripping.start()
        try:
            assert error_of(connection.answer()) == (408, "invalid_request", "timeout")
        finally:
            done.set()
            dripping.join()


@pytest.mark.parametrize(
    "begun", [NO_BODY, HALF_CHUNK, b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n"]
)
def test_bodies_that_never_arrive_stop_nothing(probe: WebProcess, begun: bytes) -> None:
    event = json.dumps(webhook()).encode()
    with silent(probe, 200, begun):
        wait_for(lambda: bodies_under_way(probe) >= 100, "many bodies are under way")
        assert get(probe, b"/healthz").json() == {"status": "alive"}
        assert ask(probe.port, HEAD, b"Content-Length: %d\r\n\r\n" % len(event), event).status in (200, 202)
        assert get(probe, b"/login", b"Accept: text/html\r\n").status == 200
        assert "sql" in get(probe, b"/readyz").json()["checks"]
        assert get(probe, b"/api/v1/transactions").status == 401
    wait_for(lambda: bodies_under_way(probe) == 0, "nothing is left of them")


def test_health_is_told_to_who_never_sends_the_body_it_announced(probe: WebProcess) -> None:
    for path in (b"/healthz", b"/readyz"):
        assert get(probe, path, b"Content-Length: 300\r\n").status in (200, 503)


def test_client_that_hangs_up_early_leaves_nothing(probe: WebProcess) -> None:
    seen = get(probe, b"/api/v1/counts").json()["requests"]
    with silent(probe, 20, NO_BODY + b"{"):
        wait_for(lambda: bodies_under_way(probe) == 20, "they are under way")
    wait_for(lambda: bodies_under_way(probe) == 0, "nothing is left of them")
    asked = get(probe, b"/api/v1/counts").json()["requests"]
    with silent(probe, 1, NO_BODY) as (connection,):
        connection.answer()
    assert get(probe, b"/api/v1/counts").json()["requests"] == asked + 1, "the application has seen none"
    assert asked > seen


def test_one_client_cannot_have_all_bodies(probe: WebProcess) -> None:
    """Its oldest makes room, for who has something to send is done in milliseconds; the proxy itself has no limit."""
    mine, other = (
        HEAD + b"X-Forwarded-For: " + address + b"\r\nContent-Length: 300\r\n\r\n"
        for address in (b"2001:db8::1", b"192.0.2.9")
    )
    with (
        silent(probe, 1, mine) as (first,),
        silent(probe, 1, other) as (stranger,),
        silent(probe, 70, NO_BODY) as direct,
    ):
        wait_for(lambda: bodies_under_way(probe) >= 72, "all are under way")
        with silent(probe, 64, mine.replace(b"::1", b"::2")):
            answer = first.answer()
            assert error_of(answer) == (503, "internal_error", "overload")
            assert int(answer.headers["retry-after"]) > 0
            assert first.rest() == b""
            assert {error_of(connection.answer())[0] for connection in (stranger, *direct)} == {408}


def test_preface_of_http_2_does_no_harm(probe: WebProcess) -> None:
    """A cleartext preface and 16 HEADERS frames without END_STREAM; HPACK (RFC 7541) of GET / from the static table."""
    headers = b"\x82\x86\x84\x41\x01x"
    frames = [frame(1, 0x04, 2 * n + 1, headers) for n in range(16)]
    before = get(probe, b"/api/v1/counts").json()["process"]
    for _ in range(3):
        with connected(probe.port) as connection, suppress(OSError):  # it is ended after the first bytes
            connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(4, 0, 0, b""), *frames)
    assert get(probe, b"/healthz").status == 200
    assert get(probe, b"/api/v1/counts").json()["process"] == before


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel has no such time-out")
def test_client_that_takes_no_answer_loses_its_connection(probe: WebProcess) -> None:
    """Its place would be held for ever: the server has no time-out for writing."""
    asked = b"GET /api/v1/sized/900000 HTTP/1.1\r\n" + HOST + b"\r\n"
    with connected(probe.port, receive_buffer=4096) as connection:
        connection.send(asked * 10)
        wait_for(lambda: has_connection(probe, connection), "it is connected")
        wait_for(lambda: not has_connection(probe, connection), "it is cut off", 30)


def has_connection(probe: WebProcess, connection: RawConnection) -> bool:
    """By the server's side: a client that sends nothing does not learn that it was cut off."""
    port = connection.socket.getsockname()[1]
    served = psutil.Process(probe.pid).children()
    return any(each.raddr and each.raddr.port == port for one in served for each in one.net_connections("tcp"))
