"""Comparing, transaction by transaction, what we hold with what the sandbox holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from sqlalchemy import func, select

from webhook_app.db.database import Database
from webhook_app.models import Event, HistoryEntry, Receipt, Reconciliation, Transaction
from webhook_app.models.event import IS_UNOPENED, RECEIPT_IS_UNOPENED, Delivery
from webhook_app.models.reconciliation import OPEN_STATES, State
from webhook_app.sandbox import transactions as sandbox

EventKey = tuple[str, str, datetime]
Change = tuple[str, datetime]


@dataclass
class Verdict:
    """What is wrong, in words, by kind. All empty is what is promised."""

    lost: dict[str, str] = field(default_factory=dict)
    duplicated: dict[str, str] = field(default_factory=dict)
    backwards: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Visibly failed, which is kept for a person and no loss."""
    behind: list[str] = field(default_factory=list)
    """Held as `failed` while Proof went on without a webhook that reached us; a late check is planned."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.backwards)


@dataclass(frozen=True)
class Held:
    """What SQL holds, read at one moment after all has come to rest."""

    events: Mapping[EventKey, str]
    event_count: int
    receipts: int
    transactions: Mapping[str, Transaction]
    history: Mapping[str, list[Change]]
    reconciliations: Mapping[str, Reconciliation]


def read_held(database: Database) -> Held:
    with database.read() as session:
        rows = session.execute(select(Event.merchant_transaction_id, Event.status, Event.updated_at, Event.delivery))
        all_events = [((one.merchant_transaction_id, one.status, one.updated_at), one.delivery) for one in rows]
        history: dict[str, list[Change]] = defaultdict(list)
        for change in session.scalars(select(HistoryEntry).order_by(HistoryEntry.id)):
            history[change.merchant_transaction_id].append((change.status, change.updated_at))
        return Held(
            events=dict(all_events),
            event_count=len(all_events),
            receipts=session.scalar(select(func.count()).select_from(Receipt)) or 0,
            transactions={row.merchant_transaction_id: row for row in session.scalars(select(Transaction))},
            history=history,
            reconciliations={row.merchant_transaction_id: row for row in session.scalars(select(Reconciliation))},
        )


def open_work(database: Database) -> int:
    """Events and copies that are not opened; and reconciliations neither done nor failed, or in a worker's hands."""
    is_open = Reconciliation.state.in_(OPEN_STATES) | Reconciliation.claim_token.is_not(None)
    with database.read() as session:
        # In this order: what is opened between two of them is counted twice, not missed.
        events = session.scalar(select(func.count()).select_from(Event).where(IS_UNOPENED)) or 0
        copies = session.scalar(select(func.count()).select_from(Receipt).where(RECEIPT_IS_UNOPENED)) or 0
        return events + copies + (session.scalar(select(func.count()).select_from(Reconciliation).where(is_open)) or 0)


def compare(
    held: Held,
    truth: Iterable[sandbox.Transaction],
    accepted: Collection[EventKey],
    *,
    expected_to_fail: str = "poison",
) -> Verdict:
    """`accepted` are the events that we answered with 2xx; `expected_to_fail` begins the ids that may never succeed."""
    verdict = Verdict()
    by_id = {one.merchant_transaction_id: one for one in truth}
    for key in accepted:
        if held.events.get(key) is None:
            verdict.lost[key[0]] = f"event {key[1]} of {key[2].isoformat()} was accepted and is not in SQL"
    if held.event_count != len(held.events):
        verdict.duplicated["*"] = f"{held.event_count} event rows for {len(held.events)} events"
    for (transaction_id, status, _), delivery in held.events.items():
        if delivery not in (Delivery.SUCCEEDED, Delivery.FAILED):
            verdict.lost[transaction_id] = f"event {status} is still {delivery}"
    for transaction_id, reconciliation in held.reconciliations.items():
        if reconciliation.state == State.FAILED:
            verdict.failed[transaction_id] = f"{reconciliation.last_error}/{reconciliation.last_code}"
        elif reconciliation.state in OPEN_STATES:
            verdict.lost[transaction_id] = f"its reconciliation is still {reconciliation.state}"
        if transaction_id in by_id and reconciliation.state != State.FAILED:
            _compare_one(verdict, held, by_id[transaction_id], reconciliation)
    for transaction_id, changes in held.history.items():
        _check_history(verdict, transaction_id, changes, by_id.get(transaction_id))
    return verdict


def _compare_one(verdict: Verdict, held: Held, theirs: sandbox.Transaction, reconciliation: Reconciliation) -> None:
    transaction_id = theirs.merchant_transaction_id
    ours = held.transactions.get(transaction_id)
    if ours is None:
        verdict.lost[transaction_id] = "it was never confirmed"
        return
    if (ours.status, ours.updated_at) != (theirs.status, theirs.updated_at):
        if ours.status == "failed" and reconciliation.next_attempt_at is not None:
            verdict.behind.append(transaction_id)
        else:
            verdict.lost[transaction_id] = f"we hold {ours.status}, Proof {theirs.status}"
        return
    if (ours.crypto_amount, ours.fiat_amount) != (theirs.crypto_amount, theirs.fiat_amount):
        verdict.lost[transaction_id] = f"we hold {ours.crypto_amount} {ours.fiat_amount}, Proof others"
    if held.history[transaction_id][-1:] != [(ours.status, ours.updated_at)]:
        verdict.lost[transaction_id] = "its history does not end with its status"


def _check_history(
    verdict: Verdict, transaction_id: str, changes: list[Change], theirs: sandbox.Transaction | None
) -> None:
    """Ours must be a part of theirs in the same order: what a GET never showed cannot be in it."""
    if len(set(changes)) != len(changes):
        verdict.duplicated[transaction_id] = "a status change is recorded twice"
    if any(later[1] <= earlier[1] for earlier, later in pairwise(changes)):
        verdict.backwards[transaction_id] = f"{[change[0] for change in changes]}"
    if theirs is not None:
        true_changes = [(str(change.status), change.updated_at) for change in theirs.history]
        if any(change not in true_changes for change in changes):
            verdict.duplicated[transaction_id] = "a status change that Proof does not have"
