"""A request's way through the bridge, by the byte: framing, hosts, header names, limits, order."""

from __future__ import annotations

import json

import pytest

from tests.support.events import webhook
from tests.support.raw_http import RawAnswer, ask, connected
from tests.support.web_process import WebProcess

HOST = b"Host: example.org\r\n"
ECHO = b"POST /api/v1/echo HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def error_of(answer: RawAnswer) -> tuple[int, str, str]:
    assert len(answer.headers["x-request-id"]) == 32
    body = answer.json()
    assert body["message"]
    return answer.status, body["error"], body["code"]


def requests_seen(probe: WebProcess) -> int:
    """How many the application has been given, this one included."""
    seen: int = ask(probe.port, b"GET /api/v1/counts HTTP/1.1\r\n", HOST, b"\r\n").json()["requests"]
    return seen


@pytest.mark.parametrize(
    ("framed", "body"),
    [
        (b"Content-Length: 5\r\n\r\nhello", "hello"),
        (CHUNKED + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"),
        (CHUNKED + b"5;name=value\r\nhello\r\n0\r\nX-Trailer: a\r\nContent-Length: 99\r\n\r\n", "hello"),
        (CHUNKED + b"0\r\n\r\n", ""),
        (b"Content-Length: 0\r\n\r\n", ""),
        (b"\r\n", ""),
    ],
)
def test_body_reaches_the_application_whole_however_it_is_framed(probe: WebProcess, framed: bytes, body: str) -> None:
    with connected(probe.port) as connection:
        for _ in range(2):  # the connection is good for more
            connection.send(ECHO + framed)
            told = connection.answer().json()
            assert told["body"] == body
            assert told["environ"].get("CONTENT_LENGTH", "0") == str(len(body))
            assert not {"HTTP_TRANSFER_ENCODING", "HTTP_X_TRAILER"} & told["environ"].keys()


def test_body_in_many_pieces_is_one_body(probe: WebProcess) -> None:
    with connected(probe.port) as connection:
        connection.send(ECHO, b"Content-Length: 5\r\n", b"\r\n", b"h", b"el", b"lo")
        assert connection.answer().json()["body"] == "hello"


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: 50\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
    ],
)
def test_body_that_ends_early_is_no_request(probe: WebProcess, framed: bytes) -> None:
    seen = requests_seen(probe)
    with connected(probe.port) as connection:
        connection.send(ECHO + framed)
        connection.socket.shutdown(1)
        assert error_of(connection.answer()) == (400, "invalid_request", "decode_error")
        assert connection.rest() == b""
    assert requests_seen(probe) == seen + 1


def test_chunk_that_is_none_is_refused(probe: WebProcess) -> None:
    with connected(probe.port) as connection:
        connection.send(ECHO + CHUNKED + b"5\r\nhello\r\nzz\r\n")
        assert error_of(connection.answer()) == (400, "invalid_request", "decode_error")
        assert connection.rest() == b""


