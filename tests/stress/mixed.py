"""A stress run: threads draw actions at random for a while; then all comes to rest, and is compared with Proof."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from sqlalchemy import exists, select, text
from sqlalchemy.exc import DBAPIError

from tests.stress.actions import ACTIONS, REFUSALS, World, make_world, reconcile, reconcile_alone, spool, sweep
from webhook_app.db.database import Database, was_broken_off
from webhook_app.models import Event, HistoryEntry, Reconciliation, Replay, Transaction
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import OPEN_STATES, State
from webhook_app.usecases.reconcile.inbox import has_unopened

#: What comes to rest needs less; seconds.
_REST = 300.0
#: Sooner than by default, so that more deadlocks come about in the same time.
_DEADLOCK_TIMEOUT = "50ms"


@dataclass
class Findings:
    actions: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    deadlocks: int = 0
    """That PostgreSQL has ended by undoing a transaction."""
    broken_off: list[str] = field(default_factory=list)
    """Those that reached the caller of a use case."""
    errors: Counter[str] = field(default_factory=Counter)
    """All others that did."""
    wrong: list[str] = field(default_factory=list)
    """What is not as promised at the end."""


def run_mixed(
    database_url: str,
    folder: Path,
    *,
    seconds: float = 0.0,
    least: int = 0,
    threads: int,
    seed: int,
    transactions: int = 400,
) -> Findings:
    """On an empty database of PostgreSQL at the newest schema, for so many seconds and at least so many actions."""
    findings = Findings()
    with closing(Database(database_url, pool_size=threads + 2)) as database:
        with database.write() as session:
            name = session.scalar(text("SELECT current_database()"))
            session.execute(text(f"ALTER DATABASE {name} SET deadlock_timeout = '{_DEADLOCK_TIMEOUT}'"))
        database.close()  # its sessions still have the former one
        world = make_world(database, folder, transactions)
        ends_at = time.monotonic() + seconds
        lanes = [
            threading.Thread(target=_act, args=(world, random.Random(seed * 1000 + lane), ends_at, least, findings))
            for lane in range(threads)
        ]
        try:
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()
            findings.accepted = len(world.accepted)
            findings.deadlocks = _count_deadlocks(database)
            findings.wrong += _come_to_rest(world, random.Random(seed))
            findings.wrong += _compare(world)
        finally:
            world.rejections.close()
            world.last_use.close()
    return findings


def _act(world: World, rng: random.Random, ends_at: float, least: int, findings: Findings) -> None:
    actions, weights = list(ACTIONS), list(ACTIONS.values())
    while time.monotonic() < ends_at or findings.actions.total() < least:
        (action,) = rng.choices(actions, weights)
        name = action.__name__  # type: ignore[attr-defined]  # they are functions
        try:
            action(world, rng)
        except REFUSALS:
            pass
        except Exception as error:  # whatever reaches a caller is a finding
            with world.guard:
                if isinstance(error, DBAPIError) and was_broken_off(error):
                    findings.broken_off.append(f"{name}: {error.orig}")
                else:
                    findings.errors[f"{name}: {type(error).__name__} {error}"[:300]] += 1
        with world.guard:
            findings.actions[name] += 1


def _count_deadlocks(database: Database) -> int:
    time.sleep(1)  # sessions report once a second
    with database.read() as session:
        query = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return session.scalar(query) or 0


def _come_to_rest(world: World, rng: random.Random) -> Iterator[str]:
    world.proof.is_well = world.is_worker_safe = True
    world.threads = 500
    ends_at = time.monotonic() + _REST
    spool(world, rng)
    while waiting := _find_waiting(world.database):
        if time.monotonic() > ends_at:
            yield f"still there after {_REST:.0f} s: {waiting}"
            return
        world.jump += timedelta(minutes=10)
        sweep(world, rng)
        reconcile(world, rng)
        reconcile_alone(world, rng)


def _find_waiting(database: Database) -> str:
    with database.read() as session:
        if has_unopened(session):
            return "events or copies that are not opened"
        if session.scalar(select(exists().where(Reconciliation.state.in_(OPEN_STATES[:2])))):
            return "work"
        if session.scalar(select(exists().where(Reconciliation.has_events_behind))):
            return "events behind"
        return "a replay" if session.scalar(select(exists().where(Replay.released_at.is_(None)))) else ""


def _compare(world: World) -> Iterator[str]:
    with world.database.read() as session:
        rows = session.execute(
            select(Event.merchant_transaction_id, Event.status, Event.updated_at_key, Event.delivery)
        ).all()
        work = dict(session.execute(select(Reconciliation.merchant_transaction_id, Reconciliation.state)).all())
        history = session.execute(
            select(HistoryEntry.merchant_transaction_id, HistoryEntry.status, HistoryEntry.updated_at).order_by(
                HistoryEntry.merchant_transaction_id, HistoryEntry.id
            )
        ).all()
        confirmed = session.scalars(select(Transaction)).all()
    held = {(id, status, key) for id, status, key, _ in rows}
    if len(held) != len(rows):
        yield "an event is there twice"
    yield from (f"lost: {key}" for key in world.accepted - held)
    yield from (f"never sent: {key}" for key in held - world.accepted)
    for id, status, _, delivery in rows:
        if delivery != Delivery.SUCCEEDED and (delivery, work[id]) != (Delivery.FAILED, State.FAILED):
            yield f"{id} {status}: the delivery is {delivery}, its reconciliation {work[id]}"
    for before, after in pairwise(history):
        if before[0] == after[0] and before[2] >= after[2]:
            yield f"backwards: {before} {after}"
    for one in confirmed:
        if not world.proof.was(one.merchant_transaction_id, one.status, one.updated_at):
            yield f"never so at Proof: {one.merchant_transaction_id} {one.status} {one.updated_at}"
