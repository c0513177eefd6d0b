"""Which traces a claim goes on with: those of the webhooks that asked for it, and that of the job that claimed it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select

from webhook_app.db.database import Database
from webhook_app.models import Event
from webhook_app.tracing import TRACEPARENT, current_traceparent, is_tracing
from webhook_app.usecases.reconcile.claim import Claim

#: Events of all claims together whose traces are looked for, the newest: a flooded transaction has thousands.
_MOST_EVENTS = 500


def with_traces(database: Database, claims: Sequence[Claim]) -> list[Claim]:
    """The same claims, with the traces of their webhooks. Where nothing is traced, nothing is read."""
    if not is_tracing() or not claims:
        return list(claims)
    found: dict[str, list[str]] = defaultdict(list)
    with database.read() as session:
        rows = session.execute(
            select(Event.merchant_transaction_id, Event.headers)
            .where(Event.merchant_transaction_id.in_([claim.merchant_transaction_id for claim in claims]))
            .where(Event.settled_at.is_(None))
            .order_by(Event.id.desc())
            .limit(_MOST_EVENTS)
        )
        for transaction, headers in rows:
            if headers and (traceparent := headers.get(TRACEPARENT)):
                found[transaction].append(traceparent)
    return [replace(claim, traceparents=tuple(found[claim.merchant_transaction_id])) for claim in claims]


def linked_to_job(claims: Sequence[Claim]) -> list[Claim]:
    """The same claims, linked to what is under way in this thread, which is that of the job."""
    job = current_traceparent()
    return list(claims) if job is None else [replace(one, traceparents=(*one.traceparents, job)) for one in claims]
