"""Amounts are decimal numbers. Otherwise no sum that has one of them can be told (SQLite keeps them as text)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, String, cast, or_, select, type_coerce
from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation, Transaction
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    wrong: list[ColumnElement[bool]] = []
    for amount in (Transaction.crypto_amount, Transaction.fiat_amount):
        if is_sqlite:
            text = type_coerce(amount, String)
            wrong.append(text.bool_op("GLOB")("*[^0-9.-]*") | (text == ""))
        else:
            wrong.append(cast(amount, String).in_(("NaN", "Infinity", "-Infinity")))
    return session.scalars(
        select(Transaction.merchant_transaction_id)
        .join(Reconciliation, Reconciliation.merchant_transaction_id == Transaction.merchant_transaction_id)
        .where(within(Reconciliation.id, portion), or_(*wrong))
    ).all()


RULE = Rule("amount_is_decimal", "Each amount is a number, or no sum can be told.", Reconciliation.id, _find)
