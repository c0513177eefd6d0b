"""The view of finance has each transaction, with its status and amounts. Otherwise its sums are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, cast, column, select, table, type_coerce
from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation, Transaction
from webhook_app.usecases.invariants.rule import Portion, Rule, within

_SHOWN = ("merchant_transaction_id", "status", "fiat_amount", "crypto_amount")
_VIEW = table("finance_transactions", *(column(name) for name in _SHOWN))


def _find(session: Session, portion: Portion) -> Sequence[str]:
    held = session.execute(
        select(Transaction.merchant_transaction_id, *_texts(session, Transaction.__table__.c))
        .join(Reconciliation, Reconciliation.merchant_transaction_id == Transaction.merchant_transaction_id)
        .where(within(Reconciliation.id, portion))
    ).all()
    if not held:
        return []
    ids = [row[0] for row in held]
    query = select(_VIEW.c.merchant_transaction_id, *_texts(session, _VIEW.c))
    shown = {row[0]: tuple(row) for row in session.execute(query.where(_VIEW.c.merchant_transaction_id.in_(ids)))}
    return [row[0] for row in held if shown.get(row[0]) != tuple(row)]


def _texts(session: Session, columns: Any) -> list[ColumnElement[str]]:
    """As they stand there, also an amount that is none."""
    as_text = type_coerce if session.get_bind().dialect.name == "sqlite" else cast
    return [as_text(columns[name], String) for name in _SHOWN[1:]]


RULE = Rule(
    "view_shows_all", "The view of finance sums what the tables have, or reports are wrong.", Reconciliation.id, _find
)
