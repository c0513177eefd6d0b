"""The beginning of an answer that failed or was not understood is kept for people, without what is personal in it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.hostile_server import HostileServer, Line, Request
from webhook_app.adapters.proof import ProofClient
from webhook_app.domain.failures import Failure

Serve = Callable[..., HostileServer]
Connect = Callable[..., ProofClient]


@pytest.fixture
def body_of(serve: Serve, connect: Connect) -> Callable[..., str | None]:
    """What is kept of an answer with that status and body."""

    def ask(status: int, body: bytes, headers: dict[str, str] | None = None, **options: Any) -> str | None:
        server = serve(lambda line, _: line.reply(status, body, headers))
        failure = connect(server.url, ("secret-token-1",), **options).get_transaction("t")
        assert isinstance(failure, Failure)
        return failure.answer_body

    return ask


def test_error_in_proofs_shape_is_kept_as_it_is(body_of: Callable[..., str | None]) -> None:
    body = {"error": "upstream_error", "code": "provider_error", "message": "the provider is down"}
    assert body_of(502, json.dumps(body).encode()) == json.dumps(body)


def test_headers_that_say_who_answered_are_kept_and_no_others(serve: Serve, connect: Connect) -> None:
    sent = {"Content-Type": "text/html", "Via": "1.1 edge", "Server": "secret-token-1", "Set-Cookie": "a=b"}
    server = serve(lambda line, _: line.reply(503, b"<h1>Busy</h1>", sent | {"Retry-After": "7"}))
    failure = connect(server.url, ("secret-token-1",)).get_transaction("t")
    assert isinstance(failure, Failure)
    assert failure.answer_headers == "Content-Type: text/html\nRetry-After: 7\nServer: ***\nVia: 1.1 edge"


def test_success_that_is_not_understood_is_kept(body_of: Callable[..., str | None]) -> None:
    assert body_of(200, b"<h1>Welcome</h1>") == "<h1>Welcome</h1>"


def test_personal_fields_and_our_token_are_masked(body_of: Callable[..., str | None]) -> None:
    kept = body_of(400, b'{"user_email": "ada@example.com", "given": "secret-token-1", "client_ip": "203.0.113.7"}')
    assert kept == '{"user_email": "***", "given": "***", "client_ip": "***"}'


@pytest.mark.parametrize("letter", ["x ", "é ", "🙂 "])
def test_it_is_cut_at_a_character(body_of: Callable[..., str | None], letter: str) -> None:
    assert body_of(500, (letter * 5000).encode()) == (letter * 512)


def test_cut_leaves_no_half_of_a_token(body_of: Callable[..., str | None]) -> None:
    """What is masked makes room for what stood where the reading ended."""
    body = b'{"user": {"address": "%s"}, "given": "' % (b"x" * 8143) + b"secret-token-1" * 2
    kept = body_of(500, body)
    assert kept is not None
    assert "secret" not in kept


def test_bytes_that_are_no_text_are_replaced(body_of: Callable[..., str | None]) -> None:
    assert body_of(500, b"caf\xe9 \x00 end") == "caf\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER} end"


def test_empty_answer_has_none(body_of: Callable[..., str | None]) -> None:
    assert body_of(503, b"") is None


def test_answer_that_is_too_large_shows_how_it_begins(body_of: Callable[..., str | None]) -> None:
    assert body_of(200, b"a " * 600, max_body_bytes=1000) == "a " * 500 + "a"


def test_compressed_answer_that_is_damaged_shows_nothing(body_of: Callable[..., str | None]) -> None:
    assert body_of(200, gzip.compress(b"{}" * 100)[:-9]) is None
    assert body_of(200, b"\x00\x01", {"Content-Encoding": "br"}) is None


def test_answer_that_breaks_off_shows_what_came(serve: Serve, connect: Connect) -> None:
    def script(line: Line, _: Request) -> None:
        line.send(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nit began so")
        line.close()

    failure = connect(serve(script).url).get_transaction("t")
    assert isinstance(failure, Failure)
    assert failure.answer_body == "it began so"


def test_no_answer_has_none(connect: Connect) -> None:
    failure = connect("http://127.0.0.1:1").get_transaction("t")
    assert isinstance(failure, Failure)
    assert failure.answer_body is None
