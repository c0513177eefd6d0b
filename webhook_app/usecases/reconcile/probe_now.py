"""Probe now: a person who has mended something does not wait for the next probe."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.gate import Gate
from webhook_app.domain.gate import probe_now as probe_gate_now
from webhook_app.models.audit import AuditAction
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate
from webhook_app.usecases.refusals import Conflict


def probe_now(database: Database, actor: Actor, reason: str, now: datetime) -> Gate:
    """The next round of probes is due at once; written to the audit log. Raises Conflict where calls go on."""

    def plan(session: Session) -> Gate:
        gate = lock_gate(session)
        if not gate.is_paused:
            raise Conflict("Calls to Proof are not paused, so there is nothing to probe.")
        planned = probe_gate_now(gate, now)
        store_gate(session, planned)
        why = gate.failure.name if gate.failure else str(gate.blame)
        record(session, actor, AuditAction.PROBE, "Proof", reason, {"paused_by": why}, now)
        return planned

    return database.run(plan)
