"""A transaction's current version has its very values. Otherwise answers *as of* a past time are wrong."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation, Transaction, TransactionVersion
from webhook_app.usecases.invariants.rule import Portion, Rule, within

_VALUES = ("status", "type", "currency", "network", "crypto_amount", "fiat_currency", "fiat_amount", "updated_at")


def _find(session: Session, portion: Portion) -> Sequence[str]:
    same = and_(*(getattr(TransactionVersion, one).is_not_distinct_from(getattr(Transaction, one)) for one in _VALUES))
    current = and_(
        TransactionVersion.merchant_transaction_id == Transaction.merchant_transaction_id,
        TransactionVersion.superseded_at.is_(None),
    )
    return session.scalars(
        select(Transaction.merchant_transaction_id)
        .join(Reconciliation, Reconciliation.merchant_transaction_id == Transaction.merchant_transaction_id)
        .outerjoin(TransactionVersion, current & same)
        .where(within(Reconciliation.id, portion), TransactionVersion.id.is_(None))
    ).all()


RULE = Rule(
    "version_is_current",
    "Each transaction's current version has its values, or a closed month cannot be looked up.",
    Reconciliation.id,
    _find,
)
