"""The values that confirmed transactions have: what can be chosen of each column, and how it is spelled there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import Select, func, literal, select, union_all
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import keep
from webhook_app.models import Transaction
from webhook_app.usecases.finance.transaction_filter import SPELLED, TransactionFilter

#: Columns with few values, each with an index that begins with it.
CHOSEN = ("status", "type", *SPELLED)

#: Values of one column that are looked at. Proof has dozens of currencies.
MOST_VALUES = 300


def list_values(database: Database) -> Mapping[str, Sequence[str]]:
    """The values of each of CHOSEN, in order."""
    with database.read() as session:
        rows = _VALUES.rows(session)
    found: dict[str, list[str]] = {name: [] for name in CHOSEN}
    for name, value in rows:
        found[name].append(value)
    return found


def in_stored_spelling(session: Session, wanted: TransactionFilter) -> TransactionFilter:
    """The filter with the spellings under which its currencies and networks are stored: `eur` finds `EUR`."""
    asked = {name: value for name in SPELLED if (value := getattr(wanted, name)) is not None}
    if not asked or wanted.as_of is not None:
        return wanted
    connection = session.connection()
    found = (
        (name, tuple(stored for _, stored in connection.execute(_values_of(name)) if _is_same(stored, value)))
        for name, value in asked.items()
    )
    return replace(wanted, spellings=tuple(found))


def _is_same(stored: str, value: str) -> bool:
    return stored.casefold() == value.casefold()


@cache
def _values_of(name: str) -> Select[Any]:
    """One look into the column's index for each value ("loose index scan"), however many rows have it."""
    column = getattr(Transaction, name)
    values = select(func.min(column).label("value")).cte(f"found_{name}", recursive=True)
    following = select(func.min(column)).where(column > values.c.value).scalar_subquery()
    values = values.union_all(select(following).where(values.c.value.is_not(None)))
    found = select(literal(name), values.c.value).where(values.c.value.is_not(None)).limit(MOST_VALUES).subquery()
    return select(*found.c)


_VALUES = keep(union_all(*map(_values_of, CHOSEN)))