@pytest.mark.parametrize(
    "coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"chunked\r\nTransfer-Encoding: gzip"]
)
def test_no_transfer_coding_but_chunked_is_taken(probe: WebProcess, coding: bytes) -> None:
    answer = ask(probe.port, ECHO, b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n")
    assert answer.status == 400


def test_two_lengths_are_refused_and_chunks_with_a_length_end_the_connection(probe: WebProcess) -> None:
    """Where a proxy and we could disagree on where the next request begins (RFC 9112, 6.3 and 11.2)."""
    assert ask(probe.port, ECHO, b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!").status == 400
    assert ask(probe.port, ECHO, b"Content-Length: 5, 6\r\n\r\nhello!").status == 400
    with connected(probe.port) as connection:
        connection.send(
            ECHO + b"Content-Length: 4\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
        )
        assert connection.answer().json()["body"] == "hello"
        assert connection.rest() == b""


@pytest.mark.parametrize("hosts", [b"", b"Host:\r\n", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nhost: a\r\n"])
@pytest.mark.parametrize("path", [b"/", b"/healthz", b"/webhooks/proof"])
def test_one_host_is_needed(probe: WebProcess, path: bytes, hosts: bytes) -> None:
    answer = ask(probe.port, b"GET " + path + b" HTTP/1.1\r\n", hosts, b"\r\n")
    assert error_of(answer) == (400, "invalid_request", "invalid_host")
    assert "Host" in answer.json()["message"]


def test_http_1_0_is_answered_without_a_host_and_ends_the_connection(probe: WebProcess) -> None:
    with connected(probe.port) as connection:
        connection.send(b"GET /api/v1/echo HTTP/1.0\r\n\r\n")
        told = connection.answer().json()["environ"]
        assert told["SERVER_PROTOCOL"] == "HTTP/1.0"
        assert "HTTP_HOST" not in told
        assert connection.rest() == b""


def test_header_with_an_underscore_never_counts(probe: WebProcess) -> None:
    """WSGI would make one key of it and the dashed name that a proxy of ours sets."""
    sent = b"X_Forwarded_User: admin\r\nX_Forwarded-For: 10.9.9.9\r\nContent_Length: 7\r\nX-Forwarded-For: 10.1.1.1\r\n"
    told = ask(probe.port, b"GET /api/v1/echo HTTP/1.1\r\n", HOST, sent, b"\r\n").json()["environ"]
    assert told["HTTP_X_FORWARDED_FOR"] == "10.1.1.1"
    assert told["REMOTE_ADDR"] == "10.1.1.1"
    assert "HTTP_X_FORWARDED_USER" not in told
    assert "CONTENT_LENGTH" not in told


def test_headers_arrive_as_they_were_sent(probe: WebProcess) -> None:
    sent = b"Accept: a\r\nACCEPT: b\r\nCookie: c=1\r\nCookie: d=2\r\nUser-Agent: caf\xe9\r\nContent-Type: text/x\r\n"
    told = ask(probe.port, b"GET /api/v1/ech%6f?a=%20%ff HTTP/1.1\r\n", HOST, sent, b"\r\n").json()["environ"]
    assert told["HTTP_ACCEPT"] == "a,b"
    assert told["HTTP_COOKIE"] == "c=1; d=2"
    assert told["HTTP_USER_AGENT"] == "caf\xe9"
    assert told["CONTENT_TYPE"] == "text/x"
    assert (told["PATH_INFO"], told["QUERY_STRING"]) == ("/api/v1/echo", "a=%20%ff")
    assert told["REMOTE_PORT"].isdigit()


def test_answers_to_several_requests_at_once_come_in_order(probe: WebProcess) -> None:
    with connected(probe.port) as connection:
        connection.send(b"".join(ECHO + b"Content-Length: 1\r\n\r\n" + str(n).encode() for n in range(5)))
        assert [connection.answer().json()["body"] for _ in range(5)] == ["0", "1", "2", "3", "4"]


def test_who_expects_a_hundred_is_told_to_go_on(probe: WebProcess) -> None:
    with connected(probe.port) as connection:
        connection.send(ECHO + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert connection.answer().status == 100
        connection.send(b"hello")
        assert connection.answer().json()["body"] == "hello"


def test_who_expects_a_hundred_for_too_much_is_refused_before_it_sends(probe: WebProcess) -> None:
    with connected(probe.port) as connection:
        connection.send(
            b"POST /webhooks/proof HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 65537\r\n\r\n"
        )
        assert error_of(connection.answer()) == (413, "invalid_request", "too_large")
        assert connection.rest() == b""


@pytest.mark.parametrize(("path", "limit"), [(b"/webhooks/proof", 64 * 1024), (b"/api/v1/echo", 1024 * 1024)])
def test_size_is_limited_to_the_byte_for_each_route(probe: WebProcess, path: bytes, limit: int) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\n" + HOST
    event = json.dumps(webhook()).encode()
    for size, is_taken in ((limit, True), (limit + 1, False), (limit + 100_000, False)):
        body = event.ljust(size)
        announced = ask(probe.port, head, b"Content-Length: %d\r\n\r\n" % size, body)
        chunked = ask(probe.port, head, CHUNKED, b"%x\r\n" % size, body, b"\r\n0\r\n\r\n")
        for answer in (announced, chunked):
            if is_taken:
                assert answer.status in (200, 202)
            else:
                assert error_of(answer) == (413, "invalid_request", "too_large")


def test_body_in_thousands_of_pieces_is_refused(patient_probe: WebProcess) -> None:
    """Each piece costs the server as much as a request."""
    with connected(patient_probe.port) as connection:
        connection.send(ECHO + CHUNKED + b"1\r\n \r\n" * 4000 + b"0\r\n\r\n")
        assert len(connection.answer().json()["body"]) == 4000
        connection.send(ECHO + CHUNKED + b"1\r\n \r\n" * 5000)
        assert error_of(connection.answer()) == (400, "invalid_request", "validation_error")


def test_far_too_large_a_body_is_refused_before_it_is_sent(probe: WebProcess) -> None:
    for announced in (b"99999999", b"9223372036854775807"):
        with connected(probe.port) as connection:
            connection.send(
                b"POST /webhooks/proof HTTP/1.1\r\n" + HOST + b"Content-Length: " + announced + b"\r\n\r\n{"
            )
            assert error_of(connection.answer()) == (413, "invalid_request", "too_large")
            assert connection.rest() == b""


def test_head_is_answered_without_a_body(probe: WebProcess) -> None:
    with connected(probe.port) as connection:
        for path in (b"/api/v1/sized/70000", b"/healthz", b"/readyz", b"/static/pages.css"):
            connection.send(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            size = connection.answer().headers["content-length"]
            connection.send(b"HEAD " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connection.answer(is_head=True).headers["content-length"] == size


def test_health_is_told_as_the_application_tells_it(probe: WebProcess) -> None:
    """With the headers of every answer, though it is asked only once."""
    told = ask(probe.port, b"GET /healthz HTTP/1.1\r\n", HOST, b"\r\n")
    cheap = ask(probe.port, b"GET /nothing HTTP/1.1\r\n", HOST, b"\r\n")
    assert (told.status, told.json()) == (200, {"status": "alive"})
    assert told.headers["x-request-id"] != cheap.headers["x-request-id"]
    assert told.headers["x-content-type-options"] == cheap.headers["x-content-type-options"] == "nosniff"


def test_file_of_ours_arrives_whole(probe: WebProcess) -> None:
    answer = ask(probe.port, b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n", HOST, b"\r\n")
    assert len(answer.body) > 1_000_000
    assert answer.headers["content-type"].startswith("text/javascript")
    kept = b"If-None-Match: " + answer.headers["etag"].encode() + b"\r\n"
    with connected(probe.port) as connection:
        connection.send(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n" + HOST + kept + b"\r\n")
        assert connection.answer().status == 304
        connection.send(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n" + HOST + b"Range: bytes=10-29\r\n\r\n")
        part = connection.answer()
        assert (part.status, part.body) == (206, answer.body[10:30])


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"OPTIONS *", 404), (b"CONNECT example.org:80", 405), (b"TRACE /healthz", 405), (b"POST /healthz", 405)],
)
def test_odd_methods_are_answered_in_shape(probe: WebProcess, line: bytes, status: int) -> None:
    answer = ask(probe.port, line + b" HTTP/1.1\r\n", HOST, b"\r\n")
    assert answer.status in (404, status)
    assert error_of(answer)[1] in ("not_found", "invalid_request")


def test_person_is_refused_by_a_page_and_a_program_by_json(probe: WebProcess) -> None:
    for path, is_page in ((b"/login", True), (b"/api/v1/echo", False)):
        line = (
            b"GET "
            + path
            + b" HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
        )
        answer = ask(probe.port, line)
        assert answer.status == 400
        assert answer.headers["content-type"].startswith("text/html" if is_page else "application/json")
