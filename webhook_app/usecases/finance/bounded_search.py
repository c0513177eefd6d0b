"""A part of an id beside a long history: no index finds it, and to look at every transaction takes as long as there are
many. So the list on the page answers from what begins with it, or from the newest, and says so. Files, totals and the
API look at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.lower_bytes import lower_bytes
from webhook_app.models import Reconciliation, Transaction
from webhook_app.usecases.finance.transaction_filter import Reach, TransactionFilter, begins_with, is_part_of

#: So many of the newest transactions are looked at. Where there are no more, all are.
LOOKED_AT = 20_000
#: Ids that are taken from the index, or from those, at most.
MOST_FOUND = 200


def bound_search(database: Database, wanted: TransactionFilter) -> TransactionFilter:
    """The same filter, where a look at everything is short; else with `reach`: what begins with `q`, or, where nothing
    does, the newest that have it. A partner user of that name is meant before either."""
    if wanted.q is None:
        return wanted
    with database.read() as session:
        newest = session.scalar(select(func.max(Reconciliation.id))) or 0
        if newest <= LOOKED_AT:
            return wanted
        user = session.scalar(
            select(Transaction.partner_user_id).where(Transaction.partner_user_id == wanted.q).limit(1)
        )
        if user is not None and wanted.partner_user_id in (None, user):
            return replace(wanted, q=None, partner_user_id=user)
        if found := _find_beginning(session, wanted.q):
            return replace(wanted, reach=Reach.BEGINNING, among=tuple(found))
        found = _find_among_newest(session, wanted.q, newest)
    return replace(wanted, reach=Reach.NEWEST, among=tuple(found))


def _find_beginning(session: Session, q: str) -> Sequence[int]:
    """In the index's order: those that are newest may be anywhere in it."""
    query = (
        select(Reconciliation.id).where(begins_with(q)).order_by(lower_bytes(Reconciliation.merchant_transaction_id))
    )
    return session.scalars(query.limit(MOST_FOUND)).all()


def _find_among_newest(session: Session, q: str, newest: int) -> Sequence[int]:
    query = select(Reconciliation.id).where(Reconciliation.id > newest - LOOKED_AT)
    query = query.where(is_part_of(TransactionFilter(), q, Reconciliation)).order_by(Reconciliation.id.desc())
    return session.scalars(query.limit(MOST_FOUND)).all()
