"""A day in the admin's room, for pictures and for axe: deliveries in every state, a replay, rejections, a spool."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.support.clock import FakeClock
from tests.support.drift import see_every_kind
from tests.support.events import DOCUMENTED_ID
from tests.support.failures import ingest
from tests.support.sandbox import Sandbox
from tests.support.spool_states import damage, set_aside, spooled_event
from tests.support.work import work_once
from webhook_app.services import Services
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.rejections import RefusedRequest
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.replay import Selection, order_replay
from workers.clock import run_once

LONG_ID = "0b9f2c1e-7a44-4a52-9d0c-6d1d1c9d2f10"


def fill_admin_states(services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock) -> dict[str, int]:
    """Returns the ids of what the pages are about, by name."""
    known = {"failed": ingest(services, LONG_ID)}
    for number in range(8):
        ingest(services, f"order-2026-04-01-{number:04d}")
    work_once(reconciler, clock())
    clock.advance(1400)
    known["succeeded"] = ingest(services, DOCUMENTED_ID)
    sandbox.control.create("widget-7431")
    sandbox.control.inject(*["provider_error"] * 9, transaction="widget-7431")
    known["retrying"] = ingest(services, "widget-7431", currency="USDC", network="POLYGON")
    work_once(reconciler, clock())
    for seconds in (2, 5, 9):
        clock.advance(seconds)
        work_once(reconciler, clock())
    clock.advance(300)
    ingest(services, LONG_ID)
    ordered = order_replay(
        services.database, Selection((known["failed"],)), Actor("grace.hopper", "page"), "Proof says it exists", clock()
    )
    work_once(reconciler, clock())
    clock.advance(40)
    known["settled_replay"] = ordered.replay_id or 0
    running = order_replay(
        services.database,
        Selection(wanted=DeliveryFilter(state="failed", error="not_found")),
        Actor("j.smith@example.com", "api"),
        "Proof restored its database after an outage; ticket PRF-2231",
        clock(),
        per_second=2,
    )
    known["running_replay"] = running.replay_id or 0
    work_once(reconciler, clock())
    clock.advance(25)
    known["pending"] = ingest(services, "just-came-in")
    run_once(services)
    refuse(services)
    spool(services)
    see_every_kind(services.database, services.clock())
    return known


def spool(services: Services) -> None:
    """A line of each kind is set aside, another waits."""
    set_aside(services, "no event of ours", reason="not a spooled event: no JSON, expecting value")
    damage(services)
    services.spool.drain(lambda _: [], services.clock())
    set_aside(services, spooled_event(services, LONG_ID), spooled_event(services, "order-7431"))
    services.spool.append(spooled_event(services, "just-came-in-2"))


def refuse(services: Services) -> None:
    """RefusedRequest requests of every kind."""
    headers = {"User-Agent": "curl/8.5.0", "Content-Type": "application/xml"}
    request = RequestOrigin(services.clock() - timedelta(minutes=2), "203.0.113.9", headers)
    bad = RefusedRequest(
        request=request,
        method="POST",
        path="/webhooks/proof/…",
        http_status=400,
        error="invalid_request",
        code="decode_error",
        reason="decode_error",
        message="The body is no JSON object.",
        body=b'<?xml version="1.0"?><status>completed</status>',
        body_size=47,
    )
    large = b'{"merchant_transaction_id": "' + b"x" * 900
    kinds = [
        bad,
        replace(bad, http_status=413, code="too_large", reason="too_large", message="The body is larger than 64 KiB.",
                body=large, body_size=2_300_000),
        replace(bad, http_status=404, error="not_found", code="not_found", reason="wrong_secret", body=b"",
                message="The secret in the address is not one of PROOF_WEBHOOK_SECRETS."),
        replace(bad, http_status=405, code="method_not_allowed", reason="method_not_allowed", method="GET", body=b"",
                path="/webhooks/proof", message="GET is not taken here, only POST."),
        replace(bad, http_status=403, error="forbidden", code="forbidden_origin", reason="forbidden_origin", body=b"",
                message="Webhooks are not taken from the address 10.1.2.3. X-Forwarded-For has 0 addresses, but "
                "TRUSTED_PROXY_HOPS is 1: each of these proxies must add the address that called it."),
    ]  # fmt: skip
    for refused in kinds:
        services.rejections.note(refused)
    for second in range(36):
        at = request.received_at + timedelta(seconds=second)
        services.rejections.note(replace(kinds[-1], request=replace(request, received_at=at)))
    services.rejections.flush()
