"""Confirming: what Proof's API says of a transaction becomes what we hold, if it is not older; with its history."""

from __future__ import annotations

import hashlib
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from webhook_app.adapters.proof import Confirmed
from webhook_app.db.upsert import insert_into
from webhook_app.domain.money import format_amount
from webhook_app.domain.status import TERMINAL, Status, StatusChange, Step, classify_step
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import HistoryEntry, Transaction
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.usecases.reconcile.discrepancies import note_discrepancy

#: What finance books: a change of one of these after a terminal status is a discrepancy.
_VALUES = (
    *("status", "type", "currency", "network", "crypto_amount", "fiat_currency", "fiat_amount"),
    *("partner_user_id", "created_at"),
)
#: What may differ where the user pays again in the widget: it fails, or fetches another amount of crypto.
_OF_ONE_PAYMENT = ("status", "crypto_amount")


def confirm_transaction(
    session: Session, transaction: Transaction | None, confirmed: Confirmed, now: datetime
) -> Transaction:
    """The transaction after Proof's answer: changed, with its history, or, where the answer is older than what we hold,
    kept. A stale answer, an impossible step and a change of what was terminal are discrepancies, one of them at most;
    the latter two are applied."""
    held = StatusChange(Status(transaction.status), transaction.updated_at) if transaction else None
    step = classify_step(held, StatusChange(confirmed.status, confirmed.updated_at))
    has_changed = False
    if transaction and held and held.status in TERMINAL and step.is_applied:
        has_changed = _note_terminal_change(session, transaction, confirmed, step, now)
    if step.is_applied:
        transaction = _store_transaction(session, transaction, confirmed, now)
        if step.is_change:
            _insert_history(session, confirmed, now)
    assert transaction is not None, "a first answer is always applied"
    if held and step is Step.IMPOSSIBLE and not has_changed:
        _note_step(session, DiscrepancyKind.IMPOSSIBLE_STEP, held, confirmed, now)
    if held and step is Step.STALE:
        _note_step(session, DiscrepancyKind.STALE_ANSWER, held, confirmed, now)
    return transaction


def _note_terminal_change(session: Session, held: Transaction, confirmed: Confirmed, step: Step, now: datetime) -> bool:
    """Notes that finance may have closed its books on other values; returns whether it did. The transaction still is as
    it was. A payment that is made again after it failed keeps all values but those of one payment."""
    is_paid_again = step is Step.FORWARD
    changes = [
        f"{name} {_written(before)} became {_written(after)}"
        for name in _VALUES
        if (before := getattr(held, name)) != (after := getattr(confirmed, name))
        and not (is_paid_again and (name in _OF_ONE_PAYMENT or before is None))
    ]
    if not changes:
        return False
    listed = "; ".join(changes)
    since = f"Proof had confirmed {held.status} of {format_timestamp(held.updated_at)}"
    note_discrepancy(
        session,
        confirmed.merchant_transaction_id,
        DiscrepancyKind.TERMINAL_CHANGED,
        fingerprint=hashlib.sha256(f"{since} {listed}".encode()).hexdigest()[:32],
        detail=f"{since}; then {listed}",
        now=now,
    )
    return True


def _written(value: object) -> str:
    if isinstance(value, Decimal):
        return str(format_amount(value))
    if isinstance(value, datetime):
        return str(format_timestamp(value))
    return "none" if value is None else str(value)


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


def _insert_history(session: Session, confirmed: Confirmed, now: datetime) -> None:
    session.execute(
        insert_into(session, HistoryEntry)
        .values(
            merchant_transaction_id=confirmed.merchant_transaction_id,
            status=confirmed.status,
            updated_at=confirmed.updated_at,
            recorded_at=now,
        )
        # Proof tells time in seconds: within one it may return to a status that the history has for that second.
        .on_conflict_do_nothing(
            index_elements=[
                HistoryEntry.merchant_transaction_id,
                HistoryEntry.status,
                HistoryEntry.updated_at,
            ]
        )
    )


def _note_step(
    session: Session, kind: DiscrepancyKind, held: StatusChange, confirmed: Confirmed, now: datetime
) -> None:
    at = format_timestamp(confirmed.updated_at)
    if kind is DiscrepancyKind.IMPOSSIBLE_STEP:
        detail = f"Proof went from {held.status} to {confirmed.status} at {at}, a step that its lifecycle lacks"
    else:
        detail = (
            f"Proof answered {confirmed.status} of {at} after it had confirmed {held.status} of "
            f"{format_timestamp(held.updated_at)}; the newer one is kept"
        )
    note_discrepancy(
        session,
        confirmed.merchant_transaction_id,
        kind,
        fingerprint=f"{held.status}-{confirmed.status}-{at}",
        detail=detail,
        now=now,
    )
