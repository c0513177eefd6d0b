"""The rows of confirmed transactions and of their history: read and written in sets, a constant number of statements
for any number. The caller holds the reconciliations of these transactions locked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Executable, bindparam, insert, select, true, update
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import one_by_one
from webhook_app.db.row_sets import RowSet, for_each_dialect
from webhook_app.db.upsert import insert_on
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

_NAMES = RowSet("names", {"name": _TABLE.c.merchant_transaction_id.type})
_GIVEN = RowSet("given", {name: _TABLE.c[name].type for name in FIELDS})
_CHANGES = RowSet("changes", {name: _TABLE.c[name].type for name in _HISTORY_KEY})
_NOW = bindparam("now", type_=_TABLE.c.confirmed_at.type)


def load(session: Session, names: Sequence[str]) -> dict[str, Held]:
    """What we hold of these transactions, by `merchant_transaction_id`; without those that were never confirmed."""
    rows = session.execute(_load(session), _NAMES.given(session, [(name,) for name in names]))
    return {row[0]: Held(row[0], Status(row[1]), *row[2:]) for row in rows}


def insert_confirmed(session: Session, new: Sequence[Held], now: datetime) -> None:
    """Transactions that are confirmed for the first time."""
    if new:
        session.execute(_insert(session), _GIVEN.given(session, _values(FIELDS, new)) | {"now": now})


def update_confirmed(session: Session, changed: Sequence[Held], now: datetime) -> None:
    """Transactions that have changed."""
    if changed:
        session.execute(_update(session), _GIVEN.given(session, _values(FIELDS, changed)) | {"now": now})


def confirm_again(session: Session, same: Sequence[Held], now: datetime) -> None:
    """Transactions that stand as they stood: SQLite writes each index of a column that is written, changed or not."""
    if same:
        names = [(held.merchant_transaction_id,) for held in same]
        session.execute(_confirm_again(session), _NAMES.given(session, names) | {"now": now})


def insert_history(session: Session, changes: Sequence[Held], now: datetime) -> None:
    """The status changes of transactions that are stored."""
    if changes:
        session.execute(
            _insert_history(session), _CHANGES.given(session, _values(_HISTORY_KEY, changes)) | {"now": now}
        )


@for_each_dialect
def _load(dialect: str) -> Executable:
    named = _NAMES.holds(dialect, "name", _TABLE.c.merchant_transaction_id)
    return select(*(_TABLE.c[name] for name in FIELDS)).where(named)


@for_each_dialect
def _insert(dialect: str) -> Executable:
    given = _GIVEN.table(dialect)
    return insert(_TABLE).from_select([*FIELDS, "confirmed_at"], select(*given.c, _NOW), include_defaults=False)


@for_each_dialect
def _update(dialect: str) -> Executable:
    given = _GIVEN.table(dialect)
    return (
        update(_TABLE)
        .where(_TABLE.c.merchant_transaction_id == one_by_one(given.c.merchant_transaction_id))
        .values({name: given.c[name] for name in FIELDS[1:]} | {"confirmed_at": _NOW})
    )


@for_each_dialect
def _confirm_again(dialect: str) -> Executable:
    named = _NAMES.holds(dialect, "name", _TABLE.c.merchant_transaction_id)
    return update(_TABLE).where(named).values({"confirmed_at": _NOW})


@for_each_dialect
def _insert_history(dialect: str) -> Executable:
    changes = _CHANGES.table(dialect)
    statement: Executable = (
        insert_on(dialect, _HISTORY)
        # SQLite takes ON CONFLICT for a join's ON without a WHERE before it.
        .from_select([*_HISTORY_KEY, "recorded_at"], select(*changes.c, _NOW).where(true()), include_defaults=False)
        # Proof tells time in seconds: within one it may return to a status that the history has for that second.
        .on_conflict_do_nothing(index_elements=[_HISTORY.c[name] for name in _HISTORY_KEY])
    )
    return statement


def _values(names: Sequence[str], rows: Sequence[Held]) -> list[list[Any]]:
    """The status as plain text: drivers take no enumeration."""
    return [
        [value.value if isinstance(value := getattr(row, name), Status) else value for name in names] for row in rows
    ]
