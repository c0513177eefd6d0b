"""Days of Proof's scorecard as the clock counts them, for pictures and for figures of how fast they are read."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import insert

from webhook_app.db.database import Database
from webhook_app.domain.lateness import span_of
from webhook_app.models import ChannelDay, ErrorDay, Incident

PAIRS = (
    ("buy", "USDT", "TRC20"),
    ("buy", "BTC", "BTC"),
    ("sell", "USDT", "TRC20"),
    ("sell", "EURC", "stellar-mainnet"),
)


def fill_scorecard(database: Database, last_day: date, days: int) -> None:
    """So many days up to `last_day`, some thousand payments each, with errors and an outage."""
    rng = random.Random(1)
    every = [last_day - timedelta(days=number) for number in range(days)]
    began_at = datetime.combine(last_day, time(14, 2), UTC)
    ids = [f"req-{number}" for number in range(5)]
    error = {"http_status": 502, "error": "upstream_error", "code": "provider_error", "count": 12, "request_ids": ids}
    with database.write() as session:
        session.execute(insert(ChannelDay), [_count(rng, day, *pair) for day in every for pair in PAIRS])
        session.execute(insert(ErrorDay), [{"day": day, **error} for day in every])
        session.add(
            Incident(
                kind="proof_paused",
                key="outage",
                severity="warning",
                cause="Proof cannot serve us: 502 upstream_unavailable.",
                began_at=began_at,
                ended_at=began_at + timedelta(minutes=11),
            )
        )


def _count(rng: random.Random, day: date, type: str, currency: str, network: str) -> dict[str, object]:
    finals = rng.randint(800, 1200)
    lost, websocket = rng.randint(5, 60), rng.randint(0, 30)
    return {
        "day": day,
        "type": type,
        "currency": currency,
        "network": network,
        "changes": 3 * finals,
        "changes_by_webhook": 3 * finals - 2 * lost,
        "finals": finals,
        "finals_by_webhook": finals - lost,
        "finals_by_websocket": websocket,
        "finals_by_polling": max(lost - websocket, 0),
        "repeated": rng.randint(0, 90),
        "out_of_order": rng.randint(0, 40),
        "late": {span_of(rng.uniform(0.1, 40)): rng.randint(1, 900) for _ in range(30)},
        "latest": 61.5,
    }
