"""One transaction's time line: what was reported, tried, confirmed, found odd, and looked at by a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from webhook_app.models import AuditEntry, Hint, StoredWatch
from webhook_app.usecases.finance.discrepancies import DiscrepancyReport
from webhook_app.usecases.finance.report_rows import AttemptReport, EventReport
from webhook_app.usecases.finance.transaction_story import ConfirmedChange, TransactionStory

#: Each confirmed value, as pages call it.
NAMES = {
    "partner_user_id": "Partner user",
    "type": "Type",
    "status": "Status",
    "currency": "Currency",
    "network": "Network",
    "crypto_amount": "Crypto amount",
    "fiat_currency": "Fiat currency",
    "fiat_amount": "Fiat amount",
    "created_at": "Created",
    "updated_at": "Updated",
}


@dataclass(frozen=True)
class TransactionEntry:
    """One entry of the time line; exactly one of the others is set."""

    at: datetime
    watch: StoredWatch | None = None
    hint: Hint | None = None
    event: EventReport | None = None
    act: AuditEntry | None = None
    attempt: AttemptReport | None = None
    change: ConfirmedChange | None = None
    found: DiscrepancyReport | None = None
    resolved: DiscrepancyReport | None = None


def make_time_line(story: TransactionStory) -> Sequence[TransactionEntry]:
    """Oldest first. Of one timestamp, a report comes before what a person did, then what asking Proof resulted in."""
    return sorted(_entries(story), key=lambda entry: (entry.at, _rank(entry)))


def _entries(story: TransactionStory) -> Iterator[TransactionEntry]:
    if story.watch is not None:
        yield TransactionEntry(story.watch.watched_at, watch=story.watch)
    for hint in story.hints:
        yield TransactionEntry(hint.received_at, hint=hint)
    for event in story.report.events:
        yield TransactionEntry(event.received_at, event=event)
    for act in story.acts:
        yield TransactionEntry(act.at, act=act)
    for attempt in story.report.attempts:
        yield TransactionEntry(attempt.finished_at, attempt=attempt)
    for change in story.changes:
        yield TransactionEntry(change.version.recorded_at, change=change)
    for discrepancy in (*story.unresolved, *story.resolved):
        yield TransactionEntry(discrepancy.opened_at, found=discrepancy)
        if discrepancy.resolved_at is not None:
            yield TransactionEntry(discrepancy.resolved_at, resolved=discrepancy)


def _rank(entry: TransactionEntry) -> int:
    kinds = (entry.watch, entry.hint, entry.event, entry.act, entry.attempt, entry.change, entry.found, entry.resolved)
    return next(number for number, kind in enumerate(kinds) if kind is not None)
