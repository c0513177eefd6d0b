"""A request's head as a WSGI environ (PEP 3333), and what a head must not be.

Here header names are still as they came. WSGI would make one key of `X-Forwarded-For` and `X_Forwarded_For`, and no
proxy takes the second one out of what a stranger sends; so a name with `_` never counts.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from webhook_app.server.asgi import Environ, Scope
from webhook_app.server.responses import RequestError

_SAME: Environ = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "webhook-app",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class Head:
    """`environ` without its body: `wsgi.input` and CONTENT_LENGTH of what comes in chunks are still to come.

    `announced`: bytes of the body as Content-Length has it; None for chunks, 0 where no body follows.
    """

    def __init__(self, scope: Scope) -> None:
        self.environ, self._hosts = _read(scope)
        # The server sees to both, and is done with them when the request is handed on.
        self._coding, expect = (
            self.environ.pop(name, "").lower() for name in ("HTTP_TRANSFER_ENCODING", "HTTP_EXPECT")
        )
        self.awaits_continue = expect == "100-continue"
        length = self.environ.get("CONTENT_LENGTH", "")
        self.announced: int | None = int(length) if length.isdecimal() else None if self._coding else 0

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    @property
    def path(self) -> str:
        """Decoded; what is not UTF-8 is replaced."""
        return str(self.environ["PATH_INFO"]).encode("latin-1").decode("utf-8", "replace")

    @property
    def query(self) -> str:
        return str(self.environ["QUERY_STRING"])

    def get(self, name: str) -> str:
        """A header's value, several joined; empty when there is none."""
        return str(self.environ.get(_key(name.encode()), ""))

    def check(self) -> None:
        """Raises RequestError where framing or host are in doubt (RFC 9112, 3.2 and 6.1)."""
        if self._coding not in ("", "chunked"):
            raise _bad("validation_error", "The only transfer coding that is taken is `chunked`.")
        if self._hosts > 1:
            raise _bad("invalid_host", "The request has more than one Host header.")
        if not self._hosts and self.environ["SERVER_PROTOCOL"] != "HTTP/1.0":
            raise _bad("invalid_host", "The request has no Host header.")


def _bad(code: str, message: str) -> RequestError:
    return RequestError(400, "invalid_request", code, message, closes=True)


def _read(scope: Scope) -> tuple[Environ, int]:
    """With the number of Host headers; an empty one is none, which is how the server shows that it is missing."""
    client, server = scope["client"], scope["server"]
    environ: Environ = {
        **_SAME,
        "REQUEST_METHOD": scope["method"],
        # WSGI's text: each character stands for a byte.
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/1.0" if scope["http_version"] == "1" else f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.url_scheme": scope["scheme"],
    }
    hosts = 0
    for name, value in scope["headers"]:
        if b"_" in name:
            continue
        key, text = _key(name), value.decode("latin-1")
        if key == "HTTP_HOST":
            if not text:
                continue
            hosts += 1
        if key in environ:
            environ[key] += f"{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        else:
            environ[key] = text
    return environ, hosts


@lru_cache(maxsize=512)
def _key(name: bytes) -> str:
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
