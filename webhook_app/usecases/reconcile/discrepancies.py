"""Discrepancies, as they are noted: once each, and open again where something about them has changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import case, null, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.upsert import insert_into
from webhook_app.domain.failures import Failure
from webhook_app.domain.status import StatusChange
from webhook_app.domain.text import storable
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Discrepancy, Event
from webhook_app.models.discrepancy import DiscrepancyKind


def note_discrepancy(
    session: Session,
    merchant_transaction_id: str,
    kind: DiscrepancyKind,
    *,
    fingerprint: str,
    detail: str,
    now: datetime,
) -> None:
    """Inserts the discrepancy. One that is there already is open again if it was resolved or its detail has changed:
    a person who acknowledged it had not seen this."""
    statement = insert_into(session, Discrepancy).values(
        merchant_transaction_id=merchant_transaction_id,
        kind=kind,
        fingerprint=fingerprint,
        detail=storable(detail, 500),
        detected_at=now,
    )
    was_resolved = Discrepancy.resolved_at.is_not(None)
    has_changed = or_(was_resolved, Discrepancy.detail != statement.excluded.detail)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Discrepancy.merchant_transaction_id, Discrepancy.kind, Discrepancy.fingerprint],
            set_={
                "detail": statement.excluded.detail,
                "resolved_at": None,
                "resolution": None,
                "opened_at": case((was_resolved, now), else_=Discrepancy.opened_at),
                "revision": case((has_changed, Discrepancy.revision + 1), else_=Discrepancy.revision),
                **{
                    column.key: case((has_changed, null()), else_=column)
                    for column in (Discrepancy.acknowledged_at, Discrepancy.acknowledged_by, Discrepancy.note)
                },
            },
        )
    )


def note_end_of_polling(session: Session, merchant_transaction_id: str, held: StatusChange, now: datetime) -> None:
    """Notes that the transaction still has a status that is not terminal, and is no longer asked about by itself. It is
    the discrepancy of that status, which says so already where `overdue` has noted it."""
    note_discrepancy(
        session,
        merchant_transaction_id,
        DiscrepancyKind.PENDING_TOO_LONG,
        fingerprint=str(held.status),
        detail=f"still {held.status}, as it has been since {format_timestamp(held.updated_at)}; Proof is asked again "
        "only when something new is reported",
        now=now,
    )


def note_failure(
    session: Session, merchant_transaction_id: str, failure: Failure, *, attempts: int, now: datetime
) -> None:
    """Notes that the reconciliation gave up after `attempts` calls, the last of which ended in `failure`. A 404 says
    that Proof does not know the id."""
    if failure.http_status == 404:
        reported = session.execute(
            select(Event.status, Event.updated_at)
            .where(Event.merchant_transaction_id == merchant_transaction_id)
            .order_by(Event.id.desc())
            .limit(1)
        ).first()
        kind, fingerprint = DiscrepancyKind.UNKNOWN_TO_PROOF, "404"
        if reported:
            claim = f"{reported[0]} of {format_timestamp(reported[1]) or 'no usable time'}"
            detail = f"reported {claim}, but Proof's API does not know the transaction: possibly forged"
        else:
            detail = (
                "watched by the partner, but Proof's API does not know the transaction: is it another's, or mistyped?"
            )
    else:
        kind, fingerprint = DiscrepancyKind.RECONCILIATION_FAILED, "failed"
        name = "/".join(filter(None, (failure.error, failure.code)))
        answered = f"HTTP {failure.http_status} {name}" if failure.http_status else name
        counted = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        detail = f"gave up at {format_timestamp(now)} after {counted}, the last one: {answered}"
    note_discrepancy(session, merchant_transaction_id, kind, fingerprint=fingerprint, detail=detail, now=now)
