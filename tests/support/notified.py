"""Those who are notified: a real SMTP server and a real HTTP server that keep what they get, and refuse when told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


class MailSink:
    """An SMTP server that keeps each message. With `tls` it takes none but over STARTTLS and after a log-in. It refuses
    recipients that begin with `refuses`."""

    def __init__(self, tls: ssl.SSLContext | None = None, refuses: str | None = None) -> None:
        self._refuses = refuses
        self.messages: list[Message] = []
        self.log_ins: list[tuple[str, str]] = []
        needs = {"require_starttls": True, "auth_required": True, "authenticator": self._log_in} if tls else {}
        self._controller = Controller(self, hostname="127.0.0.1", port=0, tls_context=tls, **needs)

    def _log_in(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        self.log_ins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=given.password == b"right @ password", handled=False)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._controller.server.sockets[0].getsockname()[1]}"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self._refuses and address.startswith(self._refuses):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    @contextmanager
    def running(self) -> Iterator[MailSink]:
        # `start` asks the port of the address, which is 0: the server is begun, and nothing else is wanted of it.
        controller = self._controller
        thread = threading.Thread(target=_serve, args=(controller, ready := threading.Event()), daemon=True)
        thread.start()
        ready.wait(10)
        yield self
        controller.loop.call_soon_threadsafe(controller.loop.stop)
        thread.join(10)


def _serve(controller: Controller, ready: threading.Event) -> None:
    loop = controller.loop
    controller.server = loop.run_until_complete(controller._create_server())
    ready.set()
    loop.run_forever()
    controller.server.close()
    loop.run_until_complete(controller.server.wait_closed())
    loop.close()


class HttpSink:
    """Answers each request with `status`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                sink.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(sink.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(body) for asked, _, body in self.requests if asked == path]

    @contextmanager
    def running(self) -> Iterator[HttpSink]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield self
        self._server.shutdown()
        self._server.server_close()
        thread.join(10)
