"""What each kind of process and person does to the database, once: the actions that a stress run mixes."""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from tests.stress.proof import EventKey, VirtualProof, key_of
from tests.support.answers import LEASE, POLICY
from tests.support.clock import START
from tests.support.uncounted import Uncounted
from webhook_app.adapters.spool import Spool
from webhook_app.db.database import Database
from webhook_app.db.sequences import advance_sequences
from webhook_app.domain.drift import Drift, DriftKind, DriftSource
from webhook_app.models import Event, Receipt
from webhook_app.models.role import Role
from webhook_app.usecases.access import accounts
from webhook_app.usecases.access.last_use import LastUse
from webhook_app.usecases.access.sessions import Browser, Lifetime, find_session, log_in, log_out, note_use
from webhook_app.usecases.access.tokens import create_token, find_caller, revoke_token
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.drift import Sighting, count_drift
from webhook_app.usecases.finance.discrepancies import DiscrepancyFilter, acknowledge, list_discrepancies, reopen
from webhook_app.usecases.finance.export import export_rows
from webhook_app.usecases.finance.transaction_filter import TransactionFilter
from webhook_app.usecases.heartbeats import beat
from webhook_app.usecases.receive.ingest import RequestOrigin, ingest_events
from webhook_app.usecases.receive.rejections import RefusedRequest, Rejections
from webhook_app.usecases.receive.set_aside_lines import retry_set_aside
from webhook_app.usecases.receive.spool_drain import SpoolDrain
from webhook_app.usecases.receive.spooled_event import encode_event
from webhook_app.usecases.reconcile.apply import apply_calls
from webhook_app.usecases.reconcile.claim import Claim, claim_due, claim_one, hand_back
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.inbox import open_work
from webhook_app.usecases.reconcile.overdue import note_overdue
from webhook_app.usecases.reconcile.settle import follow_up
from webhook_app.usecases.reconcile.sweep import find_work, recover_lost_claims
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.replay import Selection, cancel_replay, order_replay, replay_from_rq
from webhook_app.usecases.redeliver.replay_release import release_replays
from webhook_app.usecases.refusals import Conflict, Missing, Refused

ANNA = Actor("anna", "page")
DAY = timedelta(days=1)
#: Seconds of the run's own clock that pass in one: so that leases run out, retries fall due and replays are released.
SPEED = 30.0
#: Rows that an intruder locks.
_INTRUDED = 20


@dataclass
class World:
    """What the actions work on. `accepted` is what was acknowledged."""

    database: Database
    proof: VirtualProof
    spool: Spool
    rejections: Rejections
    last_use: LastUse
    threads: int = 20
    """Of a worker."""
    is_worker_safe: bool = False
    """Whether nobody dies with a claim any more."""
    accepted: set[EventKey] = field(default_factory=set)
    jump: timedelta = timedelta()
    guard: threading.Lock = field(default_factory=threading.Lock)
    draining: threading.Lock = field(default_factory=threading.Lock)
    """A host drains its spool in one process."""
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return START + timedelta(seconds=(time.monotonic() - self._began) * SPEED) + self.jump

    def accept(self, keys: set[EventKey]) -> None:
        with self.guard:
            self.accepted |= keys


Action = Callable[[World, random.Random], object]


def make_world(database: Database, folder: Path, transactions: int) -> World:
    accounts.create_account(database, "ada", "a good password", Role.ADMIN, ANNA, START)
    spool = Spool(folder / "spool", 100_000_000)
    return World(
        database, VirtualProof(transactions), spool, Rejections(database, Uncounted(database)), LastUse(database)
    )


def take_in(world: World, rng: random.Random) -> None:
    world.proof.advance(rng, world.now())
    events = world.proof.events(rng, 20)
    ingest_events(world.database, [(event, _origin(world, rng)) for event in events])
    world.accept({key_of(event) for event in events})


def spool(world: World, rng: random.Random) -> None:
    """Now and then with one among them that no column holds."""
    events = world.proof.events(rng, 5)
    for event in events:
        world.spool.append(encode_event(event, _origin(world, rng)))
    if rng.random() < 0.3:
        world.spool.append(encode_event(replace(events[0], type="x" * 1000), _origin(world, rng)))
    world.accept({key_of(event) for event in events})
    with world.draining:
        SpoolDrain(world.database, world.spool, world.now).drain()


def bring_back(world: World, rng: random.Random) -> None:
    retry_set_aside(world.database, world.spool, None, ANNA, "again", world.now())


def reconcile(world: World, rng: random.Random) -> None:
    """One turn of the fast lane; its worker may die, or end, with what it has claimed."""
    open_work(world.database, 500, world.now(), POLICY.budget)
    follow_up(world.database, 1)
    claims = claim_due(world.database, world.threads, world.now(), LEASE, POLICY.limits)
    fate = 1.0 if world.is_worker_safe else rng.random()
    if fate < 0.02:
        return
    if fate < 0.05:
        hand_back(world.database, claims)
        return
    _apply(world, rng, claims)


