"""Days of Proof's messages: confirmed status changes are counted once, a while after each, when what tells of it has
come; what is not counted yet is measured in the same way."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.domain.lateness import add_up, span_of
from webhook_app.domain.status import TERMINAL
from webhook_app.models import ChannelDay, HistoryEntry, Reconciliation, ScorecardProgress, Transaction
from webhook_app.models.event import Channel
from webhook_app.usecases.tellings import Telling, Tellings, find_tellings

#: How long after a change was recorded its webhook is waited for; one that comes later counts as lost.
SETTLED_AFTER = timedelta(hours=1)
#: What changed so long before we knew of its transaction, and was told by nobody, is not Proof's to answer for.
_BEFORE_OUR_TIME = timedelta(hours=1)
#: Changes that are counted together.
BATCH = 500
#: Seconds after which a call begins no further batch: whoever counts has other work, which waits meanwhile.
MOST_SECONDS = 0.5

#: Day, type, currency and network.
Key = tuple[date, str, str, str]


@dataclass
class Counts:
    """Added up; each is explained in `models/scorecard.py`."""

    changes: int = 0
    changes_by_webhook: int = 0
    finals: int = 0
    finals_by_webhook: int = 0
    finals_by_websocket: int = 0
    finals_by_polling: int = 0
    repeated: int = 0
    out_of_order: int = 0
    late: dict[str, int] = field(default_factory=dict)
    latest: float = 0.0

    @property
    def lost(self) -> int:
        """Webhooks that did not come, of all confirmed changes."""
        return self.changes - self.changes_by_webhook

    @property
    def finals_lost(self) -> int:
        return self.finals - self.finals_by_webhook

    def add(self, other: Counts | ChannelDay) -> None:
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.late = add_up(self.late, other.late)
        self.latest = max(self.latest, other.latest)


_SUMS = tuple(one.name for one in fields(Counts) if one.name not in ("late", "latest"))


@dataclass(frozen=True)
class _Change:
    id: int
    merchant_transaction_id: str
    status: str
    updated_at: datetime
    recorded_at: datetime
    type: str
    currency: str
    network: str
    known_at: datetime

    @property
    def key(self) -> Key:
        return self.updated_at.astimezone(UTC).date(), self.type, self.currency, self.network


def count_changes(database: Database, now: datetime) -> int:
    """Counts the next changes, a batch at least, each exactly once however many do it; returns how many."""
    counted, began_at = 0, time.monotonic()
    while not counted or time.monotonic() - began_at < MOST_SECONDS:
        with database.read(by_index=True) as session:  # mostly there are none, and no lock is needed for that
            if not _find_settled(session, _progress(session), now, 1):
                break
        counted += database.run(lambda session: _count(session, now), by_index=True)
    return counted


def measure_uncounted(session: Session, limit: int) -> dict[Key, Counts] | None:
    """What is not counted yet, as it stands; None where that is more than `limit` changes."""
    after = _progress(session)
    waiting = select(HistoryEntry.id).where(HistoryEntry.id > after).limit(limit + 1).subquery()
    if (session.scalar(select(func.count()).select_from(waiting)) or 0) > limit:
        return None
    return _measure(session, _load(session, _uncounted(after)))


def _progress(session: Session) -> int:
    return session.scalar(select(ScorecardProgress.changes).where(ScorecardProgress.id == 1)) or 0


def _count(session: Session, now: datetime) -> int:
    progress = session.scalar(select(ScorecardProgress).where(ScorecardProgress.id == 1).with_for_update())
    if progress is None:
        return 0
    changes = _find_settled(session, progress.changes, now, BATCH)
    for key, counts in sorted(_measure(session, changes).items()):
        _store(session, key, counts)
    if changes:
        progress.changes = changes[-1].id
    return len(changes)


def _find_settled(session: Session, after: int, now: datetime, limit: int) -> list[_Change]:
    """In the order of their ids, up to the first that is too young. What is further ahead than clocks differ was
    recorded before a clock was set back: nobody knows when, and it holds up nothing."""
    found = []
    for change in _load(session, _uncounted(after).limit(limit)):
        if now - SETTLED_AFTER < change.recorded_at <= now + MOST_SKEW:
            break
        found.append(change)
    return found


def _uncounted(after: int) -> Select[*tuple[Any, ...]]:
    """In the order of the fields of `_Change`."""
    return (
        select(
            HistoryEntry.id,
            HistoryEntry.merchant_transaction_id,
            HistoryEntry.status,
            HistoryEntry.updated_at,
            HistoryEntry.recorded_at,
            Transaction.type,
            Transaction.currency,
            func.coalesce(Transaction.network, ""),
            Reconciliation.created_at,
        )
        .join(Transaction, Transaction.merchant_transaction_id == HistoryEntry.merchant_transaction_id)
        .join(Reconciliation, Reconciliation.merchant_transaction_id == HistoryEntry.merchant_transaction_id)
        .where(HistoryEntry.id > after)
        .order_by(HistoryEntry.id)
    )


def _load(session: Session, query: Select[*tuple[Any, ...]]) -> list[_Change]:
    return [_Change(*row) for row in session.execute(query)]


def _measure(session: Session, changes: Sequence[_Change]) -> dict[Key, Counts]:
    tellings = find_tellings(session, {change.merchant_transaction_id for change in changes})
    overtaken = set(_find_overtaken(tellings))
    counted: dict[Key, Counts] = defaultdict(Counts)
    for change in changes:
        telling = tellings[change.id]
        if telling.first or change.updated_at >= change.known_at - _BEFORE_OUR_TIME:
            counted[change.key].add(_measure_one(change, telling, change.id in overtaken))
    return counted


def _measure_one(change: _Change, telling: Telling, is_overtaken: bool) -> Counts:
    is_final = change.status in TERMINAL
    in_time = {channel: at for channel, at in telling.first.items() if at <= change.recorded_at + SETTLED_AFTER}
    by_webhook, by_websocket = Channel.WEBHOOK in in_time, Channel.WEBSOCKET in in_time
    counts = Counts(
        changes=1,
        changes_by_webhook=int(by_webhook),
        finals=int(is_final),
        finals_by_webhook=int(is_final and by_webhook),
        finals_by_websocket=int(is_final and by_websocket),
        finals_by_polling=int(is_final and not by_webhook and not by_websocket),
        repeated=max(telling.webhooks - 1, 0),
        out_of_order=int(is_overtaken),
    )
    if by_webhook:
        seconds = max((in_time[Channel.WEBHOOK] - change.updated_at).total_seconds(), 0.0)
        counts.late, counts.latest = {span_of(seconds): 1}, seconds
    return counts


def _find_overtaken(tellings: Tellings) -> Iterator[int]:
    """Changes whose first webhook came after that of a later change of the same transaction."""
    earliest: dict[str, datetime] = {}
    for change_id, telling in reversed(tellings.items()):
        at = telling.first.get(Channel.WEBHOOK)
        if at is not None:
            first_of_later = earliest.get(telling.merchant_transaction_id, at)
            if at > first_of_later:
                yield change_id
            earliest[telling.merchant_transaction_id] = min(at, first_of_later)


def _store(session: Session, key: Key, counts: Counts) -> None:
    """Added to what is there; who does it holds the lock on the progress."""
    held = session.get(ChannelDay, key)
    if held is not None:
        counts.add(held)
    values = dict(zip(("day", "type", "currency", "network"), key, strict=True)) | vars(counts)
    insert = insert_into(session, ChannelDay).values(values)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[ChannelDay.day, ChannelDay.type, ChannelDay.currency, ChannelDay.network],
            set_={name: insert.excluded[name] for name in vars(counts)},
        )
    )
