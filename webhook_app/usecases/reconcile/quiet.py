"""Whether there is nothing for the clock to do, asked in one statement: most seconds of a night are like that."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, exists, or_, select

from webhook_app.db.database import Database
from webhook_app.models import Event, Receipt, Reconciliation, Replay, StoredGate
from webhook_app.models.event import IS_UNOPENED, RECEIPT_IS_UNOPENED
from webhook_app.models.reconciliation import HAS_EVENTS_BEHIND

_NOW = bindparam("now", type_=Reconciliation.__table__.c.next_attempt_at.type)

#: Each part is the first entry of an index.
_SOMETHING = select(
    or_(
        exists().where(Reconciliation.next_attempt_at <= _NOW, Reconciliation.claim_token.is_(None)),
        exists().where(Reconciliation.lease_until < _NOW),
        exists(select(Event.id).where(IS_UNOPENED)),
        exists(select(Receipt.id).where(RECEIPT_IS_UNOPENED)),
        exists(select(Reconciliation.id).where(HAS_EVENTS_BEHIND)),
        exists(select(Replay.id).where(Replay.released_at.is_(None))),
        exists(select(StoredGate.id).where(StoredGate.id == 1, StoredGate.outage_since.is_not(None))),
    )
)


def is_quiet(database: Database, now: datetime) -> bool:
    """True where nothing is due, no lease has run out, no event or copy waits to be opened or to follow its
    reconciliation, no replay runs, and no outage has to be dealt with."""
    with database.read() as session:
        return not session.scalar(_SOMETHING, {"now": now})


_SOMETHING_TO_OPEN = select(
    or_(
        exists(select(Event.id).where(IS_UNOPENED)),
        exists(select(Receipt.id).where(RECEIPT_IS_UNOPENED)),
        exists(select(Reconciliation.id).where(HAS_EVENTS_BEHIND)),
    )
)


def has_to_open(database: Database) -> bool:
    """Whether an event or copy waits to be opened, or events to follow their reconciliation: what comes before a claim,
    asked in one statement, for mostly there is nothing."""
    with database.read() as session:
        return bool(session.scalar(_SOMETHING_TO_OPEN))