def reconcile_alone(world: World, rng: random.Random) -> None:
    """The slow lane."""
    for id in find_work(world.database, world.now(), 10).slow_due:
        claim = claim_one(world.database, id, world.now(), LEASE, POLICY.limits)
        if claim is not None:
            _apply(world, rng, [claim])


def sweep(world: World, rng: random.Random) -> None:
    """A clock's turn."""
    recover_lost_claims(world.database, world.now())
    release_replays(world.database, world.now())
    note_overdue(world.database, world.now(), DAY / 24)
    beat(world.database, "clock", world.now())


def set_clock(world: World, rng: random.Random) -> None:
    """By up to ten minutes; whichever thread sees it first moves the plans."""
    with world.guard:
        world.jump += timedelta(seconds=rng.choice((-600, -60, 60, 600)))
        now = world.now()
        uptime = now - START - world.jump
    follow_clock(world.database, "boot", now, uptime)


def replay(world: World, rng: random.Random) -> None:
    wanted = Selection(wanted=DeliveryFilter(state=rng.choice(("failed", "retrying"))))
    ordered = order_replay(world.database, wanted, ANNA, "why", world.now(), per_second=20)
    if ordered.replay_id is not None and rng.random() < 0.3:
        cancel_replay(world.database, ordered.replay_id, ANNA, world.now())
    replay_from_rq(world.database, rng.choice(world.proof.ids), ANNA, "why", world.now())


def look_after_discrepancies(world: World, rng: random.Random) -> None:
    for one in list_discrepancies(world.database, DiscrepancyFilter(), 5).items:
        with contextlib.suppress(Conflict):
            acknowledge(world.database, one.id, "seen", ANNA, world.now())
            reopen(world.database, one.id, "again", ANNA, world.now())


def export(world: World, rng: random.Random) -> None:
    for _ in export_rows(world.database, TransactionFilter(), batch=100):
        pass


def use_pages(world: World, rng: random.Random) -> None:
    person = accounts.find_person_by_name(world.database, "ada")
    assert person is not None
    lifetime = Lifetime(DAY, DAY)
    key = log_in(world.database, person, Browser("203.0.113.7", "b"), world.now(), lifetime)
    found = find_session(world.database, world.last_use, key, "b", world.now(), lifetime)
    if found is not None:
        note_use(world.last_use, found[1], world.now(), lifetime)
    log_out(world.database, key)


def use_api(world: World, rng: random.Random) -> None:
    name = secrets.token_hex(8)
    token = create_token(world.database, name, Role.SERVICE, world.now())
    find_caller(world.database, world.last_use, token, world.now())
    revoke_token(world.database, name, ANNA, world.now())
    world.last_use.flush()


def refuse(world: World, rng: random.Random) -> None:
    origin = _origin(world, rng)
    world.rejections.note(RefusedRequest(origin, "POST", "/webhooks/proof", 400, "e", "c", rng.choice("abc"), "m"))
    world.rejections.flush()
    drift = Drift(DriftKind.FIELD, rng.choice("abc"))
    count_drift(world.database, [Sighting((drift,), DriftSource.WEBHOOK, world.now(), "t", None)])


def mend_sequences(world: World, rng: random.Random) -> None:
    advance_sequences(world.database, [Event.__tablename__, Receipt.__tablename__])


def intrude(world: World, rng: random.Random) -> None:
    """Somebody who keeps to no order: locks rows one by one, in the opposite one, so that deadlocks come about."""
    table = rng.choice(("reconciliations", "events"))
    with contextlib.suppress(Exception), world.database.write() as session:  # it may well be the victim itself
        newest = text(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 400")
        ids = sorted(rng.sample(session.scalars(newest).all(), _INTRUDED), reverse=True)
        for id in ids:
            session.execute(text(f"SELECT 1 FROM {table} WHERE id = :id FOR UPDATE"), {"id": id})
            time.sleep(0.002)


#: How often each comes, against the others.
ACTIONS: Mapping[Action, int] = {
    take_in: 30,
    reconcile: 30,
    reconcile_alone: 10,
    sweep: 10,
    intrude: 4,
    spool: 3,
    replay: 2,
    look_after_discrepancies: 2,
    refuse: 2,
    use_pages: 2,
    use_api: 2,
    export: 1,
    bring_back: 1,
    set_clock: 1,
    mend_sequences: 1,
}

#: What an action may answer where it comes too late or has nothing to do.
REFUSALS = (Conflict, Missing, Refused)


def _origin(world: World, rng: random.Random) -> RequestOrigin:
    return RequestOrigin(world.now(), "203.0.113.7", {"User-Agent": "Proof"}, is_vouched=rng.random() < 0.5)


def _apply(world: World, rng: random.Random, claims: list[Claim]) -> None:
    now = world.now()
    calls = [FinishedCall(one, now, now, world.proof.answer(rng, one.merchant_transaction_id)) for one in claims]
    apply_calls(world.database, calls, world.now(), POLICY, rng)
