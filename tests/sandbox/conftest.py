"""A sandbox of each test's own, a caller that speaks to it as a partner does, and a receiver of its webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3

from tests.support.sandbox import Sandbox
from webhook_app.sandbox.server import SandboxSettings


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxSettings(seed=7, speed=1000)) as running:
        yield running


class Caller:
    """A partner's backend, with the right token unless another is given."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.pool = urllib3.PoolManager(maxsize=4, retries=False, timeout=5)

    def get(self, transaction_id: str, token: str | None = "sandbox-token", **options: Any) -> urllib3.BaseHTTPResponse:
        return self.send("GET", f"/widget/transactions/{transaction_id}", token, **options)

    def session(self, body: Any = None, token: str | None = "sandbox-token", **fields: Any) -> urllib3.BaseHTTPResponse:
        request = {
            "partner_user_id": "user-123",
            "user_email": "user@example.com",
            "network": "TRC20",
            "currency": "USDT",
            "amount": "100",
            "type": "buy",
            "client_ip": "203.0.113.42",
            **fields,
        }
        request = {name: value for name, value in request.items() if value is not ...}
        data = json.dumps(request).encode() if body is None else body
        return self.send("POST", "/widget/session", token, body=data)

    def send(self, method: str, path: str, token: str | None = None, **options: Any) -> urllib3.BaseHTTPResponse:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        return self.pool.request(method, self.sandbox.url + path, headers=headers, redirect=False, **options)


@pytest.fixture
def caller(sandbox: Sandbox) -> Iterator[Caller]:
    one = Caller(sandbox)
    yield one
    one.pool.clear()


class Receiver:
    """A partner's webhook URL. `answer` is the status it gives."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.answer = 202
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                # Kept before it is answered: the sandbox is still once it has the answer.
                receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/proof"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def steps(self, transaction_id: str) -> list[str]:
        return [body["status"] for body in self.bodies if body["merchant_transaction_id"] == transaction_id]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()
