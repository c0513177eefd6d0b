"""Rejections: what was refused at the webhook endpoint, for whoever hears "but we sent it"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from webhook_app.db.database import Database
from webhook_app.models import Rejection
from webhook_app.usecases.receive.ingest import RequestOrigin

#: The newest rejections that are kept; one more pushes the oldest out.
MAX_REJECTIONS = 1000
#: How much of a rejected body is kept, bytes.
MAX_REJECTED_BODY = 4096
#: A body may be announced as larger than a column of SQL can say.
_MAX_BODY_SIZE = 2**31 - 1


@dataclass(frozen=True)
class RejectionPage:
    items: Sequence[Rejection]
    next_before_id: int | None
    """Where the next page begins; None on the last one."""
    codes: Sequence[str]
    """Those that there are among all that are kept, for a filter."""


def keep_rejection(
    database: Database, request: RequestOrigin, *, http_status: int, error: str, code: str, message: str, body: bytes,
    body_size: int,
) -> None:  # fmt: skip
    """Keeps a refused request for operations to see, its body cut, the oldest one dropped when there are too many."""
    with database.write() as session:
        newest = session.scalar(
            insert(Rejection)
            .values(
                received_at=request.received_at,
                remote_addr=request.remote_addr,
                http_status=http_status,
                error=error,
                code=code,
                message=message,
                headers=dict(request.headers),
                body=body[:MAX_REJECTED_BODY],
                body_size=min(body_size, _MAX_BODY_SIZE),
            )
            .returning(Rejection.id)
        )
        assert newest is not None
        session.execute(delete(Rejection).where(Rejection.id <= newest - MAX_REJECTIONS))


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
