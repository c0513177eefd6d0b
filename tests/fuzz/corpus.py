"""The corpus: what real clients, broken proxies and attackers send. Each is a name and the bytes on the wire."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.events import webhook

_HOST = b"Host: 127.0.0.1\r\n"

#: Values that a field of the webhook may hold instead of what is documented.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**400, "", " ", "\x00", "a\x00b", "\ud800", "\u202eevil", "\x1b[2J", "=1+1", "é" * 200),
    *("x" * 5000, [], {}, [[]], {"a": {"b": []}}, "NaN", "1e999999", "0x10", "١٢٣", "-0", "1,5", "../../etc/passwd"),
    *(
        "2026-13-45T99:99:99Z",
        "2026-04-01T10:00:60Z",
        "0001-01-01T00:00:00+23:59",
        "' OR 1=1; --",
        "${jndi:x}",
        "{{7*7}}",
    ),
)

#: Bodies that are no webhook at all.
ODD_BODIES: tuple[bytes, ...] = (
    *(
        b"",
        b" ",
        b"\x00",
        b"null",
        b"true",
        b"1",
        b'"text"',
        b"[]",
        b"{}",
        b"{",
        b"}",
        b"{]",
        b'{"a":}',
        b"\xff\xfe{\x00}\x00",
    ),
    *(
        b"\xef\xbb\xbf{}",
        b'{"status":NaN}',
        b'{"status":Infinity}',
        b"[" * 20_000,
        b'{"a":' * 5_000,
        b"\x80" * 100,
        b"a=b&c=d",
    ),
    *(
        b'{"status":"completed","status":"failed"}',
        b"<xml/>",
        b'{"merchant_transaction_id":"\\ud800","status":"failed"}',
    ),
)

PATHS: tuple[bytes, ...] = (
    *(
        b"/",
        b"//",
        b"/%00",
        b"/%ff",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/../../etc/passwd",
        b"/webhooks/proof/",
        b"/webhooks/proof/x",
    ),
    *(
        b"/webhooks/proof?x=%00",
        b"/webhooks//proof",
        b"/WEBHOOKS/PROOF",
        b"/api/v1/transactions/%00",
        b"/api/v1/transactions/%ed%a0%80",
    ),
    *(
        b"/api/v1/transactions?limit=99999999999999999999",
        b"/api/v1/transactions?cursor=" + b"A" * 4000,
        b"/static/../app.py",
    ),
    *(
        b"/static/%2e%2e/app.py",
        b"/rq/",
        b"/rq/queue/x/compact",
        b"/login?next=//evil.example",
        b"/docs",
        b"/openapi.json",
    ),
    *(
        b"/transactions?q='%22%3E%3Cscript%3E",
        b"/" + b"a" * 7000,
        b"/deliveries?state=%F0%28%8C%28",
        b"*",
        b"http://evil.example/",
        b"/readyz",
        b"/healthz",
    ),
)

METHODS: tuple[bytes, ...] = (
    *(
        b"GET",
        b"HEAD",
        b"POST",
        b"PUT",
        b"PATCH",
        b"DELETE",
        b"OPTIONS",
        b"TRACE",
        b"CONNECT",
        b"PROPFIND",
        b"get",
        b"A" * 300,
    ),
)

HEADERS: tuple[bytes, ...] = (
    *(
        b"",
        b"X_Forwarded_For: 10.0.0.1\r\n",
        b"X-Forwarded-For: " + b"1.2.3.4, " * 200 + b"\r\n",
        b"X-Forwarded-For: [::1]:5\r\n",
    ),
    *(
        b"Host: evil.example\r\n",
        b"Authorization: Bearer " + b"x" * 5000 + b"\r\n",
        b"Authorization: Bearer \xff\xfe\r\n",
    ),
    *(
        b"Authorization: Basic OjpA\r\n",
        b"Cookie: webhook_app_session=" + b"e" * 3000 + b"\r\n",
        b"Cookie: \x80=\x81\r\n",
    ),
    *(
        b"Content-Encoding: gzip\r\n",
        b"Content-Type: text/plain; charset=utf-7\r\n",
        b"Content-Type: \xff\r\n",
        b"Expect: nothing\r\n",
    ),
    *(
        b"Accept: " + b"text/html;q=0.1," * 300 + b"\r\n",
        b"X-Request-Id: a\tb\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    ),
    *(
        b"Range: bytes=0-,1-,2-\r\n",
        b'If-None-Match: "\r\n',
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"".join(b"X-%d: y\r\n" % n for n in range(150)),
    ),
)


@dataclass(frozen=True)
class Hostile:
    """`name`: its kind, for the report."""

    name: str
    wire: bytes


def post(body: bytes, path: bytes = b"/webhooks/proof", headers: bytes = b"", *, length: int | None = None) -> bytes:
    """A POST with an honest Content-Length, or with `length` instead."""
    size = len(body) if length is None else length
    head = b"POST %b HTTP/1.1\r\n%bConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
    return head % (path, _HOST, size, headers) + body


def requests(rng: random.Random) -> Iterator[Hostile]:
    """Without end: each kind as often as the others, with different contents."""
    kinds = (_odd_field, _odd_body, _odd_framing, _odd_chunks, _odd_head, _odd_route, _odd_protocol, _damaged, _valid)
    while True:
        for kind in rng.sample(kinds, len(kinds)):
            yield kind(rng)


def _event(rng: random.Random, **changes: Any) -> dict[str, Any]:
    return webhook(merchant_transaction_id=f"fuzz-{rng.randrange(10**12)}") | changes


def _encode(payload: object) -> bytes:
    return json.dumps(payload, allow_nan=True).encode()


def _valid(rng: random.Random) -> Hostile:
    return Hostile("valid", post(_encode(_event(rng))))


def _odd_field(rng: random.Random) -> Hostile:
    payload = _event(rng)
    for name in rng.sample(list(payload), rng.randint(1, 3)):
        payload[name] = rng.choice(ODD_VALUES)
    if rng.random() < 0.2:
        payload[rng.choice(["", "__proto__", "id", "\x00", "status "])] = rng.choice(ODD_VALUES)
    return Hostile("odd field", post(_encode(payload)))


def _odd_body(rng: random.Random) -> Hostile:
    return Hostile("odd body", post(rng.choice(ODD_BODIES), headers=rng.choice(HEADERS)))


def _odd_framing(rng: random.Random) -> Hostile:
    body = _encode(_event(rng))
    head = b"POST /webhooks/proof HTTP/1.1\r\n" + _HOST + b"Connection: close\r\n"
    length = b"Content-Length: %d\r\n" % len(body)
    wires = (
        post(body, length=0),
        post(body, length=len(body) - 5),
        post(body + b"GET / HTTP/1.1\r\n\r\n"),
        head + b"Content-Length: -1\r\n\r\n" + body,
        head + b"Content-Length: +5\r\n\r\n" + body,
        head + b"Content-Length: 99999999999999999999999\r\n\r\n" + body,
        head + b"Content-Length: 70000\r\n\r\n" + b"x" * 70_000,
        head + length + length + b"\r\n" + body,
        head + length + b"Content-Length: 1\r\n\r\n" + body,
        head + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + body,
        head + b"\r\n" + body,
        post(body) + post(body),
        head.replace(b"Connection: close", b"Connection: keep-alive") + length + b"\r\n" + body + b"\x00" * 50,
    )
    return Hostile("odd framing", rng.choice(wires))


def _odd_chunks(rng: random.Random) -> Hostile:
    body = _encode(_event(rng))
    head = b"POST /webhooks/proof HTTP/1.1\r\n" + _HOST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = b"%x\r\n%b\r\n" % (len(body), body)
    chunks = (
        whole + b"0\r\n\r\n",
        b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n",
        b"%x;name=value\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        whole + b"0\r\nX-Trailer: x\r\nContent-Length: 5\r\n\r\n",
        b"g\r\n" + body,
        b"-1\r\n" + body,
        b"ffffffffffffffffff\r\n" + body,
        b"%x\n%b\n0\n\n" % (len(body), body),
        b"10000\r\n" + b"x" * 65_536 + b"\r\n10000\r\n" + b"x" * 65_536 + b"\r\n0\r\n\r\n",
        whole,
    )
    return Hostile("odd chunks", head + rng.choice(chunks))


def _odd_head(rng: random.Random) -> Hostile:
    body = _encode(_event(rng))
    if rng.random() < 0.7:
        return Hostile("odd header", post(body, headers=rng.choice(HEADERS) + rng.choice(HEADERS)))
    length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    heads = (
        b"POST /webhooks/proof HTTP/1.1\r\n",
        b"POST /webhooks/proof HTTP/1.1\r\nHost:\r\n",
        b"POST /webhooks/proof HTTP/1.1\r\nHost: a b\r\n",
        b"POST /webhooks/proof HTTP/1.0\r\n",
        b"POST /webhooks/proof HTTP/3.0\r\n" + _HOST,
        b"POST  /webhooks/proof  HTTP/1.1\r\n" + _HOST,
        b"POST /webhooks/proof HTTP/1.1\r\n" + _HOST + b"X-Folded: a\r\n b\r\n",
        b"POST /webhooks/proof HTTP/1.1\r\n" + _HOST + b"X-Nul: \x00\r\n",
        b"POST /webhooks/proof HTTP/1.1\r\n" + _HOST + b": no name\r\n",
        b"POST /webhooks/proof HTTP/1.1\r\n" + _HOST + b"X-Long: " + b"x" * 100_000 + b"\r\n",
        b"POST /webhooks/proof HTTP/1.1\n" + _HOST.replace(b"\r", b""),
    )
    return Hostile("odd head", rng.choice(heads) + length + body)


def _odd_route(rng: random.Random) -> Hostile:
    body = rng.choice((b"", b"{}", b"\xff", b'{"ids":[1e999]}', b'{"filter":{"state":"failed"},"reason":"\x00"}'))
    head = b"%b %b HTTP/1.1\r\n%bConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
    wire = head % (rng.choice(METHODS), rng.choice(PATHS), _HOST, len(body), rng.choice(HEADERS))
    return Hostile("odd route", wire + body)


def _odd_protocol(rng: random.Random) -> Hostile:
    frame = (0).to_bytes(3, "big") + b"\x01\x04" + (1).to_bytes(4, "big")
    wires = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + frame * 16,
        b"GET / HTTP/1.1\r\n"
        + _HOST
        + b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
        b"GET /\r\n",
        b"\r\n\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x00" * 200,
        rng.randbytes(rng.randint(1, 2000)),
    )
    return Hostile("odd protocol", rng.choice(wires))


def _damaged(rng: random.Random) -> Hostile:
    """A valid request with some of its bytes changed, dropped or doubled."""
    return Hostile("damaged", damage(post(_encode(_event(rng))), rng))


def damage(wire: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(wire)
    changes: tuple[Callable[[int], None], ...] = (
        lambda at: damaged.__setitem__(at, rng.randrange(256)),
        lambda at: damaged.__delitem__(slice(at, at + rng.randint(1, 20))),
        lambda at: damaged.__setitem__(slice(at, at), damaged[at : at + rng.randint(1, 50)]),
    )
    for _ in range(rng.randint(1, 4)):
        rng.choice(changes)(rng.randrange(max(len(damaged) - 1, 1)))
    return bytes(damaged)
