"""Why transactions wait: their last failures with what to do about them, for lists that know transactions alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.models import Reconciliation
from webhook_app.usecases.reconcile.advice import Advice, advise


@dataclass(frozen=True)
class LastFailure:
    state: str
    """The reconciliation's."""
    failure: Failure | None
    advice: Advice | None


def find_last_failures(database: Database, merchant_transaction_ids: Collection[str]) -> Mapping[str, LastFailure]:
    """By transaction; those that nobody named are left out. One query, from an index."""
    if not merchant_transaction_ids:
        return {}
    wanted = Reconciliation.merchant_transaction_id.in_(merchant_transaction_ids)
    with database.read() as session:
        return {
            one.merchant_transaction_id: _describe(one) for one in session.scalars(select(Reconciliation).where(wanted))
        }


def _describe(reconciliation: Reconciliation) -> LastFailure:
    failure, state = reconciliation.last_failure, str(reconciliation.state)
    return LastFailure(state, failure, None if failure is None else advise(failure, state))
