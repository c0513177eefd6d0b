"""Rejections: what was refused at the webhook endpoint, for whoever hears "but we sent it"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from webhook_app.db.database import Database
from webhook_app.models import Rejection


@dataclass(frozen=True)
class RejectionPage:
    items: Sequence[Rejection]
    next_before_id: int | None
    """Where the next page begins; None on the last one."""
    codes: Sequence[str]
    """Those that there are among all that are kept, for a filter."""


def list_rejections(
    database: Database, limit: int, code: str | None = None, before_id: int | None = None
) -> RejectionPage:
    """Newest first; with `code`, only those refused for that reason."""
    query = select(Rejection).order_by(Rejection.id.desc()).limit(limit + 1)
    if code is not None:
        query = query.where(Rejection.code == code)
    if before_id is not None:
        query = query.where(Rejection.id < before_id)
    with database.read() as session:
        rows = session.scalars(query).all()
        codes = session.scalars(select(Rejection.code).distinct().order_by(Rejection.code)).all()
    page = rows[:limit]
    return RejectionPage(page, page[-1].id if len(rows) > limit else None, codes)
