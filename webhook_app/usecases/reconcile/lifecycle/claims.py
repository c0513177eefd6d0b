"""Claims: the columns that say who may call Proof for a reconciliation, and until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, bindparam, update
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import one_by_one, unweighed
from webhook_app.db.row_sets import RowSet, for_each_dialect, row_set
from webhook_app.models import Reconciliation
from webhook_app.usecases.reconcile.lifecycle.rows import lock_in_order
from webhook_app.usecases.reconcile.lifecycle.transitions import CLAIMED, HANDED_BACK

_TABLE: Any = Reconciliation.__table__
_TYPES = {column.key: column.type for column in _TABLE.c}
#: What a claim has to know.
_CLAIMED = (*("id", "merchant_transaction_id", "generation", "state", "asked_by", "last_code", "spent_attempts"),)
_SLOTS = RowSet("slots", {"id": _TYPES["id"], "slot_until": _TYPES["slot_until"]})


def begin_claims(
    session: Session, slot_until: Mapping[int, datetime], token: str, lease_until: datetime
) -> Sequence[Any]:
    """Claims those that may be, each given by its id with the time when its call is over at the latest; the caller
    holds them locked. Of each what a claim has to know."""
    return session.execute(
        _begin_claims(session),
        _SLOTS.given(session, list(slot_until.items())) | {"token": token, "lease": lease_until},
    ).all()


@for_each_dialect
def _begin_claims(dialect: str) -> Executable:
    slots = _SLOTS.table(dialect)
    return (
        update(_TABLE)
        .where(
            _TABLE.c.id == one_by_one(slots.c.id),
            unweighed(_TABLE.c.claim_token.is_(None), _TABLE.c.state.in_(CLAIMED.leads_to)),
        )
        .values(
            claim_token=bindparam("token", type_=_TYPES["claim_token"]),
            lease_until=bindparam("lease", type_=_TYPES["lease_until"]),
            slot_until=slots.c.slot_until,
        )
        .returning(*(_TABLE.c[name] for name in _CLAIMED))
    )


def end_claims(session: Session, held: Iterable[tuple[int, str]]) -> None:
    """Ends these claims, each an id and its token; one that is held no longer is left alone."""
    tokens = dict(held)
    lock_in_order(session, _TABLE.c.id.in_(list(tokens)))
    given = row_set(
        session, "given", {"id": _TABLE.c.id.type, "token": _TABLE.c.claim_token.type}, list(tokens.items())
    )
    session.execute(
        update(_TABLE)
        .where(
            _TABLE.c.id == one_by_one(given.c.id),
            unweighed(_TABLE.c.claim_token == given.c.token, _TABLE.c.state.in_(HANDED_BACK.leads_to)),
        )
        .values(claim_token=None, lease_until=None)
    )
