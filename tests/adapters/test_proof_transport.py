"""How the Proof client speaks HTTP: what it sends, and that it comes back bounded from whatever a server does."""

from __future__ import annotations

import gc
import gzip
import itertools
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile_server import HostileServer, Line, Request
from webhook_app import __version__
from webhook_app.adapters.proof import Confirmed, ProofClient, Session
from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import Action, rule_for

Serve = Callable[..., HostileServer]
Connect = Callable[..., ProofClient]

CERTIFICATE = str(Path(__file__).parent.parent / "data" / "localhost.pem")
SHORT = 0.2
"""Seconds of read time-out where a test waits for it."""
BOUND = 8.0
"""Seconds in which a call with a SHORT time-out must have come back, on any machine."""


def code_of(result: object) -> tuple[int | None, str, str]:
    assert isinstance(result, Failure), result
    return result.http_status, result.error, result.code


def answer_any_id(transaction: dict[str, Any]) -> Callable[[Line, Request], None]:
    def script(line: Line, request: Request) -> None:
        line.reply_json(200, transaction | {"merchant_transaction_id": request.target.rsplit("/", 1)[1]})

    return script


# What is sent


def test_get_asks_for_one_transaction_with_token_and_name(
    serve: Serve, connect: Connect, transaction: dict[str, Any]
) -> None:
    server = serve(answer_any_id(transaction))
    assert isinstance(connect(server.url, ("secret-1",)).get_transaction("abc-1"), Confirmed)
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", "/widget/transactions/abc-1")
    assert request.headers["authorization"] == "Bearer secret-1"
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == f"webhook-app/{__version__}"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert "origin" not in request.headers


def test_origin_goes_with_every_call(serve: Serve, connect: Connect, transaction: dict[str, Any]) -> None:
    server = serve(answer_any_id(transaction))
    proof = connect(server.url, origin="https://partner.test")
    proof.get_transaction("abc-1")
    proof.open_session(b"{}")
    assert [request.headers["origin"] for request in server.requests] == ["https://partner.test"] * 2


def test_session_request_is_posted_as_json(serve: Serve, connect: Connect) -> None:
    data = Path(__file__).parent.parent / "data"
    example = json.loads((data / "session-request.json").read_text())
    made = json.loads((data / "session-response.json").read_text())
    server = serve(lambda line, _: line.reply_json(200, made, {"X-Request-Id": "r-1"}))
    session = connect(server.url).open_session(json.dumps(example).encode())
    assert session == Session("550e8400-e29b-41d4-a716-446655440000", json.dumps(made).encode(), "r-1")
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/widget/session")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == example


def test_base_url_may_have_a_prefix(serve: Serve, connect: Connect, transaction: dict[str, Any]) -> None:
    server = serve(answer_any_id(transaction))
    assert isinstance(connect(server.url + "/proof/v1/").get_transaction("abc"), Confirmed)
    assert server.requests[0].target == "/proof/v1/widget/transactions/abc"


