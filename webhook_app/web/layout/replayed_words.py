"""How pages count what a replay covers: payments are asked for, each of which may have several deliveries."""

from __future__ import annotations

from webhook_app.web.layout.template_filters import grouped


def count_replayed(payments: int | None, replayed: int, matched: int) -> str:
    """`1 payment (2 deliveries)`; `1 payment (2 of 3 deliveries)` where others are left out. None for the payments of
    an order that was given before they were counted."""
    number = grouped(replayed) if replayed == matched else f"{grouped(replayed)} of {grouped(matched)}"
    deliveries = f"{number} deliver{'y' if matched == 1 else 'ies'}"
    return deliveries if payments is None else f"{count_payments(payments)} ({deliveries})"


def count_payments(count: int) -> str:
    """`1 payment`, `1 234 payments`."""
    return "1 payment" if count == 1 else f"{grouped(count)} payments"
