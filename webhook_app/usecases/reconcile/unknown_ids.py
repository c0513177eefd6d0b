"""Unknown ids: those that only webhooks named, for which nobody vouches, and that Proof does not know.

Anybody can make up any number of them. So they are one discrepancy with a count, and none each. A worker only marks
them, for a row that all of them count in would be one that all workers wait for; the clock counts what is marked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.text import storable
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Discrepancy, Event, Reconciliation
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.reconciliation import IS_UNGATHERED, AskedBy
from webhook_app.usecases.heartbeats import write_beat
from webhook_app.usecases.reconcile.lifecycle.changes import Life
from webhook_app.usecases.reconcile.lifecycle.marks import UnknownId, take_ungathered

#: Of the discrepancy that gathers them; it stands with the first of the ids.
GATHERED = "gathered"

#: Ids that one transaction counts, and transactions of one call.
_BATCH = 500
_MOST_BATCHES = 20
#: The heartbeat that is locked first, so that of several clocks one counts.
_TURN = "gathering"


def find_unknown(session: Session, given_up: Sequence[Life]) -> Sequence[Life]:
    """Which of these, of which Proof's last word was 404, are about such an id. One that a person has replayed is no
    less unknown for that."""
    candidates = [
        life
        for life in given_up
        if life.reconciled_at is None
        and life.asked_by in (AskedBy.STRANGER, AskedBy.PERSON)
        and life.last_failure is not None
        and life.last_failure.http_status == 404
    ]
    replayed = [life.merchant_transaction_id for life in candidates if life.asked_by == AskedBy.PERSON]
    named_by_webhooks = _find_unvouched(session, replayed) if replayed else ()
    return [
        life
        for life in candidates
        if life.asked_by == AskedBy.STRANGER or life.merchant_transaction_id in named_by_webhooks
    ]


def gather_unknown(database: Database, now: datetime) -> int:
    """Counts the ids that were marked since; returns how many."""
    gathered = 0
    for _ in range(_MOST_BATCHES):
        with database.read() as session:  # mostly there are none, and no lock is needed for that
            if session.scalar(select(Reconciliation.id).where(IS_UNGATHERED).limit(1)) is None:
                break
        gathered += database.run(partial(_gather, now=now))
    return gathered


def _gather(session: Session, now: datetime) -> int:
    write_beat(session, _TURN, now)
    ids = take_ungathered(session, _BATCH)
    if ids:
        _count(session, ids, now)
    return len(ids)


def _count(session: Session, ids: Sequence[UnknownId], now: datetime) -> None:
    """Into the discrepancy that is open; where a person has acknowledged it, these are another one. Its revision stays,
    or nobody could acknowledge it during a flood."""
    row = session.execute(
        select(Discrepancy.id, Discrepancy.merchant_transaction_id, Discrepancy.gathered)
        .where(
            Discrepancy.kind == DiscrepancyKind.UNKNOWN_TO_PROOF,
            Discrepancy.fingerprint == GATHERED,
            Discrepancy.resolved_at.is_(None),
            Discrepancy.acknowledged_at.is_(None),
        )
        .order_by(Discrepancy.id.desc())
        .limit(1)
    ).one_or_none()
    first, latest = ids[0].merchant_transaction_id, ids[-1]
    if row is None:
        session.add(
            Discrepancy(
                merchant_transaction_id=first,
                kind=DiscrepancyKind.UNKNOWN_TO_PROOF,
                fingerprint=GATHERED,
                detail=_describe(len(ids), first, latest),
                detected_at=now,
                gathered=len(ids),
            )
        )
        return
    count = (row.gathered or 0) + len(ids)
    session.execute(
        update(Discrepancy)
        .where(Discrepancy.id == row.id)
        .values(gathered=count, detail=_describe(count, row.merchant_transaction_id, latest))
    )


def _describe(count: int, first: str, latest: UnknownId) -> str:
    ids = "1 id" if count == 1 else f"{count:,} ids"
    at = f", asked about at {format_timestamp(latest.failed_at)}" if latest.failed_at else ""
    text = (
        f"{ids} that webhooks of unknown senders named, and that Proof's API does not know: possibly forged. The first "
    )
    return storable(f"{text}was {first}, the latest {latest.merchant_transaction_id}{at}", 500)


def _find_unvouched(session: Session, names: Collection[str]) -> set[str]:
    """Those of these transactions that events name, none of which somebody vouches for."""
    vouched = func.count().filter(Event.is_vouched)
    rows = session.scalars(
        select(Event.merchant_transaction_id)
        .where(Event.merchant_transaction_id.in_(names))
        .group_by(Event.merchant_transaction_id)
        .having(vouched == 0)
    )
    return set(rows)
