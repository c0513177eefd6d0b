"""The listener against the sandbox: what it hears is taken in like a webhook, and nothing that happens to a connection
loses a change."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from tests.support.clock import START, FakeClock
from tests.support.rows import make_known
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.work import events, row, run_fast, shown, take_in
from webhook_app.adapters.proof_websocket import ProofWebSocket
from webhook_app.db.database import Database
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.status import Status
from webhook_app.domain.websocket_address import WebSocketAddress, derive_address
from webhook_app.listen import connection, listener
from webhook_app.models import Listening, Receipt
from webhook_app.models.event import Channel
from webhook_app.services import Services
from webhook_app.usecases.drift import StoredDrift
from webhook_app.usecases.heartbeats import CHANNEL_UPDATE, read_beats
from webhook_app.usecases.receive.ingest import RequestOrigin, ingest_event
from webhook_app.usecases.receive.rejections import list_rejections
from webhook_app.usecases.reconcile.inbox import open_work
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.web.receive.event_schema import parse_event

Listen = Callable[..., AbstractContextManager[None]]
one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what SQL does is tests/channels' matter


@pytest.fixture
def listen(services: Services, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Listen:
    """A listener in a thread of its own, which takes its turns more often than in life."""
    monkeypatch.setattr(listener, "TURN_SECONDS", 0.02)
    monkeypatch.setattr(listener, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr(connection, "BACKOFF", replace(connection.BACKOFF, base_seconds=0.02, cap_seconds=0.1))

    @contextmanager
    def run(*tokens: str, template: str = "", origin: str | None = None, of: Services = services) -> Iterator[None]:
        proof = ProofWebSocket(
            WebSocketAddress(template or derive_address(sandbox.url)),
            tokens or ("test-token",),
            origin=origin,
            open_timeout=2,
            ping_seconds=0.3,
        )
        started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

        async def main() -> None:
            stop = asyncio.Event()
            started.append((asyncio.get_running_loop(), stop))
            await listener.listen(of, proof, stop)

        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        try:
            yield
        finally:
            loop, stop = wait_for(lambda: started)[0]
            loop.call_soon_threadsafe(stop.set)
            thread.join(20)
            assert not thread.is_alive()

    return run


def follow(services: Services, sandbox: Sandbox, reconciler: Reconciler, **made: Any) -> str:
    """A pending transaction of the sandbox's, known and confirmed here."""
    name = sandbox.control.create(**made)
    take_in(services.database, name, services.clock(), status="pending", updated_at=START)
    run_fast(reconciler)
    return name


def standing(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Listening.topic).where(Listening.connected_at.is_not(None))))


def statuses(database: Database, name: str) -> list[str]:
    return [event.status for event in events(database, name) if event.channel == Channel.WEBSOCKET]


def test_an_update_is_an_event_that_is_known_and_reconciled(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen
) -> None:
    name = follow(services, sandbox, reconciler)
    with listen():
        wait_for(lambda: standing(services.database) == [f"tx:{name}"])
        sandbox.control.set_status(name, Status.COMPLETED, webhook=False)
        wait_for(lambda: statuses(services.database, name) == ["completed"])
        run_fast(reconciler)
        assert shown(services.database, name).status == "completed"
        wait_for(lambda: standing(services.database) == [], "a transaction that is over needs no connection")
    with services.database.read() as session:
        assert read_beats(session)[CHANNEL_UPDATE] == services.clock()
    told = events(services.database, name)[-1]
    assert (told.is_vouched, told.delivery, told.remote_addr) == (True, "succeeded", "127.0.0.1")


@one_engine
def test_a_webhook_of_the_same_change_is_a_receipt_that_asks_for_nothing(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen
) -> None:
    name = follow(services, sandbox, reconciler)
    with listen():
        wait_for(lambda: standing(services.database))
        changed = sandbox.control.set_status(name, Status.PROCESSING, webhook=False)
        wait_for(lambda: statuses(services.database, name))
        run_fast(reconciler)
    run_fast(reconciler)  # looked at once more, for the listener has ended
    calls = len(sandbox.control.calls(name))
    webhook = parse_event(json.dumps(changed.webhook(changed.history[-1])).encode())
    origin = RequestOrigin(services.clock(), "127.0.0.1", {}, is_vouched=True)
    told = ingest_event(services.database, webhook, origin)
    open_work(services.database, 100, services.clock(), Budget())
    with services.database.read() as session:
        receipt = session.scalars(select(Receipt)).one()
    assert (told.duplicate, receipt.channel) == (True, Channel.WEBHOOK)
    run_fast(reconciler)
    assert len(sandbox.control.calls(name)) == calls


