"""Proof's webhooks do not arrive: payments change, as its API tells when it is asked, and none of that was reported."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import exists, func, select

from webhook_app.domain.incidents import IncidentKind
from webhook_app.models import Event, HistoryEntry
from webhook_app.models.event import Channel
from webhook_app.usecases.incidents.finding import Finding, Look

#: For so long no webhook came, while so many different payments changed without one.
SILENCE = timedelta(minutes=30)
ENOUGH = 5
#: The latest changes that are looked at.
_MOST = 200


def find(look: Look) -> Iterator[Finding]:
    session, since = look.session, look.now - SILENCE
    of_webhook = Event.channel == Channel.WEBHOOK.value
    if session.scalar(select(exists().where(Event.received_at > since, of_webhook))):
        return
    latest = (
        select(HistoryEntry.merchant_transaction_id, HistoryEntry.status, HistoryEntry.recorded_at)
        .order_by(HistoryEntry.id.desc())
        .limit(_MOST)
        .subquery()
    )
    reported = exists().where(
        Event.merchant_transaction_id == latest.c.merchant_transaction_id, Event.status == latest.c.status, of_webhook
    )
    changed = func.count(latest.c.merchant_transaction_id.distinct())
    count, first_at = session.execute(
        select(changed, func.min(latest.c.recorded_at)).where(latest.c.recorded_at > since, ~reported)
    ).one()
    if count >= ENOUGH and session.scalar(select(exists().where(of_webhook))):
        yield Finding(
            IncidentKind.CHANNEL_SILENT,
            f"No webhook came for {SILENCE.seconds // 60} minutes, while payments changed without one.",
            "webhook",
            first_at,
        )
