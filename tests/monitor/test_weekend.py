"""The weekend: deployed on Friday, read on Monday. 72 simulated hours of payments that fail and are made again, with
five incidents: on Monday all is told that happened, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.answers import LEASE, POLICY, confirmed
from tests.support.clock import FakeClock
from tests.support.free_ports import free_ports
from tests.support.notified import HttpSink
from tests.support.people import log_in
from webhook_app.adapters.queueing import Queues, connect_redis
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import pause, resume
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.status import Status
from webhook_app.services import Services, open_courier, open_lookout
from webhook_app.usecases.finance.discrepancies import DiscrepancyFilter, list_discrepancies
from webhook_app.usecases.heartbeats import CLOCK, WEB, beat
from webhook_app.usecases.incidents.figures import add_up, read_days
from webhook_app.usecases.incidents.reports import IncidentFilter, list_incidents
from webhook_app.usecases.invariants.checking import verify
from webhook_app.usecases.receive.ingest import ReportedEvent, RequestOrigin, ingest_events
from webhook_app.usecases.reconcile.apply import apply_calls
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.inbox import open_work
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.start import make_worker

#: SQLite alone: what it tests is what people are told, and the other engine has that in small.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

HOURS = 72
#: So that a thousand payments are retried in all.
AN_HOUR = 14
STEPS = (Status.FAILED, Status.PROCESSING, Status.COMPLETED)


class Weekend:
    def __init__(self, services: Services, clock: FakeClock) -> None:
        self.services, self.clock = services, clock
        self.lookout, self.courier = open_lookout(services), open_courier(services)
        self.made = self.first = 0
        self.began_at = clock()

    def take_in(self, count: int, status: Status, updated_at: datetime, first: int) -> None:
        origin = RequestOrigin(self.clock(), "127.0.0.1", {}, is_vouched=True)
        template = ReportedEvent(
            **{"merchant_transaction_id": "", "status": status, "updated_at": updated_at, "type": "buy"},
            **{"updated_at_key": updated_at.isoformat(), "currency": "USDT", "network": "TRC20", "created_at": None},
            **{"crypto_amount": None, "fiat_currency": "EUR", "fiat_amount": None, "warnings": (), "body": b"{}"},
        )
        events = [replace(template, merchant_transaction_id=f"p{number}") for number in range(first, first + count)]
        ingest_events(self.services.database, [(event, origin) for event in events])

    def reconcile(self, status: Status, updated_at: datetime) -> None:
        database, now = self.services.database, self.clock()
        open_work(database, 1000, now, POLICY.budget)
        calls = []
        for held in claim_due(database, 1000, now, LEASE, POLICY.limits):
            id = held.merchant_transaction_id
            if int(id[1:]) >= self.first:  # not a later look at one of an hour ago, which would tell nothing new
                told = replace(confirmed(status, updated_at, id=id), created_at=self.began_at)
                calls.append(FinishedCall(held, now, now, told))
        apply_calls(database, calls, now, POLICY, random.Random(1))

    def hour(self) -> None:
        """Payments fail and are made again, each; the clock looks."""
        self.first, self.began_at = self.made, self.clock()
        self.made += AN_HOUR
        for status in STEPS:
            self.clock.advance(60)
            updated_at = self.clock()
            self.take_in(AN_HOUR, status, updated_at, self.first)
            self.reconcile(status, updated_at)
        self.clock.advance(3600 - 60 * len(STEPS))
        self.look()

    def look(self, times: int = 1, seconds: float = 0.0) -> None:
        for _ in range(times):
            self.clock.advance(seconds)
            beat(self.services.database, CLOCK, self.clock())
            beat(self.services.database, WEB, self.clock())
            self.lookout.step()
            self.courier.step()

    def paused(self, blame: Blame, failure: Failure, minutes: int) -> None:
        """Payments come meanwhile, and are reconciled afterwards."""
        database = self.services.database
        with database.write() as session:
            store_gate(session, pause(lock_gate(session), blame, failure, self.clock(), self.clock(), POLICY.limits))
        self.look()
        self.first, self.began_at = self.made, self.clock()
        self.made += AN_HOUR
        updated_at = self.clock()
        self.take_in(AN_HOUR, Status.COMPLETED, updated_at, self.first)
        self.look(4, minutes * 15)
        with database.write() as session:
            store_gate(session, resume(lock_gate(session), self.clock()))
        self.look()
        self.reconcile(Status.COMPLETED, updated_at)
        self.look(3, 20)


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with HttpSink().running() as sink:
        yield sink


def test_on_monday_the_page_is_complete_and_holds_nothing_else(
    services: Services, clock: FakeClock, sink: HttpSink, admin_client: FlaskClient, tmp_path: Path
) -> None:
    for lane in Lane:
        worker = make_worker(services.queues.redis, lane)
        worker.register_birth()
        worker.heartbeat(timeout=600)  # Redis counts real seconds, and this may take a minute of them
    settings = replace(
        services.settings, notify_slack_url=f"{sink.url}/slack", notify_allow_private=True, notify_remind_every=0.0
    )
    services = replace(services, settings=settings)
    weekend = Weekend(services, clock)
    friday = clock()
    weekend.look(3, 5)
    for hour in range(HOURS):
        weekend.hour()
        if hour == 6:
            weekend.paused(Blame.PROOF, Failure(503, "upstream_unavailable", "upstream_unavailable", ""), 40)
        if hour == 20:
            weekend.paused(Blame.CONFIGURATION, Failure(401, "unauthorised", "invalid_token", ""), 20)
        if hour == 33:
            away = replace(services, database=Database(f"sqlite:///{tmp_path}"))
            lost, told = open_lookout(away), open_courier(away)
            for _ in range(3):
                clock.advance(100)
                lost.step()
                told.step()
            weekend.look(8, 5)
        if hour == 45:
            dead = replace(services, queues=Queues(connect_redis(f"redis://127.0.0.1:{free_ports(1)[0]}/0")))
            weekend.lookout = open_lookout(dead)
            weekend.look(4, 60)
            weekend.lookout = open_lookout(services)
            weekend.look(8, 5)
        if hour == 60:
            clock.advance(300)
            open_lookout(services).note_absence()
            weekend.look(8, 5)
    incidents = list_incidents(services.database, IncidentFilter(), 100, clock()).items
    assert [(one.kind, one.key, str(one.state)) for one in incidents[::-1]] == [
        ("proof_paused", "outage", "resolved"),
        ("proof_paused", "configuration", "resolved"),
        ("sql_away", "", "resolved"),
        ("redis_away", "", "resolved"),
        ("clock_silent", "", "resolved"),
    ]
    outcomes = [one.outcome for one in incidents[::-1]]
    assert outcomes[0] == f"{AN_HOUR} payments waited, up to 40 min; all are reconciled, none is lost."
    assert outcomes[1] == f"{AN_HOUR} payments waited, up to 20 min; all are reconciled, none is lost."
    assert outcomes[2:] == ["Nothing waited."] * 3
    titles = [body["text"].partition("\n")[0] for body in sink.bodies("/slack")]
    assert titles == [
        "*Calls to Proof are paused (warning)*",
        "*Over: Calls to Proof are paused (it lasted 40 min)*",
        "*Calls to Proof are paused (critical)*",
        "*Over: Calls to Proof are paused (it lasted 20 min)*",
        *titles[4:],
    ]
    assert [title.partition(" (")[0] for title in titles[4:]] == [
        *("*SQL is away", "*Over: SQL is away", "*Redis is away", "*Over: Redis is away"),
        "*Over: The clock is silent",
    ]
    assert weekend.made > 250
    assert list_discrepancies(services.database, DiscrepancyFilter(), 10).items == [], "no payment is an alarm"
    figures = add_up(read_days(services.database, friday, clock()), friday, clock())
    assert (figures.received, figures.reconciled, figures.incidents) == (
        *[3 * AN_HOUR * HOURS + 2 * AN_HOUR] * 2,
        5,
    )
    assert [rule.name for rule, breach in verify(services.database, clock, lambda: None) if breach] == []
    log_in(admin_client, "ada")  # on Friday's session nobody is logged in any more
    page = admin_client.get("/incidents").text
    assert page.count('<article class="panel entry"') == 5
    assert "Nothing is wrong." in page
    assert "incidents, which are over." in admin_client.get("/").text
