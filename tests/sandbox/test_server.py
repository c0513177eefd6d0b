"""The server: many at once, hanging connections, ports, and a process that ends when it is asked to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError

from tests.support.sandbox import Sandbox, SandboxControl
from tests.support.waiting import wait_for
from webhook_app.sandbox.faults import Order
from webhook_app.sandbox.server import SandboxSettings

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"


def test_a_hundred_hanging_connections_block_nobody(sandbox, caller):
    (hung,) = [sandbox.control.create()]
    sandbox.control.inject(Order("hang", count=100), transaction=hung)
    request = (
        f"GET /widget/transactions/{hung} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sandbox-token\r\n\r\n".encode()
    )
    connections = [socket.create_connection(("127.0.0.1", sandbox.port)) for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(request)
        wait_for(lambda: sandbox.control.counters().calls_under_way == 100)
        assert [caller.get(EXAMPLE_ID).status for _ in range(50)] == [200] * 50
        assert sandbox.control.counters().most_calls_under_way == 101
    finally:
        for connection in connections:
            connection.close()
    wait_for(lambda: sandbox.control.counters().calls_under_way == 0)


def test_connections_are_kept_alive(sandbox, caller):
    for _ in range(5):
        caller.get(EXAMPLE_ID)
        caller.session()
        caller.send("GET", "/sandbox/counters")
    pool = caller.pool.connection_from_url(sandbox.url)
    assert pool.num_connections == 1


def test_many_callers_at_once(sandbox):
    ids = sandbox.control.create_many(200)
    pool = urllib3.PoolManager(maxsize=32, retries=False, timeout=10)

    def ask(transaction_id):
        answer = pool.request(
            "GET",
            f"{sandbox.url}/widget/transactions/{transaction_id}",
            headers={"Authorization": "Bearer sandbox-token"},
        )
        return answer.json()["merchant_transaction_id"]

    with ThreadPoolExecutor(32) as executor:
        assert list(executor.map(ask, ids * 5)) == ids * 5
    pool.clear()
    assert sandbox.control.counters().gets == 1000


def test_stop_ends_hanging_connections_and_is_quick():
    sandbox = Sandbox(SandboxSettings()).start()
    sandbox.control.inject(Order("hang", count=-1))
    failures = []

    def ask():
        try:
            urllib3.request(
                "GET",
                f"{sandbox.url}/widget/transactions/{EXAMPLE_ID}",
                headers={"Authorization": "Bearer sandbox-token"},
                retries=False,
            )
        except HTTPError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_for(lambda: sandbox.control.counters().calls_under_way == 10)
    started = time.monotonic()
    sandbox.stop()
    for thread in threads:
        thread.join(5)
    assert len(failures) == 10
    assert time.monotonic() - started < 2


def test_the_port_can_go_and_come_back(sandbox, caller):
    assert caller.get(EXAMPLE_ID).status == 200
    sandbox.close_port()
    with pytest.raises(HTTPError):
        caller.get(EXAMPLE_ID)
    with pytest.raises(NewConnectionError):
        caller.get(EXAMPLE_ID)
    sandbox.open_port()
    assert caller.get(EXAMPLE_ID).status == 200


def test_a_taken_port_is_an_error(sandbox):
    with pytest.raises(OSError, match="in use"):
        Sandbox(SandboxSettings(port=sandbox.port)).start()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("speed", 0), ("traffic", -1), ("dropped", 2), ("tokens", ()), ("webhook_url", "nowhere"), ("redeliveries", -1)],
)
def test_impossible_settings_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        SandboxSettings(**{setting: value})


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"POST /widget/session HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", b"411"),
        (b"POST /widget/session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST /widget/session HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", b"501"),
    ],
)
def test_bad_http_gets_an_answer_in_proofs_shape(sandbox, request_bytes, status):
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as connection:
        connection.sendall(request_bytes)
        answer = b""
        while part := connection.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"X-Request-Id: " in answer
    assert b'{"error": ' in answer


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_on_a_signal(tmp_path, stop):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    state = tmp_path / "state.json"
    code = (
        "from pathlib import Path\n"
        "from webhook_app.sandbox.server import SandboxSettings, serve\n"
        f"serve(SandboxSettings(port={port}, traffic=600, state_file=Path({str(state)!r})))"
    )
    process = subprocess.Popen([sys.executable, "-W", "error", "-c", code], stderr=subprocess.PIPE)
    control = SandboxControl(f"http://127.0.0.1:{port}")
    try:

        def has_traffic():
            try:
                return control.counters().transactions > 1
            except HTTPError:
                return False

        wait_for(has_traffic)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=2)
        assert (process.returncode, errors) == (0, b"")
        assert "traffic" in state.read_text()
    finally:
        control.close()
        process.kill()
        process.wait()
