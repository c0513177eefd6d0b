"""Rejections, which are written by a thread of their own, as a test wants to read them."""

from __future__ import annotations

from sqlalchemy import select

from webhook_app.models import Rejection
from webhook_app.services import Services


def kept_rejections(services: Services) -> list[Rejection]:
    """All of them, oldest first; what waits to be written is written before."""
    services.rejections.flush()
    with services.database.read() as session:
        return list(session.scalars(select(Rejection).order_by(Rejection.id)))
