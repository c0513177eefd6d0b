"""The client of Proof's API: one call in, one typed result or one typed failure out, whatever happens on the way."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

from urllib3.util import parse_url

from webhook_app import __version__
from webhook_app.adapters.bounded_http import Server, StaleConnection, call_until
from webhook_app.adapters.client_tokens import ClientTokens
from webhook_app.adapters.content_coding import CutOff, TooLarge, UnreadableCoding, decode_content, is_plain
from webhook_app.adapters.plain_answers import PlainAnswer
from webhook_app.adapters.proof_answers import (
    MAX_BEGINNING,
    MAX_MESSAGE,
    Answer,
    Confirmed,
    Session,
    read_beginning,
    read_headers,
    read_request_id,
    read_retry_after,
    read_session,
    read_transaction,
)
from webhook_app.domain.drift import Drift
from webhook_app.domain.failures import (
    CONNECTION_FAILED,
    INVALID_REQUEST,
    TIMEOUT,
    TLS_FAILED,
    UNSENDABLE_ID,
    UPSTREAM_UNAVAILABLE,
    Failure,
)
from webhook_app.domain.masking import mask
from webhook_app.domain.text import storable

__all__ = ["Confirmed", "ProofClient", "Session"]


class ProofClient:
    """Calls Proof; safe to share between threads, not across a fork. Time-outs in seconds.

    A call takes at most `connect_timeout` to find the host's address, to connect and to send, and `read_timeout` for
    the whole answer; both together also where it has to try another token. `tokens` are newest first (proof/README.md,
    "To rotate the token"): one that Proof refuses with 401 is followed at once by the next, and the one that worked is
    remembered. `origin` is sent as the header of that name, by which Proof may know its partners. `pool_size` is the
    number of connections that are kept alive, not a limit on calls. Raises ValueError for a base URL or token that
    cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        tokens: Sequence[str],
        *,
        connect_timeout: float,
        read_timeout: float,
        pool_size: int,
        origin: str | None = None,
        max_body_bytes: int = 262_144,
    ) -> None:
        url = parse_url(base_url)
        if url.scheme not in ("http", "https") or not url.host or url.auth or url.query or url.fragment:
            raise ValueError("the base URL must be http(s)://host[:port][/prefix]")
        if not tokens or not all(_is_sendable(token) for token in tokens):
            # Checked here, for http.client would refuse it with a message that shows it.
            raise ValueError("a client token must be printable ASCII without spaces")
        self._address = f"{url.scheme}://{url.netloc}"
        self._prefix = (url.path or "").rstrip("/")
        self._own_headers = {"Origin": origin} if origin else {}
        self._tokens = ClientTokens(tokens)
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._max_body_bytes = max_body_bytes
        self._server = Server(url.scheme, url.host, url.port, pool_size)

    def __repr__(self) -> str:
        return f"ProofClient({self._address}{self._prefix})"

    def get_transaction(self, merchant_transaction_id: str, *, patience: float | None = None) -> Confirmed | Failure:
        """What Proof's API confirms of one transaction; the authority on its status. Never raises. Takes `patience`
        seconds at most, and never longer than any call may.

        The empty id, `.` and `..` cannot be asked for: RFC 3986, 5.2.4 and 6.2.2 let every hop drop such a segment,
        percent-encoded or not, so the question would reach another resource. They fail without a call.
        """
        if merchant_transaction_id in ("", ".", ".."):
            return Failure(None, INVALID_REQUEST, UNSENDABLE_ID, "no URL can carry this id; Proof was not asked")
        # A lone surrogate, which UTF-8 cannot carry, becomes `?` and so an id that Proof does not know.
        segment = quote(merchant_transaction_id, safe="", errors="replace")
        answer = self._call("GET", f"/widget/transactions/{segment}", None, patience)
        result = answer if isinstance(answer, Failure) else read_transaction(answer, merchant_transaction_id)
        if isinstance(result, Failure):
            return self._redact(result, answer)
        return replace(result, drift=self._hide_in(result.drift)) if result.drift else result

    def open_session(self, body: bytes, *, patience: float | None = None) -> Session | Failure:
        """The session that Proof makes of `body`, JSON that is sent as it is, in one call; the retry that Proof asks
        for is the caller's. Never raises. Takes `patience` seconds at most, and never longer than any call may."""
        answer = self._call("POST", "/widget/session", body, patience)
        result = answer if isinstance(answer, Failure) else read_session(answer)
        return self._redact(result, answer) if isinstance(result, Failure) else result

    def close(self) -> None:
        """Closes the idle connections; calls under way end, later ones fail."""
        self._server.close()

    def _call(self, method: str, path: str, body: bytes | None, patience: float | None = None) -> Answer | Failure:
        """The first answer that does not refuse the token, or the last 401 that there was time for."""
        longest = self._connect_timeout + self._read_timeout
        ends_at = time.monotonic() + (longest if patience is None else min(patience, longest))
        answer: Answer | Failure | None = None
        for token in self._tokens.in_order():
            if answer is not None and time.monotonic() >= ends_at:
                break
            with call_until(ends_at):
                answer = self._send(method, path, body, token)
            if isinstance(answer, Failure):
                return answer
            if answer.http_status != 401:
                if answer.http_status < 500:
                    self._tokens.accept(token)
                return answer
        assert answer is not None, "there is at least one token"
        return answer

    def _send(self, method: str, path: str, body: bytes | None, token: str) -> Answer | Failure:
        started = time.monotonic()
        try:
            try:
                return self._exchange(method, path, body, token, self._read_timeout)
            except OSError as error:
                seconds_left = self._read_timeout - (time.monotonic() - started)
                # Proof may have acted on a POST before the connection broke; a GET may be said twice.
                if method != "GET" or seconds_left <= 0 or not isinstance(error, StaleConnection):
                    raise
            return self._exchange(method, path, body, token, seconds_left)
        except (http.client.HTTPException, OSError, ValueError) as error:
            return _no_answer(error)

    def _exchange(
        self, method: str, path: str, body: bytes | None, token: str, read_timeout: float
    ) -> Answer | Failure:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {token}",
            "User-Agent": f"webhook-app/{__version__}",
            **self._own_headers,
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        with self._server.call(
            method,
            self._prefix + path,
            headers,
            body,
            connect_timeout=self._connect_timeout,
            read_timeout=read_timeout,
        ) as response:
            return self._receive(response)

    def _receive(self, response: http.client.HTTPResponse | PlainAnswer) -> Answer | Failure:
        headers = _read_headers(response)
        request_id = read_request_id(headers.get("x-request-id"))
        retry_after = read_retry_after(headers.get("retry-after"), datetime.now(UTC))
        damage, body, received = None, b"", bytearray()
        coding = headers.get("content-encoding")
        if response.status >= 200:
            try:
                self._read_body(response, received)
                body = decode_content(bytes(received), coding, self._max_body_bytes)
            except TooLarge:
                damage = "too_large"
            except CutOff:
                damage = "truncated"
            except UnreadableCoding:
                damage = "encoded"
            except (http.client.HTTPException, OSError, ValueError) as error:
                if _is_timeout(error):
                    return replace(_no_answer(error), request_id=request_id, retry_after=retry_after)
                damage = "truncated"
        if damage is not None and is_plain(received, coding):
            body = bytes(received)
        return Answer(response.status, body, damage, request_id, retry_after, headers)

    def _read_body(self, response: http.client.HTTPResponse | PlainAnswer, received: bytearray) -> None:
        """Appends the body as it comes. Raises TooLarge, having read one byte more than `max_body_bytes`, and CutOff
        where the connection ended before the length that was announced."""
        while chunk := response.read(self._max_body_bytes + 1 - len(received)):
            received += chunk
            if len(received) > self._max_body_bytes:
                raise TooLarge("larger than the limit")
        if response.length:
            raise CutOff("shorter than announced")

    def _redact(self, failure: Failure, answer: Answer | Failure) -> Failure:
        """A failure with the beginning of its answer that shows no token, though the answer may echo the one it was
        sent."""
        body, headers = (read_beginning(answer), read_headers(answer)) if isinstance(answer, Answer) else ("", "")
        return replace(
            failure,
            answer_body=storable(mask(self._tokens.hide(body)), MAX_BEGINNING) or None,
            answer_headers="\n".join(mask(line) for line in self._tokens.hide(headers).splitlines()) or None,
            drift=self._hide_in(failure.drift),
            error=self._tokens.hide(failure.error),
            code=self._tokens.hide(failure.code),
            message=self._tokens.hide(failure.message),
            request_id=failure.request_id and self._tokens.hide(failure.request_id),
        )

    def _hide_in(self, drift: tuple[Drift, ...]) -> tuple[Drift, ...]:
        return tuple(replace(one, word=self._tokens.hide(one.word)) for one in drift)


def _read_headers(response: http.client.HTTPResponse | PlainAnswer) -> dict[str, str]:
    """By their names in small letters; what comes several times is one value (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    items = response.items if isinstance(response, PlainAnswer) else response.headers.raw_items()
    for name, value in items:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _is_sendable(token: str) -> bool:
    return token != "" and token.isascii() and token.isprintable() and " " not in token


def _no_answer(error: Exception) -> Failure:
    """The failure of a call that got no answer, or not the whole of it in time."""
    code, meaning = CONNECTION_FAILED, "no connection to Proof, or it broke"
    if _is_timeout(error):
        code, meaning = TIMEOUT, "Proof's answer was not there in time"
    elif any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        code, meaning = TLS_FAILED, "no trusted connection to Proof"
    *_, root = _causes(error)
    return Failure(None, UPSTREAM_UNAVAILABLE, code, storable(f"{meaning}: {root or type(root).__name__}", MAX_MESSAGE))


def _is_timeout(error: BaseException) -> bool:
    return any(isinstance(cause, TimeoutError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from; urllib3 keeps that in `__cause__` or among the arguments."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or next((part for part in cause.args if isinstance(part, BaseException)), None)
