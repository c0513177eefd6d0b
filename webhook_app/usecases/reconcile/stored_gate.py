"""The gate before Proof as it is stored: read, locked, written. Its rules are `webhook_app.domain.gate`."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate
from webhook_app.domain.retry_policy import Blame
from webhook_app.models import StoredGate


def read_gate(session: Session) -> Gate:
    return _to_gate(session.get_one(StoredGate, 1))


def lock_gate(session: Session) -> Gate:
    """The gate, held until the transaction ends: claims of all workers pass here one after the other."""
    row = select(StoredGate).where(StoredGate.id == 1).with_for_update().execution_options(populate_existing=True)
    return _to_gate(session.scalars(row).one())


def store_gate(session: Session, gate: Gate) -> None:
    row = session.get_one(StoredGate, 1)
    row.tokens = gate.tokens
    row.refilled_at = gate.refilled_at
    row.failing_ids = list(gate.failing_ids)
    row.blame = gate.blame
    row.paused_at = gate.paused_at
    row.next_probe_at = gate.next_probe_at
    row.probes = gate.probes
    row.paused_seconds = gate.paused_seconds
    failure = gate.failure
    row.http_status = failure.http_status if failure else None
    row.error = failure.error if failure else None
    row.code = failure.code if failure else None
    row.message = failure.message if failure else None
    row.request_id = failure.request_id if failure else None


def _to_gate(row: StoredGate) -> Gate:
    failure = None
    if row.error is not None:
        failure = Failure(row.http_status, row.error, row.code or "", row.message or "", row.request_id)
    return Gate(
        tokens=row.tokens,
        refilled_at=row.refilled_at,
        failing_ids=tuple(row.failing_ids),
        blame=Blame(row.blame) if row.blame else None,
        failure=failure,
        paused_at=row.paused_at,
        next_probe_at=row.next_probe_at,
        probes=row.probes,
        paused_seconds=row.paused_seconds,
    )
