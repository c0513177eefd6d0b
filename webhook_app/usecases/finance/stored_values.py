"""The values that confirmed transactions have: what can be chosen of each column, and how it is spelled there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.models import Transaction
from webhook_app.usecases.finance.transaction_filter import SPELLED, TransactionFilter

#: Columns with few values, each with an index that begins with it.
CHOSEN = ("status", "type", *SPELLED)

#: Values of one column that are looked at. Proof has dozens of currencies.
MOST_VALUES = 300


def list_values(database: Database) -> dict[str, Sequence[str]]:
    """The values of each of CHOSEN, in order."""
    with database.read() as session:
        return {name: _find_values(session, name) for name in CHOSEN}


def in_stored_spelling(session: Session, wanted: TransactionFilter) -> TransactionFilter:
    """The filter with the spellings under which its currencies and networks are stored: `eur` finds `EUR`."""
    asked = {name: value for name in SPELLED if (value := getattr(wanted, name)) is not None}
    if not asked or wanted.as_of is not None:
        return wanted
    found = {
        name: [stored for stored in _find_values(session, name) if stored.casefold() == value.casefold()]
        for name, value in asked.items()
    }
    return replace(wanted, spellings=found)


def _find_values(session: Session, name: str) -> Sequence[str]:
    """One look into the column's index for each value ("loose index scan"), however many rows have it."""
    column = getattr(Transaction, name)
    values = select(func.min(column).label("value")).cte("found", recursive=True)
    following = select(func.min(column)).where(column > values.c.value).scalar_subquery()
    values = values.union_all(select(following).where(values.c.value.is_not(None)))
    return session.scalars(select(values.c.value).where(values.c.value.is_not(None)).limit(MOST_VALUES)).all()
