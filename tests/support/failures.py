"""Deliveries in every state, for tests of what admins see: made by real events and real answers of the sandbox."""

from __future__ import annotations

import json

from tests.support.events import webhook
from tests.support.work import work_once
from webhook_app.services import Services
from webhook_app.usecases.receive.ingest import RequestOrigin, ingest_events
from webhook_app.usecases.reconcile.inbox import open_events
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.web.receive.event_schema import parse_event

USER_AGENT = "Proof-Webhooks/1.0"


def ingest(services: Services, merchant_transaction_id: str, **changes: object) -> int:
    """An event as Proof sends it, whose work is opened; returns the delivery's id."""
    body = json.dumps(webhook(merchant_transaction_id=merchant_transaction_id, **changes)).encode()
    request = RequestOrigin(services.clock(), "203.0.113.7", {"User-Agent": USER_AGENT})
    (accepted,) = ingest_events(services.database, [(parse_event(body), request)])
    open_events(services.database, 1000, services.clock())
    return accepted.event_id


def fail(services: Services, reconciler: Reconciler, *merchant_transaction_ids: str) -> list[int]:
    """Deliveries that failed with 404 not_found, for the sandbox has not heard of these ids; returns their ids."""
    ids = [ingest(services, one) for one in merchant_transaction_ids]
    work_once(reconciler, services.clock())
    return ids
