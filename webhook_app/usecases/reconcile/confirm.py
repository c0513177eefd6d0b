"""Confirming: what Proof's API says of transactions becomes what we hold, where it is not older; with the history."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from webhook_app.adapters.proof import Confirmed
from webhook_app.domain.money import format_amount
from webhook_app.domain.status import TERMINAL, StatusChange, Step, classify_step
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.usecases.reconcile.discrepancies import Finding, note_discrepancies
from webhook_app.usecases.reconcile.transaction_rows import (
    FIELDS,
    Held,
    confirm_again,
    insert_confirmed,
    insert_history,
    load,
    update_confirmed,
)

#: What finance books: a change of one of these after a terminal status is a discrepancy.
_VALUES = (
    *("status", "type", "currency", "network", "crypto_amount", "fiat_currency", "fiat_amount"),
    *("partner_user_id", "created_at"),
)
#: What may differ where the user pays again in the widget: it fails, or fetches another amount of crypto.
_OF_ONE_PAYMENT = ("status", "crypto_amount")
_AMOUNTS = ("crypto_amount", "fiat_amount")


def confirm_transactions(session: Session, answers: Sequence[Confirmed], now: datetime) -> Mapping[str, Held]:
    """What we hold of each after Proof's answers, one for a transaction: changed, with its history, or, where the
    answer is older than what we held, kept. A stale answer, an impossible step and a change of what was terminal are
    discrepancies, one of them at most for each; the latter two are applied. The caller holds their reconciliations
    locked."""
    if not answers:
        return {}
    before = load(session, [answer.merchant_transaction_id for answer in answers])
    after = dict(before)
    new: list[Held] = []
    changed: list[Held] = []
    same: list[Held] = []
    history: list[Held] = []
    findings: list[Finding] = []
    for answer in answers:
        held = before.get(answer.merchant_transaction_id)
        step = classify_step(held.change if held else None, StatusChange(answer.status, answer.updated_at))
        if held is not None and (finding := _find_oddity(held, answer, step)):
            findings.append(finding)
        if not step.is_applied:
            continue
        stands = Held(*(getattr(answer, name) for name in FIELDS))
        (new if held is None else same if _is_alike(held, stands) else changed).append(stands)
        if step.is_change:
            history.append(stands)
        after[answer.merchant_transaction_id] = stands
    insert_confirmed(session, new, now)
    update_confirmed(session, changed, now)
    confirm_again(session, same, now)
    insert_history(session, history, now)
    note_discrepancies(session, findings, now)
    return after


def _is_alike(one: Held, other: Held) -> bool:
    """2.5 and 2.50 are one amount, and are written differently."""
    return one == other and all(str(getattr(one, name)) == str(getattr(other, name)) for name in _AMOUNTS)


def _find_oddity(held: Held, answer: Confirmed, step: Step) -> Finding | None:
    """What is odd about an answer, seen from what we held."""
    if held.status in TERMINAL and step.is_applied and (found := _find_terminal_change(held, answer, step)):
        return found
    at = format_timestamp(answer.updated_at)
    if step is Step.IMPOSSIBLE:
        kind = DiscrepancyKind.IMPOSSIBLE_STEP
        detail = f"Proof went from {held.status} to {answer.status} at {at}, a step that its lifecycle lacks"
    elif step is Step.STALE:
        kind = DiscrepancyKind.STALE_ANSWER
        detail = (
            f"Proof answered {answer.status} of {at} after it had confirmed {held.status} of "
            f"{format_timestamp(held.updated_at)}; the newer one is kept"
        )
    else:
        return None
    return Finding(held.merchant_transaction_id, kind, f"{held.status}-{answer.status}-{at}", detail)


def _find_terminal_change(held: Held, answer: Confirmed, step: Step) -> Finding | None:
    """Finance may have closed its books on other values. A payment that is made again after it failed keeps all values
    but those of one payment."""
    is_paid_again = step is Step.FORWARD
    changes = [
        f"{name} {_written(before)} became {_written(after)}"
        for name in _VALUES
        if (before := getattr(held, name)) != (after := getattr(answer, name))
        and not (is_paid_again and (name in _OF_ONE_PAYMENT or before is None))
    ]
    if not changes:
        return None
    listed = "; ".join(changes)
    since = f"Proof had confirmed {held.status} of {format_timestamp(held.updated_at)}"
    fingerprint = hashlib.sha256(f"{since} {listed}".encode()).hexdigest()[:32]
    kind = DiscrepancyKind.TERMINAL_CHANGED
    return Finding(held.merchant_transaction_id, kind, fingerprint, f"{since}; then {listed}")


def _written(value: object) -> str:
    if isinstance(value, Decimal):
        return str(format_amount(value))
    if isinstance(value, datetime):
        return str(format_timestamp(value))
    return "none" if value is None else str(value)
