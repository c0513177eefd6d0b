"""Proof is down, or refuses us, with a large backlog: few calls go out, nothing is burned, and all of it drains."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from redis import Redis
from sqlalchemy import func, select

from tests.chaos.rig import NotInTime, Rig
from tests.chaos.table import Row
from webhook_app.domain.status import Status
from webhook_app.models import Event, HistoryEntry, Reconciliation, StoredGate
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.receive.ingest import ReportedEvent, RequestOrigin, ingest_events

#: Calls per second that are allowed, high, so that the backlog drains within the run.
_RATE = 1000
_CONCURRENCY = 32
_PAUSE_AFTER = 5
_BATCH = 1000
#: Keys that Redis may hold: workers, queues, and the jobs of what was tried before calls were paused.
_MOST_KEYS = 200


def run_outage(rig: Rig, *, backlog: int, fault: str, seconds: float, drain_seconds: float) -> list[Row]:
    """A backlog meets an outage of `seconds`; then it drains for at most `drain_seconds`."""
    row = Row(rig.engine.name, f"{fault}, with a backlog of {backlog:,}", times=1)
    rig.control.inject_period(fault, 3600)
    insert_events(rig, rig.control.create_many(backlog, status=Status.COMPLETED))
    row.accepted = backlog
    rig.control.configure(webhook_url=None)
    for name, words in (("fast-0", ("worker", "--lane", "fast")), ("slow-0", ("worker", "--lane", "slow"))):
        rig.start(name, *words, PROOF_MAX_CALLS_PER_SECOND=str(_RATE), PROOF_MAX_CONCURRENCY=str(_CONCURRENCY))
    rig.start("clock-0", "clock", PROOF_MAX_CALLS_PER_SECOND=str(_RATE), PROOF_MAX_CONCURRENCY=str(_CONCURRENCY))
    try:
        rig.until(lambda: _is_paused(rig), "all calls are paused", 30)
        most_keys = _watch(rig, seconds)
        row.lost += _check_outage(rig, most_keys, seconds)
        rig.control.clear_faults()
        began = time.monotonic()
        row.recoveries.append(rig.until(lambda: _settled(rig) > 0, "the first is reconciled", 30))
        _drain(rig, backlog, began, drain_seconds)
    except NotInTime as error:
        rig.say(str(error))
        row.late += 1
    row.lost += count_wrong(rig, backlog)
    row.duplicated = count_duplicated(rig)
    return [row]


def insert_events(rig: Rig, ids: list[str]) -> None:
    """An event of each into the inbox, as a web process does."""
    now = datetime.now(UTC)
    request = RequestOrigin(now, "127.0.0.1", {})
    for start in range(0, len(ids), _BATCH):
        ingest_events(rig.database, [(_event(one), request) for one in ids[start : start + _BATCH]])


def _event(transaction_id: str) -> ReportedEvent:
    return ReportedEvent(
        merchant_transaction_id=transaction_id,
        status="completed",
        updated_at=None,
        updated_at_key="",
        type=None,
        currency=None,
        network=None,
        crypto_amount=None,
        fiat_currency=None,
        fiat_amount=None,
        created_at=None,
        warnings=(),
        body=b"{}",
    )


def _is_paused(rig: Rig) -> bool:
    with rig.database.read() as session:
        return session.scalar(select(StoredGate.paused_at)) is not None


def _watch(rig: Rig, seconds: float) -> int:
    """The most keys that Redis held during the outage."""
    most = 0
    deadline = time.monotonic() + seconds
    with Redis.from_url(rig.redis.url) as redis:
        while time.monotonic() < deadline:
            most = max(most, redis.dbsize())
            time.sleep(0.2)
    return most


def _check_outage(rig: Rig, most_keys: int, seconds: float) -> int:
    """How many bounds were broken."""
    calls = rig.control.counters().gets
    most_calls = _PAUSE_AFTER + _CONCURRENCY + int(seconds) + 10  # a probe a second at most, once the gaps have grown
    with rig.database.read() as session:
        spent = session.scalar(select(func.max(Reconciliation.spent_attempts))) or 0
        failed = _count(rig, State.FAILED)
    rig.say(
        f"outage of {seconds:.0f} s: {calls} calls (at most {most_calls}), attempts spent by any: {spent}, failed: "
        f"{failed}, Redis keys: {most_keys} at most"
    )
    return (calls > most_calls) + (spent > 1) + failed + (most_keys > _MOST_KEYS)


def _drain(rig: Rig, backlog: int, began: float, longest: float) -> None:
    gets_then = rig.control.counters().gets
    while _settled(rig) < backlog and time.monotonic() - began < longest:
        time.sleep(0.5)
    took = time.monotonic() - began
    settled = _settled(rig)
    gets = rig.control.counters().gets - gets_then
    rig.say(
        f"drained {settled:,} of {backlog:,} in {took:.0f} s: {settled / took:.0f}/s with {gets / took:.0f} calls/s "
        f"(at most {_RATE}), the rest still waits its turn"
    )
    if gets / took > _RATE * 1.05 + _RATE / took:  # a burst of one second's worth is allowed
        raise NotInTime("more calls per second than allowed")


def _settled(rig: Rig) -> int:
    with rig.database.read() as session:
        return session.scalar(select(func.count()).where(Event.delivery == Delivery.SUCCEEDED)) or 0


def _count(rig: Rig, state: State) -> int:
    with rig.database.read() as session:
        return session.scalar(select(func.count()).where(Reconciliation.state == state)) or 0


def count_wrong(rig: Rig, backlog: int) -> int:
    """Events that are gone, and reconciliations that failed because of the outage."""
    with rig.database.read() as session:
        events = session.scalar(select(func.count()).select_from(Event)) or 0
    return backlog - events + _count(rig, State.FAILED)


def count_duplicated(rig: Rig) -> int:
    """Confirmed changes beyond the one that each transaction has. In one statement: workers may go on meanwhile."""
    changes, ids = func.count(), func.count(HistoryEntry.merchant_transaction_id.distinct())
    with rig.database.read() as session:
        return session.execute(select(changes - ids).select_from(HistoryEntry)).scalar_one()
