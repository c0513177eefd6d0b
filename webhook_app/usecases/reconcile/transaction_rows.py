"""The rows of confirmed transactions and of their history: read and written in sets, a constant number of statements
for any number. The caller holds the reconciliations of these transactions locked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, literal, select, true, update
from sqlalchemy.orm import Session

from webhook_app.db.row_sets import is_one_of, row_set
from webhook_app.db.upsert import insert_into
from webhook_app.domain.status import Status, StatusChange
from webhook_app.models import HistoryEntry, Transaction

_TABLE: Any = Transaction.__table__
_HISTORY: Any = HistoryEntry.__table__
_HISTORY_KEY = ("merchant_transaction_id", "status", "updated_at")


@dataclass(frozen=True)
class Held:
    """What we hold of one transaction, as Proof has confirmed it."""

    merchant_transaction_id: str
    status: Status
    type: str
    currency: str
    network: str | None
    crypto_amount: Decimal | None
    fiat_currency: str | None
    fiat_amount: Decimal | None
    partner_user_id: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def change(self) -> StatusChange:
        return StatusChange(self.status, self.updated_at)


#: The columns of these names.
FIELDS = tuple(Held.__dataclass_fields__)


def load(session: Session, names: Sequence[str]) -> dict[str, Held]:
    """What we hold of these transactions, by `merchant_transaction_id`; without those that were never confirmed."""
    rows = session.execute(
        select(*(_TABLE.c[name] for name in FIELDS)).where(is_one_of(session, _TABLE.c.merchant_transaction_id, names))
    )
    return {row[0]: Held(row[0], Status(row[1]), *row[2:]) for row in rows}


def insert_confirmed(session: Session, new: Sequence[Held], now: datetime) -> None:
    """Transactions that are confirmed for the first time."""
    if new:
        given = _row_set(session, FIELDS, new)
        columns = {name: given.c[name] for name in FIELDS} | {"confirmed_at": literal(now, _TABLE.c.confirmed_at.type)}
        session.execute(insert(_TABLE).from_select(list(columns), select(*columns.values()), include_defaults=False))


def update_confirmed(session: Session, changed: Sequence[Held], now: datetime) -> None:
    """Transactions that have changed."""
    if changed:
        given = _row_set(session, FIELDS, changed)
        session.execute(
            update(_TABLE)
            .where(_TABLE.c.merchant_transaction_id == given.c.merchant_transaction_id)
            .values({name: given.c[name] for name in FIELDS[1:]} | {"confirmed_at": now})
        )


def confirm_again(session: Session, same: Sequence[Held], now: datetime) -> None:
    """Transactions that stand as they stood: SQLite writes each index of a column that is written, changed or not."""
    if same:
        names = [held.merchant_transaction_id for held in same]
        session.execute(
            update(_TABLE)
            .where(is_one_of(session, _TABLE.c.merchant_transaction_id, names))
            .values({"confirmed_at": now})
        )


def insert_history(session: Session, changes: Sequence[Held], now: datetime) -> None:
    """The status changes of transactions that are stored."""
    if not changes:
        return
    given = _row_set(session, _HISTORY_KEY, changes)
    columns = {name: given.c[name] for name in _HISTORY_KEY} | {
        "recorded_at": literal(now, _HISTORY.c.recorded_at.type)
    }
    session.execute(
        insert_into(session, _HISTORY)
        # SQLite takes ON CONFLICT for a join's ON without a WHERE before it.
        .from_select(list(columns), select(*columns.values()).where(true()), include_defaults=False)
        # Proof tells time in seconds: within one it may return to a status that the history has for that second.
        .on_conflict_do_nothing(index_elements=[_HISTORY.c[name] for name in _HISTORY_KEY])
    )


def _row_set(session: Session, names: Sequence[str], rows: Sequence[Held]) -> Any:
    columns = {name: _TABLE.c[name].type for name in names}
    return row_set(session, "given", columns, [[_stored(getattr(row, name)) for name in names] for row in rows])


def _stored(value: object) -> object:
    return value.value if isinstance(value, Status) else value
