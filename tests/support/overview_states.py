"""States of the service for the overview's pictures and its check with axe, by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import timedelta

from sqlalchemy import insert

from tests.support.drift import see_every_kind
from tests.support.example_rows import ATTEMPT
from tests.support.rows import CURRENCY, WALLET, delivery_rows, make_well, pause, seed, seed_all
from webhook_app.models import Attempt, Replay, ReplayItem
from webhook_app.services import Services

_TOKEN = {
    "http_status": 401,
    "error": "unauthorised",
    "code": "invalid_token",
    "message": "The client token is not valid",
    "request_id": "7f3d0c9e5a4b4c0f9d7a2a1b6c8e9f10",
}
_OUTAGE = {
    "http_status": None,
    "error": "upstream_unavailable",
    "code": "connection_failed",
    "message": "connection refused",
}
_KINDS = [
    WALLET,
    WALLET,
    WALLET,
    CURRENCY,
    (404, "not_found", "transaction_not_found"),
    (502, "upstream_error", "provider_error"),
    (502, "upstream_unavailable", "upstream_unavailable"),
    (500, "internal_error", "unexpected_error"),
    (None, "worker_died", "lease_expired"),
]
_PAIRS = [("USDT", "TRC20"), ("USDT", "TRC20"), ("USDC", "POLYGON"), ("BTC", None), ("EURC", "SOLANA")]


def _well(services: Services, *, troubled: bool = False) -> None:
    """A day with its ups and downs; `troubled`: with an hour of failing calls towards its end."""
    make_well(services)
    rng, now = random.Random(7), services.clock()
    deliveries, failures = [], []
    for number in range(900):
        # Two thirds of a day's events come in its last third, and some in the last hour.
        minutes = rng.uniform(0, 60) if number % 6 == 0 else 1440 * rng.random() ** 2
        at = now - timedelta(minutes=minutes)
        settled_at = min(at + timedelta(seconds=rng.uniform(1, 240)), now)
        deliveries.append(delivery_rows(f"well-{number}", "succeeded", received_at=at, settled_at=settled_at))
        if (troubled and minutes < 55 and number % 2) or number % 45 == 0:
            gave_up = troubled and number % 5 == 0
            failures.append(
                ATTEMPT
                | {"reconciliation_id": number, "started_at": at, "finished_at": settled_at, "error": "upstream_error"}
                | {"next_attempt_at": None if gave_up else now}
            )
    for number in range(3):
        watched = {"state": "watching", "received_at": now, "settled_at": now}
        deliveries.append(delivery_rows(f"watch-{number}", "succeeded", **watched))
    ids = seed_all(services.database, deliveries)
    with services.database.write() as session:
        session.execute(
            insert(Attempt), [row | {"reconciliation_id": ids[row["reconciliation_id"]]} for row in failures]
        )
        if not troubled:  # the last word was a usable one
            answered = {"reconciliation_id": ids[0], "http_status": 200, "status": "completed"}
            session.execute(insert(Attempt).values(ATTEMPT | {"started_at": now, "finished_at": now} | answered))


def _many_failures(services: Services) -> None:
    _well(services, troubled=True)
    rng, now = random.Random(3), services.clock()
    failed = []
    for number in range(240):
        currency, network = rng.choice(_PAIRS)
        at = now - timedelta(minutes=rng.uniform(1, 900))
        failure = rng.choice(_KINDS)
        failed.append(
            delivery_rows(
                f"550e8400-e29b-41d4-a716-{number:012}", "failed", failure=failure, received_at=at,
                failed_at=at + timedelta(seconds=30), currency=currency, network=network,
            )
        )  # fmt: skip
    rows = seed_all(services.database, failed)
    for number in range(7):
        at = now - timedelta(minutes=3 * number)
        seed(
            services.database, f"5b1e6c1a-e29b-41d4-a716-{number:012}", "retrying",
            failure=(503, "upstream_unavailable", "maintenance"), received_at=at, failed_at=at,
        )  # fmt: skip
    order = {"actor": "grace.hopper", "via": "page", "wanted": {}, "matched": 60, "per_second": 20.0}
    with services.database.write() as session:
        replay = Replay(created_at=now - timedelta(seconds=40), reason="Proof has provisioned TRC20 (#4711)", **order)
        session.add(replay)
        session.flush()
        for number, row in enumerate(rows[:60]):
            released_at = now if number < 23 else None
            session.add(ReplayItem(replay_id=replay.id, reconciliation_id=row, released_at=released_at))


def _paused_by_401(services: Services) -> None:
    _well(services)
    now = services.clock()
    seed(services.database, "550e8400-e29b-41d4-a716-446655440000", received_at=now - timedelta(minutes=11))
    times = {"paused_at": now - timedelta(minutes=12), "next_probe_at": now + timedelta(seconds=42), "probes": 13}
    pause(services.database, "configuration", **times, **_TOKEN)


def _outage(services: Services) -> None:
    _well(services, troubled=True)
    now = services.clock()
    for number in range(5):
        at = now - timedelta(minutes=7)
        seed(services.database, f"out-{number}", "retrying", failure=(None, *list(_OUTAGE.values())[1:3]), failed_at=at,
             received_at=at)  # fmt: skip
    times = {"paused_at": now - timedelta(minutes=6), "next_probe_at": now + timedelta(seconds=18), "probes": 6}
    pause(services.database, "upstream", **times, **_OUTAGE)


def _drift(services: Services) -> None:
    _well(services)
    see_every_kind(services.database, services.clock())


def _empty(services: Services) -> None:
    """Nothing was ever started but web."""


OVERVIEW_STATES: Mapping[str, Callable[[Services], None]] = {
    "all-well": _well,
    "paused-by-401": _paused_by_401,
    "outage": _outage,
    "many-failures": _many_failures,
    "drift": _drift,
    "empty": _empty,
}
