"""Confirming: what Proof's API says of a transaction becomes what we hold, if it is not older; with its history."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from webhook_app.adapters.proof import Confirmed
from webhook_app.db.upsert import insert_into
from webhook_app.domain.status import Status, StatusChange, Step, classify_step
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import StatusChangeRecord, Transaction
from webhook_app.models.anomaly import AnomalyKind
from webhook_app.usecases.anomalies import note_anomaly


def confirm_transaction(
    session: Session, transaction: Transaction | None, confirmed: Confirmed, now: datetime
) -> Transaction:
    """The transaction after Proof's answer: taken over with its status change recorded, or, where the answer is older
    than what we hold, kept. A stale answer and an impossible step are anomalies; the impossible step is applied."""
    held = StatusChange(Status(transaction.status), transaction.updated_at) if transaction else None
    step = classify_step(held, StatusChange(confirmed.status, confirmed.updated_at))
    if step.is_applied:
        transaction = _store_transaction(session, transaction, confirmed, now)
        if step.is_change:
            _record_status_change(session, confirmed, now)
    assert transaction is not None, "a first answer is always applied"
    if held and step is Step.IMPOSSIBLE:
        _note_step(session, AnomalyKind.IMPOSSIBLE_STEP, held, confirmed, now)
    if held and step is Step.STALE:
        _note_step(session, AnomalyKind.STALE_ANSWER, held, confirmed, now)
    return transaction


def _store_transaction(
    session: Session, transaction: Transaction | None, confirmed: Confirmed, now: datetime
) -> Transaction:
    if transaction is None:
        transaction = Transaction(merchant_transaction_id=confirmed.merchant_transaction_id)
        session.add(transaction)
    transaction.partner_user_id = confirmed.partner_user_id
    transaction.type = confirmed.type
    transaction.status = confirmed.status
    transaction.currency = confirmed.currency
    transaction.network = confirmed.network
    transaction.crypto_amount = confirmed.crypto_amount
    transaction.fiat_currency = confirmed.fiat_currency
    transaction.fiat_amount = confirmed.fiat_amount
    transaction.created_at = confirmed.created_at
    transaction.updated_at = confirmed.updated_at
    transaction.confirmed_at = now
    session.flush()
    return transaction


def _record_status_change(session: Session, confirmed: Confirmed, now: datetime) -> None:
    session.execute(
        insert_into(session, StatusChangeRecord)
        .values(
            merchant_transaction_id=confirmed.merchant_transaction_id,
            status=confirmed.status,
            updated_at=confirmed.updated_at,
            recorded_at=now,
        )
        .on_conflict_do_nothing()
    )


def _note_step(session: Session, kind: AnomalyKind, held: StatusChange, confirmed: Confirmed, now: datetime) -> None:
    at = format_timestamp(confirmed.updated_at)
    if kind is AnomalyKind.IMPOSSIBLE_STEP:
        detail = f"Proof went from {held.status} to {confirmed.status} at {at}, a step that its lifecycle lacks"
    else:
        detail = (
            f"Proof answered {confirmed.status} of {at} after it had confirmed {held.status} of "
            f"{format_timestamp(held.updated_at)}; the newer one is kept"
        )
    note_anomaly(
        session,
        confirmed.merchant_transaction_id,
        kind,
        fingerprint=f"{held.status}-{confirmed.status}-{at}",
        detail=detail,
        now=now,
    )
