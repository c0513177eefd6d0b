"""An acknowledgement has a person and a note. Otherwise nobody can tell who took a discrepancy for settled, and why."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webhook_app.models import Discrepancy
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    missing = or_(Discrepancy.acknowledged_by.is_(None), Discrepancy.note.is_(None))
    ids = session.scalars(
        select(Discrepancy.id).where(within(Discrepancy.id, portion), Discrepancy.acknowledged_at.is_not(None), missing)
    )
    return [f"discrepancy {id}" for id in ids]


RULE = Rule("acknowledged_by_somebody", "Each acknowledgement has a person and a note.", Discrepancy.id, _find)
