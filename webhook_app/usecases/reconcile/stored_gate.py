"""The gate before Proof as it is stored: read, locked, written. Its rules are `webhook_app.domain.gate`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webhook_app.db.timestamps import shifted
from webhook_app.domain.gate import Gate
from webhook_app.domain.retry_policy import Blame
from webhook_app.models import StoredGate
from webhook_app.models.failure import failure_columns

#: Read as columns, not as an object: a session would give back an object that it has loaded before the lock.
_GATE = select(
    StoredGate.tokens,
    StoredGate.refilled_at,
    StoredGate.failing_ids,
    StoredGate.blame,
    StoredGate.failure,
    StoredGate.paused_at,
    StoredGate.next_probe_at,
    StoredGate.probes,
    StoredGate.paused_seconds,
).where(StoredGate.id == 1)


def read_gate(session: Session) -> Gate:
    """The gate as it stands; it may change before the caller is done with it."""
    return _to_gate(session.execute(_GATE).one())


def lock_gate(session: Session) -> Gate:
    """The gate, held until the transaction ends: claims of all workers pass here one after the other."""
    return _to_gate(session.execute(_GATE.with_for_update()).one())


def store_gate(session: Session, gate: Gate) -> None:
    """Writes the gate; the caller holds it locked."""
    session.execute(
        update(StoredGate)
        .where(StoredGate.id == 1)
        .values(
            tokens=gate.tokens,
            refilled_at=gate.refilled_at,
            failing_ids=list(gate.failing_ids),
            blame=gate.blame,
            paused_at=gate.paused_at,
            next_probe_at=gate.next_probe_at,
            probes=gate.probes,
            paused_seconds=gate.paused_seconds,
            **failure_columns(gate.failure),
        )
        .execution_options(synchronize_session=False)
    )


def move_gate(session: Session, jump: timedelta) -> None:
    """The wall clock was set: what the gate has planned keeps its distance from now."""
    planned = (StoredGate.next_probe_at, StoredGate.paused_at, StoredGate.refilled_at)
    session.execute(
        update(StoredGate)
        .values({column: shifted(session, column, jump) for column in planned})
        .execution_options(synchronize_session=False)
    )


def _to_gate(row: Any) -> Gate:
    return Gate(
        tokens=row.tokens,
        refilled_at=row.refilled_at,
        failing_ids=tuple(row.failing_ids),
        blame=Blame(row.blame) if row.blame else None,
        failure=row.failure,
        paused_at=row.paused_at,
        next_probe_at=row.next_probe_at,
        probes=row.probes,
        paused_seconds=row.paused_seconds,
    )
