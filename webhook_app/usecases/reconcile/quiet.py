"""Whether there is nothing for the clock to do, asked in one statement: most seconds of a night are like that."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, or_, select

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import keep
from webhook_app.models import Event, Receipt, Reconciliation, Replay, StoredGate
from webhook_app.models.event import IS_UNOPENED, RECEIPT_IS_UNOPENED
from webhook_app.models.reconciliation import HAS_EVENTS_BEHIND

_NOW = bindparam("now", type_=Reconciliation.__table__.c.next_attempt_at.type)


def has_any(first: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether any row meets the conditions; `first` is the column of the index that holds them.

    As EXISTS it would be a scan of the whole table where PostgreSQL expects to meet such a row soon, as it does where
    it has no statistics yet, or where they are of a time when much waited.
    """
    return select(first).where(*conditions).order_by(first).limit(1).scalar_subquery().is_not(None)


_SOMETHING = keep(
    select(
        or_(
            has_any(
                Reconciliation.next_attempt_at,
                Reconciliation.next_attempt_at <= _NOW,
                Reconciliation.claim_token.is_(None),
            ),
            has_any(Reconciliation.lease_until, Reconciliation.lease_until < _NOW),
            has_any(Event.id, IS_UNOPENED),
            has_any(Receipt.id, RECEIPT_IS_UNOPENED),
            has_any(Reconciliation.id, HAS_EVENTS_BEHIND),
            has_any(Replay.id, Replay.released_at.is_(None)),
            has_any(StoredGate.id, StoredGate.id == 1, StoredGate.outage_since.is_not(None)),
        )
    )
)


def is_quiet(database: Database, now: datetime) -> bool:
    """True where nothing is due, no lease has run out, no event or copy waits to be opened or to follow its
    reconciliation, no replay runs, and no outage has to be dealt with. Then a sweep looks no further: what it is to do
    beside that has to be asked here too."""
    with database.read(by_index=True) as session:
        return not _SOMETHING.rows(session, {"now": now})[0][0]
