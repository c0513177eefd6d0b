"""Copies: messages about events that are there already. Each is a receipt; some are to be looked at for work.

Nothing is locked and no reconciliation is read here: whoever takes events in waits for nobody. So a copy is only marked
as one that may ask for its reconciliation; the reconciling side decides (`usecases/reconcile/copies.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.db.row_sets import insert_rows
from webhook_app.domain.reported_values import ReportedValues
from webhook_app.models import Receipt
from webhook_app.models.event import RECEIPT_IS_UNOPENED, Channel

#: Of one event: bodies of copies that report what is known already, in another spelling; and copies that report
#: something else, each of which asks Proof once. A copy beyond these is a receipt without a body.
MOST_SPELLINGS = 20
MOST_REPORTS = 20

#: Copies that wait to be looked at and are considered before another is marked.
_MOST_WAITING = 1000

#: What a message of that channel never says (proof/tx-update.json): its silence is no other value.
_NOT_SAID = {Channel.WEBSOCKET.value: frozenset({"network", "created_at"})}

_TABLE: Any = Receipt.__table__


@dataclass(frozen=True)
class KnownEvent:
    """The event that a copy is of."""

    id: int
    body: bytes
    values: ReportedValues
    channel: str
    may_be_asked_again: bool
    """Whether a copy that reports the same may ask again: the event is not settled, or has no `updated_at`, so that the
    same message may tell of another change."""


@dataclass(frozen=True)
class Copy:
    """One more message about an event."""

    event: KnownEvent
    values: ReportedValues
    body: bytes
    channel: str
    received_at: datetime
    remote_addr: str | None
    headers: Mapping[str, str]


def insert_copies(session: Session, copies: Sequence[Copy]) -> None:
    """Their receipts; `copies` are in the order in which they came."""
    if copies:
        known = _Known(session, copies)
        insert_rows(session, _TABLE, [_receipt_row(known, copy) for copy in copies], (_TABLE.c.id,))


def _receipt_row(known: _Known, copy: Copy) -> dict[str, Any]:
    event = copy.event
    is_news = known.is_news(event, copy)
    is_report = is_news and known.take_report(event.id, copy.values)
    is_kept = is_report or (not is_news and copy.body != event.body and known.take_spelling(event.id))
    return {
        "event_id": event.id,
        "received_at": copy.received_at,
        "remote_addr": copy.remote_addr,
        "headers": dict(copy.headers),
        "body": copy.body if is_kept else None,
        "channel": copy.channel,
        "reported": copy.values.as_json() if is_report else None,
        "is_opened": not (is_report or (event.may_be_asked_again and known.take_turn(event.id))),
    }


class _Known:
    """What is known of the copies of these events, with those of the present batch."""

    def __init__(self, session: Session, copies: Iterable[Copy]) -> None:
        differing = {copy.event.id for copy in copies if copy.body != copy.event.body}
        self._reports: dict[int, list[ReportedValues]] = defaultdict(list)
        self._spellings: dict[int, int] = defaultdict(int)
        if differing:
            self._read_bodies(session, differing)
        may_ask = any(copy.event.may_be_asked_again for copy in copies)
        self._waiting = _find_waiting(session) if may_ask else set()

    def is_news(self, event: KnownEvent, copy: Copy) -> bool:
        """Whether nobody has reported these values of the event before."""
        if event.channel == copy.channel:
            silent: frozenset[str] = frozenset()
        else:
            silent = _NOT_SAID.get(event.channel, frozenset()) | _NOT_SAID.get(copy.channel, frozenset())
        return not any(
            not copy.values.says_otherwise(known, silent) for known in (event.values, *self._reports[event.id])
        )

    def take_report(self, event_id: int, values: ReportedValues) -> bool:
        """Whether they are a report of their own, of which there are only so many."""
        if len(self._reports[event_id]) >= MOST_REPORTS:
            return False
        self._reports[event_id].append(values)
        return True

    def take_spelling(self, event_id: int) -> bool:
        self._spellings[event_id] += 1
        return self._spellings[event_id] <= MOST_SPELLINGS

    def take_turn(self, event_id: int) -> bool:
        """Whether no other copy of the event waits to be looked at: one look is for all that came before it."""
        is_first = event_id not in self._waiting
        self._waiting.add(event_id)
        return is_first

    def _read_bodies(self, session: Session, event_ids: set[int]) -> None:
        """An index has the receipts with a body alone; each report has one."""
        with_body = (Receipt.event_id.in_(event_ids), Receipt.body.is_not(None))
        for event_id, reported in session.execute(
            select(Receipt.event_id, Receipt.reported).where(*with_body, Receipt.reported.is_not(None))
        ):
            self._reports[event_id].append(ReportedValues.from_json(reported))
        for event_id, count in session.execute(
            select(Receipt.event_id, func.count())
            .where(*with_body, Receipt.reported.is_(None))
            .group_by(Receipt.event_id)
        ):
            self._spellings[event_id] = count


def _find_waiting(session: Session) -> set[int]:
    """The events of which a copy waits to be looked at, found among those copies, which are few."""
    waiting = select(Receipt.event_id).where(RECEIPT_IS_UNOPENED).order_by(Receipt.id).limit(_MOST_WAITING)
    return set(session.scalars(waiting))
