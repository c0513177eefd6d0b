"""The partner webhooks: what they say, and how they get lost."""

from __future__ import annotations

import socket
from collections import Counter

import structlog.testing

from tests.support.waiting import wait_for
from webhook_app.domain.status import Status
from webhook_app.sandbox.lifecycles import Ending

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"
AWAY = "sandbox_webhook_receiver_unreachable"


def test_the_example_is_sent_as_documented(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url)
    sandbox.control.send_webhook(EXAMPLE_ID)
    wait_for(lambda: receiver.bodies)
    assert list(receiver.bodies[0].items()) == [
        ("merchant_transaction_id", EXAMPLE_ID),
        ("type", "buy"),
        ("status", "completed"),
        ("currency", "USDT"),
        ("network", "TRC20"),
        ("crypto_amount", "99.50"),
        ("fiat_currency", "EUR"),
        ("fiat_amount", "100.00"),
        ("created_at", "2026-04-01T10:00:00Z"),
        ("updated_at", "2026-04-01T10:03:45Z"),
    ]


def test_every_change_is_sent_in_order(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url)
    ids = sandbox.control.start_lifecycles(100)
    counters = sandbox.control.wait_until_still()
    changes = 0
    for transaction_id in ids:
        history = sandbox.control.transaction(transaction_id).history
        assert receiver.steps(transaction_id) == [change.status.value for change in history]
        changes += len(history)
    assert (counters.webhooks_sent, counters.webhooks_failed, counters.webhooks_dropped) == (changes, 0, 0)


def test_a_status_may_be_set_without_a_webhook(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url)
    quiet = sandbox.control.create()
    loud = sandbox.control.create(webhook=True)
    sandbox.control.set_status(quiet, Status.PROCESSING, webhook=False)
    sandbox.control.set_status(loud, Status.PROCESSING)
    sandbox.control.wait_until_still()
    assert (receiver.steps(quiet), receiver.steps(loud)) == ([], ["pending", "processing"])


def test_an_earlier_change_can_be_sent_again(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url)
    sandbox.control.send_webhook(EXAMPLE_ID, change=0)
    sandbox.control.wait_until_still()
    assert (receiver.bodies[0]["status"], receiver.bodies[0]["crypto_amount"]) == ("pending", "")


def test_dropped(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url, dropped=0.5)
    sandbox.control.start_lifecycles(200)
    counters = sandbox.control.wait_until_still()
    assert counters.webhooks_sent == len(receiver.bodies)
    assert 0.35 < counters.webhooks_dropped / (counters.webhooks_dropped + counters.webhooks_sent) < 0.65


def test_repeated(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url, repeated=0.5)
    sandbox.control.start_lifecycles(100)
    sandbox.control.wait_until_still()
    times = Counter((body["merchant_transaction_id"], body["updated_at"]) for body in receiver.bodies)
    assert set(times.values()) == {1, 2, 3}


def test_delayed_and_reordered_webhooks_all_come(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url, delayed=0.3, reordered=0.3)
    ids = sandbox.control.start_lifecycles(200, outcome=Ending.COMPLETED)
    sandbox.control.wait_until_still()
    assert len(receiver.bodies) == 600
    in_order = ["pending", "processing", "completed"]
    shuffled = [transaction_id for transaction_id in ids if receiver.steps(transaction_id) != in_order]
    assert 20 < len(shuffled) < 200
    assert all(sorted(receiver.steps(transaction_id)) == sorted(in_order) for transaction_id in ids)


def test_no_redelivery_unless_asked_for(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url)
    receiver.answer = 500
    sandbox.control.send_webhook(EXAMPLE_ID)
    assert sandbox.control.wait_until_still().webhooks_failed == 1
    assert len(receiver.bodies) == 1
    sandbox.control.configure(redeliveries=2)
    sandbox.control.send_webhook(EXAMPLE_ID)
    assert sandbox.control.wait_until_still().webhooks_failed == 4
    assert [sending.http_status for sending in sandbox.control.webhooks(EXAMPLE_ID)] == [500] * 4


def test_redelivery_ends_with_a_2xx(sandbox, receiver):
    sandbox.control.configure(webhook_url=receiver.url, redeliveries=1000)
    receiver.answer = 503
    sandbox.control.send_webhook(EXAMPLE_ID)
    wait_for(lambda: len(receiver.bodies) > 2)
    receiver.answer = 200
    counters = sandbox.control.wait_until_still()
    assert counters.webhooks_sent == 1
    assert sandbox.control.webhooks(EXAMPLE_ID)[-1].outcome == "sent"


def test_a_receiver_that_is_gone_blocks_nothing(sandbox, caller):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    sandbox.control.configure(webhook_url=f"http://127.0.0.1:{port}/")
    sandbox.control.start_lifecycles(50, outcome=Ending.COMPLETED)
    assert caller.get(EXAMPLE_ID).status == 200
    assert sandbox.control.wait_until_still().webhooks_failed == 150


def test_a_receiver_that_hangs_blocks_nothing(sandbox, caller):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sandbox.control.configure(
            webhook_url=f"http://127.0.0.1:{silent.getsockname()[1]}/", webhook_timeout=0.2, session_outcome="manual"
        )
        ids = [caller.session().json()["merchant_transaction_id"] for _ in range(20)]
        assert [caller.get(one).status for one in ids] == [200] * 20
        assert sandbox.control.wait_until_still().webhooks_failed == 20


def test_receiver_that_is_not_there_yet_is_no_warning_and_one_that_stays_away_is(sandbox, receiver, monkeypatch):
    """`run` starts the sandbox before web, and stops it after web."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/webhooks/proof"
    with structlog.testing.capture_logs() as logs:
        monkeypatch.setattr("webhook_app.sandbox.webhooks.PATIENCE", 3600.0)
        sandbox.control.configure(webhook_url=nobody)
        sandbox.control.send_webhook(EXAMPLE_ID)
        wait_for(lambda: sandbox.control.counters().webhooks_failed)
        sandbox.control.configure(webhook_url=receiver.url)
        sandbox.control.send_webhook(EXAMPLE_ID)
        wait_for(lambda: receiver.bodies)
        wait_for(lambda: sandbox.control.counters().webhooks_sent)
        assert [line["event"] for line in logs if "receiver" in line["event"]] == []
        monkeypatch.setattr("webhook_app.sandbox.webhooks.PATIENCE", 0.1)
        sandbox.control.configure(webhook_url=nobody)
        sandbox.control.send_webhook(EXAMPLE_ID)
        wait_for(lambda: [one["log_level"] for one in logs if one["event"] == AWAY] == ["warning"])
        sandbox.control.configure(webhook_url=receiver.url)
        sandbox.control.send_webhook(EXAMPLE_ID)
        wait_for(lambda: "sandbox_webhook_receiver_reachable" in [one["event"] for one in logs])
