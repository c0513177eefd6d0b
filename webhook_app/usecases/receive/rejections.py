"""Rejections: webhooks that were refused, for an operator whom Proof tells that a webhook was sent."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, read_page
from webhook_app.models import Rejection
from webhook_app.usecases.receive.ingest import RequestOrigin

#: The newest rejections that are kept; one more pushes the oldest out.
MAX_REJECTIONS = 1000
#: How much of a rejected body is kept, bytes.
MAX_REJECTED_BODY = 4096
#: A body may be announced as larger than a column of SQL can say.
_MAX_BODY_SIZE = 2**31 - 1


def keep_rejection(
    database: Database, request: RequestOrigin, *, http_status: int, error: str, code: str, message: str, body: bytes,
    body_size: int,
) -> None:  # fmt: skip
    """Keeps a refused request for operations to see, its body cut, the oldest one dropped when there are too many."""

    def keep(session: Session) -> None:
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

    database.run(keep)


def list_rejections(
    database: Database, limit: int, code: str | None = None, after: int | None = None
) -> Page[Rejection, int]:
    """Newest first; with `code`, only those refused for that reason."""
    query = select(Rejection)
    if code is not None:
        query = query.where(Rejection.code == code)
    with database.read() as session:
        return read_page(session, query, Rejection.id, limit, after, lambda rejection: rejection)


def list_rejection_codes(database: Database) -> Sequence[str]:
    """Those that occur among all rejections that are kept, for a filter."""
    with database.read() as session:
        return session.scalars(select(Rejection.code).distinct().order_by(Rejection.code)).all()
