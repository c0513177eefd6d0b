"""`/ws`: who may listen, what is told, in both dialects, and each way in which it can misbehave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from webhook_app.domain.status import Status
from webhook_app.sandbox.dialects import Dialect
from webhook_app.sandbox.transactions import EXAMPLE
from webhook_app.sandbox.updates import update_of


@contextmanager
def listen(sandbox: Sandbox, bearer: str | None = "sandbox-token", /, **query: str) -> Iterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    address = sandbox.url.replace("http", "ws", 1) + "/ws?" + urlencode(query)
    before = sandbox.control.counters().websockets_open
    with connect(address, additional_headers=headers, proxy=None, close_timeout=1, open_timeout=5) as connection:
        wait_for(lambda: sandbox.control.counters().websockets_open == before + 1)
        yield connection


def read(connection: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv(timeout=5))
    return message


def test_the_documented_example():
    assert update_of(EXAMPLE, EXAMPLE.history[-1], Dialect.TODAY) == {
        "event": "tx.update",
        "merchant_transaction_id": "550e8400-e29b-41d4-a716-446655440000",
        "type": "buy",
        "status": "completed",
        "payment_method": "card",
        "currency": "USDT",
        "fiat_currency": "EUR",
        "fiat_amount": "100.00",
        "crypto_amount": "99.50",
        "occurred_at": "2026-04-01T10:03:45Z",
    }


def test_each_change_of_its_own_transaction_is_told(sandbox):
    own, other = sandbox.control.create(), sandbox.control.create()
    with listen(sandbox, tx_id=own) as connection:
        sandbox.control.set_status(other, Status.FAILED)
        sandbox.control.set_status(own, Status.PROCESSING, webhook=False)
        last = sandbox.control.set_status(own, Status.COMPLETED)
        told = [read(connection), read(connection)]
        assert [(one["merchant_transaction_id"], one["status"]) for one in told] == [
            (own, "processing"),
            (own, "completed"),
        ]
        assert told[-1]["occurred_at"] == last.answer()["updated_at"]
        assert connection.ping().wait(5)
    wait_for(lambda: sandbox.control.counters().websockets_open == 0)


def test_the_older_form_names_a_user_and_carries_the_token_in_the_address(sandbox):
    sandbox.control.configure(dialect="older")
    first, second = (sandbox.control.create(partner_user_id="user-9") for _ in range(2))
    with listen(sandbox, None, token="sandbox-token", user_id="user-9") as connection:
        for one in (first, second):
            sandbox.control.set_status(one, Status.PROCESSING)
            told = read(connection)
            assert (told["merchant_transaction_id"], told["partner_user_id"]) == (one, "user-9")


@pytest.mark.parametrize(
    ("token", "query", "changes", "status"),
    [
        ("wrong", None, {}, 401),
        (None, None, {}, 401),
        ("sandbox-token", {"tx_id": "nobody"}, {}, 404),
        ("sandbox-token", {}, {}, 400),
        ("sandbox-token", None, {"websocket": False}, 404),
        ("sandbox-token", None, {"origins": ["https://partner.example"]}, 403),
    ],
)
def test_who_may_not_listen_is_told_why(sandbox, token, query, changes, status):
    sandbox.control.configure(**changes)
    query = {"tx_id": sandbox.control.create()} if query is None else query
    with pytest.raises(InvalidStatus) as refused, listen(sandbox, token, **query):
        pass
    assert refused.value.response.status_code == status


def test_a_fault_of_calls_spoils_the_handshake_and_leaves_lookups_alone(sandbox, caller):
    own = sandbox.control.create()
    sandbox.control.inject("html_502", calls="websocket")
    assert caller.get(own).status == 200
    with pytest.raises(InvalidStatus), listen(sandbox, tx_id=own):
        pass
    with listen(sandbox, tx_id=own):
        pass


@pytest.mark.parametrize("fault", ["close", "cut"])
def test_the_connection_ends_in_place_of_an_update(sandbox, fault):
    own = sandbox.control.create()
    sandbox.control.configure(update_fault=fault)
    with listen(sandbox, tx_id=own) as connection:
        sandbox.control.set_status(own, Status.PROCESSING)
        with pytest.raises(ConnectionClosed) as ended:
            connection.recv(timeout=5)
    assert (ended.value.rcvd.code if ended.value.rcvd else None) == (1011 if fault == "close" else None)


def test_silence_answers_no_ping_and_sends_nothing(sandbox):
    own = sandbox.control.create()
    sandbox.control.configure(update_fault="silence")
    with listen(sandbox, tx_id=own) as connection:
        sandbox.control.set_status(own, Status.PROCESSING)
        wait_for(lambda: sandbox.control.counters().updates_sent == 1)
        sandbox.control.configure(update_fault=None)
        sandbox.control.set_status(own, Status.COMPLETED)
        assert not connection.ping().wait(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0)
        connection.close_timeout = 0.05


def test_what_cannot_be_read_is_sent_as_it_is(sandbox):
    own = sandbox.control.create()
    with listen(sandbox, tx_id=own) as connection:
        for fault in ("garbage", "binary", "list", "no_status", "other_event", "repeat"):
            sandbox.control.configure(update_fault=fault)
            sandbox.control.set_status(own, Status.PROCESSING)
        garbage, binary, in_list, statusless, other = (connection.recv(timeout=5) for _ in range(5))
        repeated = [connection.recv(timeout=5) for _ in range(3)]
    assert garbage == "{tx.update"
    assert isinstance(binary, bytes)
    assert isinstance(json.loads(in_list), list)
    assert "status" not in json.loads(statusless)
    assert json.loads(other)["event"] == "tx.note"
    assert len(set(repeated)) == 1


def test_a_huge_update_breaks_the_limit_of_a_listener(sandbox):
    own = sandbox.control.create()
    sandbox.control.configure(update_fault="huge")
    with listen(sandbox, tx_id=own) as connection:
        sandbox.control.set_status(own, Status.PROCESSING)
        with pytest.raises(ConnectionClosedError):
            connection.recv(timeout=5)


def test_a_slow_update_comes_after_those_that_are_not(sandbox):
    own = sandbox.control.create()
    with listen(sandbox, tx_id=own) as connection:
        sandbox.control.configure(update_fault="slow", update_delay=100)
        sandbox.control.set_status(own, Status.PROCESSING)
        sandbox.control.configure(update_fault="drop")
        sandbox.control.set_status(own, Status.PENDING)
        sandbox.control.configure(update_fault=None)
        sandbox.control.set_status(own, Status.COMPLETED)
        assert [read(connection)["status"] for _ in range(2)] == ["completed", "processing"]
