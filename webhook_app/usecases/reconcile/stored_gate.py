"""The gate before Proof as it is stored: read, locked, written. Its rules are `webhook_app.domain.gate`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from webhook_app.db.kept_statements import keep
from webhook_app.db.timestamps import shifted
from webhook_app.domain.gate import Gate
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.shares import WorkClass
from webhook_app.models import StoredGate
from webhook_app.models.failure import failure_columns, read_failure
from webhook_app.usecases.reconcile.lifecycle.moving import begins_by_new_time

_TABLE: Any = StoredGate.__table__

#: Read as columns, not as an object: a session would give back an object that it has loaded before the lock.
_GATE = select(*_TABLE.c).where(_TABLE.c.id == 1)
_READ_GATE = keep(_GATE)
_LOCKED_GATE = _GATE.with_for_update()
_STORE = update(_TABLE).where(_TABLE.c.id == 1)


def read_gate(session: Session) -> Gate:
    """The gate as it stands; it may change before the caller is done with it."""
    [row] = _READ_GATE.rows(session)
    return _to_gate(row)


def lock_gate(session: Session) -> Gate:
    """The gate, held until the transaction ends: claims of all workers pass here one after the other."""
    return _to_gate(session.execute(_LOCKED_GATE).one())


def store_gate(session: Session, gate: Gate) -> None:
    """Writes the gate; the caller holds it locked."""
    session.execute(
        _STORE,
        {
            "tokens": gate.tokens,
            "refilled_at": gate.refilled_at,
            "reserves": {str(work_class): amount for work_class, amount in gate.reserves.items()},
            "pace": gate.pace,
            "paced_at": gate.paced_at,
            "epoch": gate.epoch,
            "blame": gate.blame,
            "paused_at": gate.paused_at,
            "outage_since": gate.outage_since,
            "next_probe_at": gate.next_probe_at,
            "next_newcomer_at": gate.next_newcomer_at,
            "probes": gate.probes,
            "resumed_at": gate.resumed_at,
            "paused_seconds": gate.paused_seconds,
            **failure_columns(gate.failure),
        },
    )


def forget_outage(session: Session, epoch: int) -> None:
    """What backed off because of the outages up to that pause has been brought forward."""
    session.execute(
        update(StoredGate)
        .where(StoredGate.epoch == epoch, StoredGate.paused_at.is_(None))
        .values(outage_since=None)
        .execution_options(synchronize_session=False)
    )


def move_gate(session: Session, jump: timedelta, now: datetime) -> None:
    """The wall clock was set by `jump` and shows `now`: what the gate has planned keeps its distance from now.

    What was written since by the new time stays. Moved forward, it would lie ahead, and nothing would be admitted until
    then; moved back, it would seem long ago, so that calls were admitted anew. A probe comes early where that cannot be
    told.
    """
    planned = (
        *(StoredGate.next_probe_at, StoredGate.next_newcomer_at, StoredGate.paused_at, StoredGate.outage_since),
        *(StoredGate.refilled_at, StoredGate.paced_at, StoredGate.resumed_at),
    )
    since = begins_by_new_time(jump, now)

    def stays(column: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        return column > since if jump > timedelta() else column.between(since, now)

    moved = {column: case((stays(column), column), else_=shifted(session, column, jump)) for column in planned}
    session.execute(update(StoredGate).values(moved).execution_options(synchronize_session=False))


def _to_gate(row: Any) -> Gate:
    return Gate(
        tokens=row.tokens,
        refilled_at=row.refilled_at,
        reserves={one: float((row.reserves or {}).get(one, 0.0)) for one in WorkClass},
        pace=row.pace,
        paced_at=row.paced_at,
        epoch=row.epoch,
        blame=Blame(row.blame) if row.blame else None,
        failure=read_failure(row.http_status, row.error, row.code, row.message, row.request_id),
        paused_at=row.paused_at,
        outage_since=row.outage_since,
        next_probe_at=row.next_probe_at,
        next_newcomer_at=row.next_newcomer_at,
        probes=row.probes,
        resumed_at=row.resumed_at,
        paused_seconds=row.paused_seconds,
    )
