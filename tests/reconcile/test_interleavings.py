"""Random interleavings of everything that can happen, and what must hold when it has calmed down.

A failure prints its seed; `INTERLEAVING_SEED=<seed>` runs that one again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from tests.support.clock import FakeClock
from tests.support.sandbox import Sandbox, SandboxControl
from tests.support.work import events, report, row, rows, shown
from webhook_app.db.database import Database
from webhook_app.domain.gate import Limits
from webhook_app.domain.status import Status
from webhook_app.models import HistoryEntry
from webhook_app.sandbox.faults import Order
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.reconcile.apply import apply_calls
from webhook_app.usecases.reconcile.claim import Claim, claim_due, claim_one, hand_back
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.sweep import find_work, recover_lost_claims
from webhook_app.usecases.redeliver.replay import replay_from_rq

SEEDS = [int(os.environ["INTERLEAVING_SEED"])] if "INTERLEAVING_SEED" in os.environ else [1, 2, 3]
STEPS = 250
FAULTS = ["publish_failed", "provider_error", "service_unavailable", "db_error", "not_found", "other_transaction",
          "html_502", "forbidden_origin", "truncated_json", "invalid_token", "close"]  # fmt: skip
NEXT = {
    Status.PENDING: [Status.PROCESSING, Status.FAILED, Status.CANCELLED, Status.COMPLETED],
    Status.PROCESSING: [Status.COMPLETED, Status.FAILED],
    Status.FAILED: [Status.PROCESSING, Status.FAILED],
}


class World:
    """Proof, its webhooks, and our workers, moved one step at a time."""

    def __init__(self, database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock) -> None:
        self.database, self.reconciler, self.control, self.clock = database, reconciler, control, clock
        self.rng = reconciler.rng
        self.ids = [
            control.create(status=Status.PENDING, created_at=clock(), updated_at=clock(), crypto_amount=Decimal("1.50"))
            for _ in range(8)
        ]
        self.truth: dict[str, list[tuple[Status, datetime]]] = {id: [(Status.PENDING, clock())] for id in self.ids}
        self.undelivered = [(id, *self.truth[id][0]) for id in self.ids]
        self.delivered: list[tuple[str, Status, datetime]] = []
        self.claims: list[Claim] = []
        self.fetched: list[FinishedCall] = []
        self.done: Counter[str] = Counter()

    def step(self) -> None:
        actions = {
            self.move: 4, self.deliver: 6, self.repeat: 2, self.drop: 1, self.spoil: 2, self.claim: 6, self.fetch: 8,
            self.apply: 8, self.lose: 1, self.hand_back: 1, self.sweep: 3, self.pass_time: 5, self.replay: 1,
        }  # fmt: skip
        (action,) = self.rng.choices(list(actions), list(actions.values()))
        self.done[action.__name__] += 1
        action()

    def move(self) -> None:
        id = self.rng.choice(self.ids)
        status, at = self.truth[id][-1]
        if status in NEXT:
            self.clock.advance(self.rng.choice([0.001, 1, 30]))
            moved = self.rng.choice(NEXT[status])
            at = max(self.clock(), at + timedelta(microseconds=1))
            self.control.set_status(id, moved, updated_at=at, webhook=False)
            self.truth[id].append((moved, at))
            self.undelivered.append((id, moved, at))

    def deliver(self) -> None:
        if self.undelivered:
            event = self.undelivered.pop(self.rng.randrange(len(self.undelivered)))
            self.delivered.append(event)
            self._report(event)

    def repeat(self) -> None:
        if self.delivered:
            self._report(self.rng.choice(self.delivered))

    def drop(self) -> None:
        if self.undelivered:
            self.undelivered.pop(self.rng.randrange(len(self.undelivered)))

    def _report(self, event: tuple[str, Status, datetime]) -> None:
        id, status, at = event
        report(self.database, id, self.clock(), status=status, updated_at=at)

    def spoil(self) -> None:
        order = Order(self.rng.choice(FAULTS), count=self.rng.choice([1, 1, 2, 4]))
        self.control.inject(order, transaction=self.rng.choice(self.ids))

    def claim(self) -> None:
        now, lease, limits = self.clock(), self.reconciler.lease, self.reconciler.policy.limits
        claims = claim_due(self.database, self.rng.randint(1, 4), now, lease, limits)
        for id in find_work(self.database, now, 3).slow_due:
            one = claim_one(self.database, id, now, lease, limits)
            claims += [one] if one else []
        self.claims += claims

    def fetch(self) -> None:
        if self.claims:
            claim = self.claims.pop(self.rng.randrange(len(self.claims)))
            started_at = self.clock()
            result = self.reconciler.proof.get_transaction(claim.merchant_transaction_id)
            self.fetched.append(FinishedCall(claim, started_at, self.clock(), result))

    def apply(self) -> None:
        self.rng.shuffle(self.fetched)
        batch = self.fetched[: self.rng.randint(1, 5)]
        self.fetched = self.fetched[len(batch) :]
        if batch:
            apply_calls(self.database, batch, self.clock(), self.reconciler.policy, self.rng)

    def lose(self) -> None:
        """A worker is killed: before its fetch, or between fetch and apply."""
        for held in (self.claims, self.fetched):
            if held:
                held.pop(self.rng.randrange(len(held)))

    def hand_back(self) -> None:
        if self.claims:
            hand_back(self.database, [self.claims.pop()])

    def sweep(self) -> None:
        recover_lost_claims(self.database, self.clock())

    def pass_time(self) -> None:
        self.clock.advance(self.rng.choice([0.5, 5, 30, 300]))

    def replay(self) -> None:
        replay_from_rq(self.database, self.rng.choice(self.ids), Actor("anna", "rq"), "requeued", self.clock())

    def calm_down(self) -> None:
        """Faults end, every webhook that was not lost comes, a person replays, time passes."""
        self.control.clear_faults()
        while self.undelivered:
            self.deliver()
        for id in self.ids:  # whose webhooks were all lost
            self._report((id, *self.truth[id][-1]))
        for _ in range(400):
            self.clock.advance(20)
            self.sweep()
            for id in self.ids:
                replay_from_rq(self.database, id, Actor("anna", "rq"), "requeued", self.clock())
            self.claim()
            while self.claims:
                self.fetch()
            while self.fetched:
                self.apply()
            if not any(
                one.claim_token or one.state in ("pending", "retrying", "failed") for one in rows(self.database)
            ):
                return
        raise AssertionError("it does not calm down")


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_or_gone_backwards(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, seed: int
) -> None:
    limits = Limits(calls_per_second=1000, concurrency=32)
    reconciler = replace(reconciler, policy=replace(reconciler.policy, limits=limits), rng=random.Random(seed))
    world = World(database, reconciler, sandbox.control, clock)
    try:
        for _ in range(STEPS):
            world.step()
            _check_always(database, world)
        world.calm_down()
        _check_always(database, world)
        _check_in_the_end(database, world)
    except BaseException:
        print(f"INTERLEAVING_SEED={seed} on {database.engine.dialect.name}: {dict(world.done)}")  # noqa: T201 - pytest shows it on failure
        raise


def _check_always(database: Database, world: World) -> None:
    """No status change is recorded that Proof does not have, none twice, none out of order of its recording."""
    with database.read() as session:
        recorded = session.scalars(select(HistoryEntry).order_by(HistoryEntry.id)).all()
    for id in world.ids:
        changes = [(Status(one.status), one.updated_at) for one in recorded if one.merchant_transaction_id == id]
        moments = [moment for _, moment in changes]
        assert moments == sorted(set(moments)), f"{id} went backwards or twice"
        assert set(changes) <= set(world.truth[id]), f"{id} has a change that Proof does not"


def _check_in_the_end(database: Database, world: World) -> None:
    for id in world.ids:
        held, theirs = shown(database, id), world.control.transaction(id)
        assert (held.status, held.updated_at) == (theirs.status, theirs.updated_at)
        assert (str(held.crypto_amount), str(held.fiat_amount)) == (str(theirs.crypto_amount), str(theirs.fiat_amount))
        assert (held.history[-1].status, held.history[-1].updated_at) == (theirs.status, theirs.updated_at)
        assert {event.delivery for event in events(database, id)} == {"succeeded"}
        assert [a.kind for a in held.discrepancies if a.kind in ("impossible_step", "status_mismatch")] == []
        reconciliation = row(database, id)
        assert (reconciliation.claim_token, reconciliation.lease_until, reconciliation.crashes) == (None, None, 0)
        assert reconciliation.spent_attempts == 0