@one_engine
def test_polling_thins_out_while_the_connection_stands(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen, clock: FakeClock
) -> None:
    name = follow(services, sandbox, reconciler, created_at=START, updated_at=START)
    assert row(services.database, name).next_attempt_at == START + timedelta(seconds=5)
    with listen():
        wait_for(lambda: standing(services.database))
        wait_for(lambda: row(services.database, name).next_attempt_at == START, "looked at, for what was missed before")
        run_fast(reconciler)
        assert row(services.database, name).next_attempt_at == START + timedelta(seconds=30)


@pytest.mark.parametrize("fault", ["close", "cut", "silence", "huge", "garbage", "binary", "list", "other_event"])
@one_engine
def test_whatever_one_update_does_the_next_one_is_heard(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen, fault: str
) -> None:
    name = follow(services, sandbox, reconciler)
    with listen():
        wait_for(lambda: standing(services.database))
        sandbox.control.configure(update_fault=fault)
        sandbox.control.set_status(name, Status.PROCESSING, webhook=False)
        sandbox.control.configure(update_fault=None)
        if fault in ("close", "cut", "silence", "huge"):
            wait_for(lambda: sandbox.control.counters().websockets_opened == 2)
            wait_for(lambda: row(services.database, name).next_attempt_at == START, "what was lost is looked for")
        sandbox.control.set_status(name, Status.COMPLETED, webhook=False)
        wait_for(lambda: statuses(services.database, name) == ["completed"])
    services.rejections.flush()
    refused = list_rejections(services.database, 10).items
    assert [one.code for one in refused] == {
        "garbage": ["decode_error"],
        "binary": ["decode_error"],
        "list": ["validation_error"],
    }.get(fault, [])
    services.drift.flush()
    with services.database.read() as session:
        words = list(session.scalars(select(StoredDrift.word)))
    assert words == (["event: tx.note"] if fault == "other_event" else [])


@one_engine
def test_a_refused_token_is_told_and_the_next_one_tried(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    follow(services, sandbox, reconciler)

    def problems() -> list[str | None]:
        with services.database.read() as session:
            return list(session.scalars(select(Listening.problem)))

    with listen("wrong-token"):
        [problem] = wait_for(lambda: found if (found := problems()) and found[0] else None)
        assert problem is not None
        assert problem.startswith("Proof answered 401 unauthorised/invalid_token, request id ")
    with listen("wrong-token", "test-token"):
        wait_for(lambda: standing(services.database))
        assert problems() == [None]
    assert "wrong-token" not in caplog.text


@one_engine
def test_the_older_form_has_a_connection_for_each_user_and_an_origin(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen
) -> None:
    names = [follow(services, sandbox, reconciler, partner_user_id="user-7") for _ in range(2)]
    sandbox.control.configure(dialect="older", origins=["https://partner.example"])
    template = sandbox.url.replace("http", "ws", 1) + "/ws?token={token}&user_id={user_id}"
    with listen(template=template, origin="https://partner.example"):
        wait_for(lambda: standing(services.database) == ["user:user-7"])
        for name in names:
            sandbox.control.set_status(name, Status.PROCESSING, webhook=False)
            wait_for(lambda name=name: statuses(services.database, name) == ["processing"])


@one_engine
def test_what_comes_while_sql_is_away_goes_to_the_spool(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen
) -> None:
    name = follow(services, sandbox, reconciler)
    impatient = replace(services, settings=replace(services.settings, ingest_budget=0.1))
    with listen(of=impatient):
        wait_for(lambda: standing(services.database))
        with services.database.write() as session:
            session.execute(text("SELECT 1"))  # SQLite has one writer, and this is it
            sandbox.control.set_status(name, Status.PROCESSING, webhook=False)
            wait_for(lambda: services.spool.holds_new())
        wait_for(lambda: statuses(services.database, name) == ["processing"])


@one_engine
def test_a_listener_that_vanished_is_replaced_by_another(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen, clock: FakeClock
) -> None:
    name = follow(services, sandbox, reconciler)
    with services.database.write() as session:
        later = START + listener.LISTENING_LEASE
        session.add(Listening(topic=f"tx:{name}", holder="killed", lease_until=later, connected_at=START))
    with listen():
        assert sandbox.control.counters().websockets_opened == 0
        clock.advance(listener.LISTENING_LEASE.total_seconds() + 1)
        wait_for(lambda: sandbox.control.counters().websockets_open == 1)
        wait_for(lambda: standing(services.database) == [f"tx:{name}"])


@one_engine
def test_when_it_ends_its_connections_and_leases_are_gone(
    services: Services, sandbox: Sandbox, reconciler: Reconciler, listen: Listen
) -> None:
    name = follow(services, sandbox, reconciler)
    with listen():
        wait_for(lambda: standing(services.database))
        run_fast(reconciler)
    assert standing(services.database) == []
    wait_for(lambda: sandbox.control.counters().websockets_open == 0)
    assert row(services.database, name).next_attempt_at == START
    make_known(services.database, "another", created_at=START)
    assert sandbox.control.counters().websockets_opened == 1
