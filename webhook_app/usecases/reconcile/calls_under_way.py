"""Calls under way: counted in SQL, of all workers together, for the limits hold for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, func, or_, select, tuple_
from sqlalchemy.orm import Session

from webhook_app.db.row_sets import RowSet, for_each_dialect
from webhook_app.domain.shares import Counts, WorkClass
from webhook_app.models import Reconciliation
from webhook_app.usecases.reconcile.work_classes import AT, class_of

_TABLE: Any = Reconciliation.__table__
_ENDED = RowSet("ended", {name: _TABLE.c[name].type for name in ("id", "claim_token")})


@dataclass(frozen=True)
class Calls:
    """By class: those that may be under way, of all workers, dead ones too; and those of one worker that have given
    their places back."""

    under_way: Counts
    ended: Counts


def count_calls(session: Session, now: datetime, ended: Sequence[tuple[int, str]] = ()) -> Calls:
    """What is claimed, without those whose time is over. `ended` are the ids and tokens of claims whose calls have
    brought an answer that does not speak against Proof, and is still to be applied: their places are free."""
    calls: dict[bool, Counter[WorkClass]] = {False: Counter(), True: Counter()}
    given = _ENDED.given(session, ended)
    for state, asked_by, last_code, has_ended, count in session.execute(_claimed(session), {"at": now, **given}):
        calls[bool(has_ended)][class_of(state, asked_by, last_code)] += count
    return Calls(under_way=calls[False], ended=calls[True])


@for_each_dialect
def _claimed(dialect: str) -> Executable:
    ended = _ENDED.table(dialect).c
    has_ended = tuple_(_TABLE.c.id, _TABLE.c.claim_token).in_(select(ended.id, ended.claim_token)).label("has_ended")
    kinds = (_TABLE.c.state, _TABLE.c.asked_by, _TABLE.c.last_code, has_ended)
    return (
        select(*kinds, func.count())
        .where(_TABLE.c.lease_until > AT, or_(_TABLE.c.slot_until.is_(None), _TABLE.c.slot_until > AT))
        .group_by(*kinds)
    )
