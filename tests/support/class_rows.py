"""Reconciliations of each work class, as they stand in SQL."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert

from tests.support.clock import START
from tests.support.example_rows import RECONCILIATION
from webhook_app.db.database import Database
from webhook_app.domain.shares import WorkClass
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import AskedBy, State

FIRST, RETRY, POLL, HANGING, STRANGER, BACKFILL = WorkClass

#: A row of each class, due.
OF_CLASS: dict[WorkClass, dict[str, object]] = {
    FIRST: {"state": State.PENDING},
    RETRY: {"state": State.RETRYING},
    POLL: {"state": State.WATCHING},
    HANGING: {"state": State.RETRYING, "last_code": "timeout"},
    STRANGER: {"state": State.PENDING, "asked_by": AskedBy.STRANGER},
    BACKFILL: {"state": State.PENDING, "asked_by": AskedBy.BACKFILL},
}


def put(database: Database, prefix: str, count: int, *, due: float = 60.0, **values: object) -> None:
    """So many reconciliations, `<prefix>0` and so on, that have been due for `due` seconds at `START`."""
    rows = [
        RECONCILIATION
        | {"merchant_transaction_id": f"{prefix}{number}", "next_attempt_at": START - timedelta(seconds=due)}
        | {"asked_by": AskedBy.EVENT, "last_code": None}
        | values
        for number in range(count)
    ]
    with database.write() as session:
        session.execute(insert(Reconciliation), rows)
