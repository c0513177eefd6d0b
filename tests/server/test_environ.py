"""The WSGI environ that the application is given, and how its answers are taken: PEP 3333, by its own validator."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.validate import validator

import pytest

from webhook_app.server.asgi import Environ, Scope
from webhook_app.server.clients import counted_client
from webhook_app.server.environ import Head
from webhook_app.server.responses import Response
from webhook_app.server.wsgi import call_application

StartResponse = Callable[..., Callable[[bytes], object]]


def scope(*headers: tuple[bytes, bytes], **changes: Any) -> Scope:
    """As granian gives it."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "raw_path": b"/a%20b/%C3%A9",
        "query_string": b"q=%20",
        "client": ("192.0.2.1", "4711"),
        "server": ("127.0.0.1", "8000"),
        "headers": [(b"host", b"example.org"), *headers],
        **changes,
    }


def call(application: Callable[[Environ, StartResponse], Iterable[bytes]], body: bytes = b"hello") -> Response:
    environ = Head(scope((b"content-length", str(len(body)).encode()), (b"content-type", b"text/plain"))).environ
    environ["wsgi.input"] = io.BytesIO(body)
    return call_application(application, environ)


def test_validator_of_the_standard_library_finds_nothing() -> None:
    seen: dict[str, Any] = {}

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        seen.update(environ, body=environ["wsgi.input"].read(99))
        start_response("202 Accepted", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"o", b"k"]

    answer = call(validator(application))
    assert (answer.status, answer.body) == (202, b"ok")
    assert seen["body"] == b"hello"
    assert seen["PATH_INFO"] == "/a b/\xc3\xa9"
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("127.0.0.1", "8000")
    assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("192.0.2.1", "4711")
    assert (seen["CONTENT_LENGTH"], seen["CONTENT_TYPE"]) == ("5", "text/plain")


def test_answer_is_what_was_written_and_what_was_returned() -> None:
    def application(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"a")
        return iter([b"", b"b"])

    assert call(application).body == b"ab"


def test_answer_may_be_begun_with_its_first_bytes_and_begun_again_for_an_error() -> None:
    def application(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oh", [("X-A", "é")], sys.exc_info())
        yield b"sorry"

    answer = call(application)
    assert (answer.status, answer.headers, answer.body) == (500, [(b"X-A", b"\xe9")], b"sorry")


def test_length_that_is_wrong_is_not_sent() -> None:
    """The server would wait for the rest for ever."""

    def application(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "7"), ("X-A", "a")])
        return [b"ok"]

    assert call(application).headers == [(b"X-A", b"a")]


def test_answer_is_closed_however_it_ends() -> None:
    class Chunks:
        is_closed = False

        def __iter__(self) -> Iterable[bytes]:
            yield b"a"
            raise ZeroDivisionError

        def close(self) -> None:
            self.is_closed = True

    chunks = Chunks()

    def application(_environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        return chunks

    with pytest.raises(ZeroDivisionError):
        call(application)
    assert chunks.is_closed


@pytest.mark.parametrize(
    ("forwarded", "hops", "client"),
    [
        ("", 0, "192.0.2.1"),
        ("10.0.0.1", 0, "192.0.2.1"),
        ("10.0.0.1", 1, "10.0.0.1"),
        ("6.6.6.6, 10.0.0.1", 1, "10.0.0.1"),
        ("6.6.6.6, 10.0.0.1 ,10.0.0.2", 2, "10.0.0.1"),
        ("10.0.0.1:51234", 1, "10.0.0.1"),
        ("[2001:db8::1]:51234", 1, "2001:db8::/64"),
        ("2001:db8::1", 1, "2001:db8::/64"),
        ("::ffff:10.0.0.1", 1, "10.0.0.1"),
        ("unknown", 1, "unknown"),
        ("x" * 999, 1, "x" * 64),
        ("", 1, None),
        (" , ", 1, None),
        ("10.0.0.1", 2, None),
    ],
)
def test_request_counts_for_the_client_that_our_proxies_name(forwarded: str, hops: int, client: str | None) -> None:
    assert counted_client("192.0.2.1", forwarded, hops) == client
