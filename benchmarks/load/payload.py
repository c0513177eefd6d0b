"""The webhook that is sent: Proof's own example, with an id that is new each time."""

from __future__ import annotations

#: Stands in the payload where the id belongs; as long as each id.
UNIQUE = b"{id}" + b"-" * 32

PAYLOAD = (
    b'{"merchant_transaction_id":"%s","type":"buy","status":"completed","currency":"USDT","network":"TRC20",'
    b'"crypto_amount":"99.50","fiat_currency":"EUR","fiat_amount":"100.00","created_at":"2026-04-01T10:00:00Z",'
    b'"updated_at":"2026-04-01T10:03:45Z"}'
) % UNIQUE


def event_id(run: int, number: int) -> str:
    """The id of one event: 36 characters, as a UUID has. `run` tells apart the loads of one database."""
    return f"{run:08x}-0000-4000-8000-{number:012x}"