@pytest.mark.parametrize(
    ("merchant_transaction_id", "segment"),
    [
        ("a/../b", "a%2F..%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("a%2Fb", "a%252Fb"),
        ("a:b", "a%3Ab"),
        ("...", "..."),
        ("-._~", "-._~"),
        ("é 中", "%C3%A9%20%E4%B8%AD"),
        ("a\r\nX: y", "a%0D%0AX%3A%20y"),
        ("\ud800", "%3F"),
    ],
)
def test_any_id_is_one_path_segment(serve: Serve, connect: Connect, merchant_transaction_id: str, segment: str) -> None:
    server = serve(lambda line, _: line.reply_json(404, {"error": "not_found", "code": "x", "message": ""}))
    assert code_of(connect(server.url).get_transaction(merchant_transaction_id)) == (404, "not_found", "x")
    assert [request.target for request in server.requests] == [f"/widget/transactions/{segment}"]


@pytest.mark.parametrize("merchant_transaction_id", ["", ".", ".."])
def test_id_that_no_url_can_carry_fails_for_good_without_a_call(
    serve: Serve, connect: Connect, merchant_transaction_id: str
) -> None:
    server = serve(lambda line, _: line.reply(200, b""))
    failure = connect(server.url).get_transaction(merchant_transaction_id)
    assert code_of(failure) == (None, "invalid_request", "unsendable_id")
    assert isinstance(failure, Failure)
    assert rule_for(failure).action is Action.PERMANENT
    assert server.requests == []


@pytest.mark.parametrize(
    "url", ["ftp://proof.test", "proof.test", "https://", "https://user:pw@proof.test", "https://proof.test/?a=b", ""]
)
def test_base_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        ProofClient(url, ["token"], connect_timeout=1, read_timeout=1, pool_size=1)


@pytest.mark.parametrize("tokens", [[], [""], ["with space"], ["line\nbreak"], ["é"]])
def test_token_that_cannot_be_sent_is_refused_without_showing_it(tokens: list[str]) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        ProofClient("https://proof.test", tokens, connect_timeout=1, read_timeout=1, pool_size=1)
    assert all(token not in str(caught.value) for token in tokens if token)


# Tokens


def refusing(*refused: str, transaction: dict[str, Any]) -> Callable[[Line, Request], None]:
    def script(line: Line, request: Request) -> None:
        if request.token in refused:
            refusal = {"error": "unauthorised", "code": "invalid_token", "message": f"no such token: {request.token}"}
            line.reply_json(401, refusal, {"X-Request-Id": f"refused-{request.token}"})
        else:
            answer_any_id(transaction)(line, request)

    return script


def test_refused_token_is_followed_at_once_by_the_next_and_the_working_one_is_kept(
    serve: Serve, connect: Connect, transaction: dict[str, Any]
) -> None:
    server = serve(refusing("new-token", transaction=transaction))
    client = connect(server.url, ("new-token", "old-token"))
    assert isinstance(client.get_transaction("a"), Confirmed)
    assert isinstance(client.get_transaction("b"), Confirmed)
    assert [request.token for request in server.requests] == ["new-token", "old-token", "old-token"]


def test_newer_token_takes_over_when_the_kept_one_is_refused(
    serve: Serve, connect: Connect, transaction: dict[str, Any]
) -> None:
    server = serve(refusing("new-token", transaction=transaction))
    client = connect(server.url, ("new-token", "old-token"))
    client.get_transaction("a")
    server.script = refusing("old-token", transaction=transaction)
    assert isinstance(client.get_transaction("b"), Confirmed)
    assert isinstance(client.get_transaction("c"), Confirmed)
    assert [request.token for request in server.requests][2:] == ["old-token", "new-token", "new-token"]


def test_401_is_returned_when_every_token_was_refused(
    serve: Serve, connect: Connect, transaction: dict[str, Any]
) -> None:
    server = serve(refusing("new-token", "old-token", transaction=transaction))
    failure = connect(server.url, ("new-token", "old-token")).get_transaction("a")
    assert code_of(failure) == (401, "unauthorised", "invalid_token")
    assert [request.token for request in server.requests] == ["new-token", "old-token"]


def test_session_refused_for_its_token_is_opened_with_the_next(serve: Serve, connect: Connect) -> None:
    server = serve(refusing("new-token", transaction={}))
    session = connect(server.url, ("new-token", "old-token")).open_session(b'{"amount": "1"}')
    assert isinstance(session, Session)
    assert [request.body for request in server.requests] == [b'{"amount": "1"}'] * 2


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_other_refusals_try_no_second_token(serve: Serve, connect: Connect, status: int) -> None:
    server = serve(lambda line, _: line.reply_json(status, {"error": "e", "code": "c", "message": "m"}))
    assert code_of(connect(server.url, ("new", "old")).get_transaction("a")) == (status, "e", "c")
    assert len(server.requests) == 1


def test_tokens_are_never_shown(
    serve: Serve, connect: Connect, transaction: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = serve(refusing("secret-token", "older-token", transaction=transaction))
    client = connect(server.url, ("secret-token", "older-token"))
    failure = client.get_transaction("a")
    for text in (repr(client), str(client), repr(failure), caplog.text):
        assert "secret-token" not in text
        assert "older-token" not in text
    assert isinstance(failure, Failure)
    assert failure.message == "no such token: ***"


# Bounds


def test_server_that_never_answers_is_a_timeout(serve: Serve, connect: Connect) -> None:
    client = connect(serve(lambda line, _: line.hang()).url, read_timeout=SHORT)
    started = time.monotonic()
    assert code_of(client.get_transaction("a")) == (None, "upstream_unavailable", "timeout")
    assert code_of(client.open_session(b"{}")) == (None, "upstream_unavailable", "timeout")
    assert time.monotonic() - started < BOUND


ENDLESS_HEADERS = b"HTTP/1.1 200 OK\r\nX-Request-Id: r-1\r\n" + b"X-More: and more\r\n" * 90
DRIPS = {
    "status line": b"HTTP/1.1 200 " + b"O" * 3000,
    "headers": ENDLESS_HEADERS,
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 200,
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b" " * 3000,
    "body without length": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 3000,
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n" + b" " * 3000,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 500,
    "chunk trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-T: t\r\n" * 400,
    "refusal": b"HTTP/1.1 503 No\r\nContent-Length: 3000\r\n\r\n" + b" " * 3000,
}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS.keys())
def test_answer_that_drips_is_bounded_as_a_whole(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, drip: bytes, tls: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    # Each byte comes well within the time-out, all of them take many times as long.
    head, _, tail = drip.partition(b"\r\n\r\n") if b"Length" in drip or b"Encoding" in drip else (b"", b"", drip)

    def script(line: Line, request: Request) -> None:
        line.send(head + b"\r\n\r\n" if head else b"")
        line.drip(tail, gap=0.01)

    server = serve(script, CERTIFICATE if tls else None)
    started = time.monotonic()
    result = connect(server.url, read_timeout=SHORT).get_transaction("a")
    assert code_of(result) == (None, "upstream_unavailable", "timeout")
    assert time.monotonic() - started < BOUND


def test_time_out_in_a_body_keeps_the_request_id_and_retry_after(serve: Serve, connect: Connect) -> None:
    def script(line: Line, request: Request) -> None:
        line.send(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\nX-Request-Id: r-7\r\nRetry-After: 12\r\n\r\n{")
        line.hang()

    failure = connect(serve(script).url, read_timeout=SHORT).get_transaction("a")
    assert isinstance(failure, Failure)
    assert (failure.code, failure.request_id, failure.retry_after) == ("timeout", "r-7", 12.0)


def test_connection_that_is_not_accepted_is_a_timeout(connect: Connect) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:  # the backlog is full after the first of them
                filler.setblocking(False)
                filler.connect_ex(address)
            started = time.monotonic()
            client = connect(f"http://127.0.0.1:{address[1]}", connect_timeout=SHORT, read_timeout=SHORT)
            assert code_of(client.get_transaction("a")) == (None, "upstream_unavailable", "timeout")
            assert time.monotonic() - started < BOUND
        finally:
            for filler in fillers:
                filler.close()


def test_name_servers_that_never_answer_hold_up_no_call_and_one_thread(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three silent ones take the system's resolver 28 s, a lease: workers would seem to have died with their calls."""
    asked: list[str] = []
    answers = threading.Event()

    def never_answers(host: str, *_: object) -> None:
        asked.append(host)
        answers.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never_answers)
    client = connect("http://proof.test", connect_timeout=SHORT, read_timeout=SHORT)
    try:
        with ThreadPoolExecutor(8) as threads:
            failures = list(threads.map(client.get_transaction, "abcdefgh"))
        assert {code_of(failure) for failure in failures} == {(None, "upstream_unavailable", "timeout")}
        assert asked == ["proof.test"]
    finally:
        answers.set()


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 100000000000\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n"],
    ids=["length", "no length", "chunked"],
)
def test_huge_body_is_read_no_further_than_the_cap(serve: Serve, connect: Connect, head: bytes) -> None:
    sent = 0

    def script(line: Line, request: Request) -> None:
        nonlocal sent
        line.send(b"HTTP/1.1 200 OK\r\n" + head)
        while not line.stopping.is_set():
            line.send(b" " * 65536)
            sent += 65536

    failure = connect(serve(script).url, max_body_bytes=10_000).get_transaction("a")
    assert code_of(failure) == (200, "upstream_unavailable", "upstream_invalid_response")
    assert sent < 50_000_000  # what the kernel's buffers take, and no more


def test_chunk_of_negative_length_is_read_no_further_than_the_wire_cap(serve: Serve, connect: Connect) -> None:
    def script(line: Line, request: Request) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
        while not line.stopping.is_set():
            line.send(b" " * 65536)

    failure = connect(serve(script).url, read_timeout=60).get_transaction("a")
    assert code_of(failure) == (200, "upstream_unavailable", "upstream_invalid_response")


def test_body_as_large_as_the_cap_is_read(serve: Serve, connect: Connect, transaction: dict[str, Any]) -> None:
    body = json.dumps(transaction | {"merchant_transaction_id": "a"}).encode()
    server = serve(lambda line, _: line.reply(200, body))
    assert isinstance(connect(server.url, max_body_bytes=len(body)).get_transaction("a"), Confirmed)
    assert isinstance(connect(server.url, max_body_bytes=len(body) - 1).get_transaction("a"), Failure)


def test_compressed_bomb_is_inflated_no_further_than_the_cap(serve: Serve, connect: Connect) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    server = serve(lambda line, _: line.reply(200, bomb, {"Content-Encoding": "gzip"}))
    failure = connect(server.url).get_transaction("a")
    assert code_of(failure) == (200, "upstream_unavailable", "upstream_invalid_response")
    assert "larger" in getattr(failure, "message", "")


@pytest.mark.parametrize(
    ("compress", "coding"),
    [(gzip.compress, "gzip"), (gzip.compress, "identity"), (zlib.compress, "deflate"), (bytes, "gzip"), (bytes, "br")],
)
def test_body_compressed_though_nobody_asked_is_read(
    serve: Serve, connect: Connect, transaction: dict[str, Any], compress: Callable[[bytes], bytes], coding: str
) -> None:
    body = compress(json.dumps(transaction | {"merchant_transaction_id": "a"}).encode())
    server = serve(lambda line, _: line.reply(200, body, {"Content-Encoding": coding}))
    assert isinstance(connect(server.url).get_transaction("a"), Confirmed)


def test_compressed_refusal_is_read(serve: Serve, connect: Connect) -> None:
    body = gzip.compress(b'{"error": "not_found", "code": "not_found", "message": "m"}')
    server = serve(lambda line, _: line.reply(404, body, {"Content-Encoding": "gzip"}))
    assert code_of(connect(server.url).get_transaction("a")) == (404, "not_found", "not_found")


@pytest.mark.parametrize(
    ("body", "coding", "why"),
    [
        (gzip.compress(b"{}" * 9)[:-9], "gzip", "ended"),
        (b"\x1f\x8bnothing", "gzip", "compressed"),
        (b"\x0b\x02\x80{}\x03", "br", "compressed"),
    ],
    ids=["cut off", "damaged", "unknown coding"],
)
def test_compressed_body_that_cannot_be_read_is_an_invalid_response(
    serve: Serve, connect: Connect, body: bytes, coding: str, why: str
) -> None:
    server = serve(lambda line, _: line.reply(200, body, {"Content-Encoding": coding}))
    failure = connect(server.url).get_transaction("a")
    assert code_of(failure) == (200, "upstream_unavailable", "upstream_invalid_response")
    assert why in getattr(failure, "message", "")


# Broken connections


def test_refused_port_is_a_failed_connection(connect: Connect) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = connect(f"http://127.0.0.1:{unused.getsockname()[1]}")
        failure = client.get_transaction("a")
    assert code_of(failure) == (None, "upstream_unavailable", "connection_failed")
    assert "refused" in getattr(failure, "message", "")


def test_unknown_host_is_a_failed_connection(connect: Connect) -> None:
    failure = connect("http://proof.invalid").get_transaction("a")
    assert code_of(failure) in [
        (None, "upstream_unavailable", "connection_failed"),
        (None, "upstream_unavailable", "timeout"),  # a machine whose resolver does not answer
    ]


NOT_HTTP = {
    "nothing": b"",
    "garbage": b"\x00\xff\x16\x03\x01 garbage\r\n\r\n",
    "another protocol": b"220 mail.test ESMTP\r\n",
    "half a status line": b"HTTP/1.1 20",
    "bad version": b"HTTP/9.9 200 OK\r\n\r\n{}",
    "bad status": b"HTTP/1.1 two OK\r\n\r\n{}",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n{}",
    "endless header line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_answer_that_is_not_http_is_a_failed_connection(serve: Serve, connect: Connect, answer: bytes) -> None:
    def script(line: Line, request: Request) -> None:
        line.send(answer)
        line.close()

    failure = connect(serve(script).url).get_transaction("a")
    assert code_of(failure) == (None, "upstream_unavailable", "connection_failed")
    gc.collect()  # an unclosed socket would warn here, and warnings are errors


@pytest.mark.parametrize("manner", [Line.close, Line.reset], ids=["closed", "reset"])
@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 500\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"Content-Length: 500\r\n\r\n"],
)
def test_truncated_body_is_known_by_its_status(
    serve: Serve, connect: Connect, head: bytes, status: int, manner: Callable[[Line], None]
) -> None:
    def script(line: Line, request: Request) -> None:
        line.send(b"HTTP/1.1 %d Whatever\r\nX-Request-Id: r-1\r\n" % status + head)
        if manner is Line.reset:
            line.stopping.wait(0.2)  # a reset would overtake the headers
        manner(line)

    failure = connect(serve(script).url).get_transaction("a")
    expected = ("upstream_unavailable", "upstream_invalid_response") if status == 200 else ("unrecognised_answer", "")
    assert isinstance(failure, Failure)
    assert (failure.http_status, failure.error, failure.request_id) == (status, expected[0], "r-1")
    assert failure.code == (expected[1] or "truncated")


def test_reset_before_an_answer_is_a_failed_connection(serve: Serve, connect: Connect) -> None:
    server = serve(lambda line, _: line.reset())
    assert code_of(connect(server.url).get_transaction("a")) == (None, "upstream_unavailable", "connection_failed")
    assert code_of(connect(server.url).open_session(b"{}")) == (None, "upstream_unavailable", "connection_failed")
    assert len(server.requests) == 2  # a new connection that breaks is no stale one: nothing was said twice


def test_plain_http_behind_an_https_url_is_a_tls_failure(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(10_000)
                sock.sendall(b"HTTP/1.1 400 The plain HTTP request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        failure = connect(f"https://127.0.0.1:{listener.getsockname()[1]}").get_transaction("a")
        thread.join(10)
    assert code_of(failure) == (None, "upstream_unavailable", "tls_failed")


def test_untrusted_certificate_is_a_tls_failure_and_nothing_is_sent(serve: Serve, connect: Connect) -> None:
    server = serve(lambda line, _: line.reply(200, b"{}"), CERTIFICATE)
    failure = connect(server.url).get_transaction("a")
    assert code_of(failure) == (None, "upstream_unavailable", "tls_failed")
    assert "certificate" in getattr(failure, "message", "")
    assert server.requests == []


def test_certificate_of_another_host_is_a_tls_failure(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    server = serve(lambda line, _: line.reply(200, b"{}"), CERTIFICATE)
    # 127.1 is another way to write 127.0.0.1, which the certificate names, and is itself no name in it.
    failure = connect(f"https://127.1:{server.port}").get_transaction("a")
    assert code_of(failure) == (None, "upstream_unavailable", "tls_failed")
    assert server.requests == []


def test_trusted_certificate_is_accepted(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, transaction: dict[str, Any]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    server = serve(answer_any_id(transaction), CERTIFICATE)
    client = connect(server.url)
    assert isinstance(client.get_transaction("a"), Confirmed)
    assert isinstance(connect(f"https://localhost:{server.port}").get_transaction("b"), Confirmed)


def test_call_after_close_is_a_failure(serve: Serve, connect: Connect, transaction: dict[str, Any]) -> None:
    client = connect(serve(answer_any_id(transaction)).url)
    client.close()
    assert code_of(client.get_transaction("a")) == (None, "upstream_unavailable", "connection_failed")


# Kept connections


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_connection_is_kept_for_the_next_call(
    serve: Serve, connect: Connect, transaction: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    server = serve(answer_any_id(transaction), CERTIFICATE if tls else None)
    client = connect(server.url)
    for number in range(20):
        assert isinstance(client.get_transaction(f"a-{number}"), Confirmed)
    assert server.connections == 1


def test_connection_outlives_a_refusal(serve: Serve, connect: Connect, transaction: dict[str, Any]) -> None:
    server = serve(lambda line, _: line.reply(404, b"<html>"))
    client = connect(server.url)
    client.get_transaction("a")
    server.script = answer_any_id(transaction)
    assert isinstance(client.get_transaction("a"), Confirmed)
    assert server.connections == 1


def close_on_second_request(reset: bool, transaction: dict[str, Any]) -> Callable[[Line, Request], None]:
    """What a client sees when the server's idle time-out and the next call cross on the wire."""

    def script(line: Line, request: Request) -> None:
        if line.answers:
            line.reset() if reset else line.close()
        answer_any_id(transaction)(line, request)

    return script


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_get_on_a_stale_connection_is_said_again(
    serve: Serve, connect: Connect, transaction: dict[str, Any], reset: bool
) -> None:
    server = serve(close_on_second_request(reset, transaction))
    client = connect(server.url)
    for number in range(5):
        assert isinstance(client.get_transaction(f"a-{number}"), Confirmed)
    assert server.connections == 5


def test_post_on_a_stale_connection_is_never_said_again(
    serve: Serve, connect: Connect, transaction: dict[str, Any]
) -> None:
    server = serve(close_on_second_request(False, transaction))
    client = connect(server.url)
    client.open_session(b"{}")
    assert code_of(client.open_session(b"{}")) == (None, "upstream_unavailable", "connection_failed")
    assert len(server.requests) == 2


def test_connection_closed_while_idle_is_replaced_for_post_too(
    serve: Serve, connect: Connect, transaction: dict[str, Any]
) -> None:
    closed = threading.Event()

    def script(line: Line, request: Request) -> None:
        line.reply_json(200, {"merchant_transaction_id": "a"})
        line.sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    server = serve(script)
    client = connect(server.url)
    assert isinstance(client.open_session(b"{}"), Session)
    assert closed.wait(10)
    assert isinstance(client.open_session(b"{}"), Session)
    assert len(server.requests) == 2


def test_stale_connection_is_tried_once_more_and_no_oftener(serve: Serve, connect: Connect) -> None:
    answers = itertools.count()

    def script(line: Line, request: Request) -> None:
        if next(answers):
            line.close()
        line.reply(404, b"{}")

    server = serve(script)
    client = connect(server.url)
    client.get_transaction("a")
    assert code_of(client.get_transaction("a")) == (None, "upstream_unavailable", "connection_failed")
    assert len(server.requests) == 3


def test_rest_of_one_answer_is_not_taken_for_the_next(
    serve: Serve, connect: Connect, transaction: dict[str, Any]
) -> None:
    """103 Early Hints is no final answer (RFC 8297); what follows it belongs to the call before."""
    late = threading.Event()

    def script(line: Line, request: Request) -> None:
        if line.number == 1:
            line.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            late.wait(10)
            line.reply_json(200, {"merchant_transaction_id": "of-another-session"})
        else:
            line.reply_json(200, {"merchant_transaction_id": "mine"})

    client = connect(serve(script).url)
    assert code_of(client.open_session(b"{}")) == (103, "unrecognised_answer", "empty")
    late.set()
    session = client.open_session(b"{}")
    assert isinstance(session, Session)
    assert session.merchant_transaction_id == "mine"


def test_a_hundred_calls_at_once_share_the_client(serve: Serve, connect: Connect, transaction: dict[str, Any]) -> None:
    server = serve(answer_any_id(transaction))
    client = connect(server.url, pool_size=100)
    barrier = threading.Barrier(100)

    def ask(number: int) -> Confirmed | Failure:
        barrier.wait(30)
        return client.get_transaction(f"a-{number}")

    with ThreadPoolExecutor(100) as threads:
        for _ in range(3):
            results = list(threads.map(ask, range(100)))
            assert [getattr(result, "merchant_transaction_id", result) for result in results] == [
                f"a-{number}" for number in range(100)
            ]
    assert server.connections <= 100


def test_calls_beyond_the_pool_get_connections_of_their_own(
    serve: Serve, connect: Connect, transaction: dict[str, Any]
) -> None:
    client = connect(serve(answer_any_id(transaction)).url, pool_size=1)
    with ThreadPoolExecutor(20) as threads:
        results = list(threads.map(client.get_transaction, [f"a-{number}" for number in range(200)]))
    assert all(isinstance(result, Confirmed) for result in results)


def test_tokens_rotate_under_concurrent_calls(serve: Serve, connect: Connect, transaction: dict[str, Any]) -> None:
    server = serve(refusing("new-token", transaction=transaction))
    client = connect(server.url, ("new-token", "old-token"), pool_size=20)
    with ThreadPoolExecutor(20) as threads:
        for refused in ("new-token", "old-token", "new-token"):
            server.script = refusing(refused, transaction=transaction)
            results = list(threads.map(client.get_transaction, [f"a-{number}" for number in range(100)]))
            assert all(isinstance(result, Confirmed) for result in results)


# Redirects and the environment


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_a_failure_and_never_followed(serve: Serve, connect: Connect, status: int) -> None:
    elsewhere = serve(lambda line, _: line.reply(200, b"{}"))
    server = serve(lambda line, _: line.reply(status, b"", {"Location": elsewhere.url + "/stolen"}))
    client = connect(server.url)
    assert code_of(client.get_transaction("a")) == (status, "unrecognised_answer", "redirect")
    assert code_of(client.open_session(b"{}")) == (status, "unrecognised_answer", "redirect")
    assert elsewhere.requests == []
    assert len(server.requests) == 2


def test_proxies_of_the_environment_are_not_used(
    serve: Serve, connect: Connect, transaction: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(lambda line, _: line.reply(200, b"{}"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert isinstance(connect(serve(answer_any_id(transaction)).url).get_transaction("a"), Confirmed)
    assert proxy.requests == []


def test_cookies_are_not_kept(serve: Serve, connect: Connect) -> None:
    server = serve(lambda line, _: line.reply(404, b"{}", {"Set-Cookie": "session=1"}))
    client = connect(server.url)
    client.get_transaction("a")
    client.get_transaction("a")
    assert all("cookie" not in request.headers for request in server.requests)
