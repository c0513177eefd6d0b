"""Plain answers are read without `http.client`, and mean what they mean there: the same bytes in two pieces go its
way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile_server import HostileServer, Line, Request
from webhook_app.adapters import bounded_http, plain_answers
from webhook_app.adapters.plain_answers import read_plain
from webhook_app.adapters.proof import Confirmed, ProofClient

Serve = Callable[..., HostileServer]
Connect = Callable[..., ProofClient]

CERTIFICATE = str(Path(__file__).parent.parent / "data" / "localhost.pem")

OK = b"HTTP/1.1 200 OK\r\n"


def with_head(head: bytes, body: bytes = b"{}") -> bytes:
    return OK + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


PLAIN = {
    "one header": with_head(b""),
    "several": with_head(b"Content-Type: application/json\r\nX-Request-Id:r-1\r\nX: a: b\t c\r\n"),
    "the same twice": with_head(b"X: 1\r\nx: 2\r\n"),
    "an empty value": with_head(b"X-Request-Id: \r\n"),
    "kept alive": with_head(b"Connection: Keep-Alive\r\n"),
    "compressed": with_head(b"Content-Encoding: gzip\r\n", b"not gzip"),
    "no reason": b"HTTP/1.1 404 \r\nContent-Length: 2\r\n\r\n{}",
    "not even a blank": b"HTTP/1.1 404\r\nContent-Length: 2\r\n\r\n{}",
    "an empty body": with_head(b"", b""),
    "a failure": b"HTTP/1.1 503 Away\r\nRetry-After: 3\r\nContent-Length: 13\r\n\r\n<html></html>",
}
OTHER = {
    "nothing": b"",
    "not all of the body": with_head(b"", b"{}")[:-1],
    "more than the body": with_head(b"", b"{}") + b"x",
    "not all of the head": OK + b"Content-Length: 2\r\n",
    "an older version": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "an answer before the answer": b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n{}",
    "no length": OK + b"X: y\r\n\r\n{}",
    "two lengths": with_head(b"Content-Length: 2\r\n"),
    "a length of another kind": OK + b"Content-Length: +2\r\n\r\n{}",
    "a length in other digits": OK + "Content-Length: ²\r\n\r\n{}".encode(),
    "two framings": with_head(b"Transfer-Encoding: chunked\r\n"),
    "its last": with_head(b"Connection: close\r\n"),
    "another protocol": with_head(b"Connection: Upgrade\r\n"),
    "a folded line": with_head(b"X: y\r\n z\r\n"),
    "a blank before the colon": with_head(b"X : y\r\n"),
    "bytes that are not ASCII": with_head("X: é\r\n".encode()),
    "a control character": with_head(b"X: \x00\r\n"),
    "lines that end without CR": OK + b"X: y\nContent-Length: 2\r\n\r\n{}",
    "more headers than http.client takes": with_head(b"X: y\r\n" * 100),
}


@pytest.mark.parametrize("received", OTHER.values(), ids=OTHER.keys())
def test_what_leaves_a_choice_is_not_plain(received: bytes) -> None:
    assert read_plain(received) is None


@pytest.mark.parametrize("certificate", [None, CERTIFICATE], ids=["http", "https"])
@pytest.mark.parametrize("answer", PLAIN.values(), ids=PLAIN.keys())
def test_plain_answer_means_what_it_means_to_http_client(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, answer: bytes, certificate: str | None
) -> None:
    """A server sends it in one piece, and then in two; the connection serves both calls, and one more."""
    if certificate:
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
    plain = _count_plain(monkeypatch)

    def script(line: Line, request: Request) -> None:
        line.answers += 1
        if line.answers == 2:
            line.send(answer[:12])
            line.stopping.wait(0.05)
            line.send(answer[12:])
        else:
            line.send(answer)

    server = serve(script, certificate)
    proof = connect(server.url.replace("127.0.0.1", "localhost"))
    first, second, third = (proof.get_transaction("a") for _ in range(3))
    assert first == second == third
    assert plain == [True, False, True]
    assert server.connections == 1


def test_transaction_is_read_from_a_plain_answer(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, transaction: dict[str, Any]
) -> None:
    plain = _count_plain(monkeypatch)
    server = serve(lambda line, _: line.reply_json(200, transaction, {"X-Request-Id": "r-1"}))
    answer = connect(server.url).get_transaction(transaction["merchant_transaction_id"])
    assert isinstance(answer, Confirmed), answer
    assert answer.request_id == "r-1"
    assert plain == [True]


def _count_plain(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each answer was plain."""
    found: list[bool] = []
    original: Callable[[bytes], plain_answers.PlainAnswer | None] = bounded_http.read_plain

    def read(received: bytes) -> plain_answers.PlainAnswer | None:
        answer = original(received)
        found.append(answer is not None)
        return answer

    monkeypatch.setattr(bounded_http, "read_plain", read)
    return found
