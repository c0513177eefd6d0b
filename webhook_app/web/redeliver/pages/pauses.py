"""What pages of replays say while all calls to Proof are paused."""

from __future__ import annotations

from webhook_app.domain.durations import write_duration
from webhook_app.usecases.redeliver.while_paused import describe_pause, find_pause
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.requests import get_services


def pause_sentence(payments: int) -> str:
    """What becomes of so many that are sent round while calls to Proof are paused; empty where they are not, or where
    there are none."""
    services = get_services()
    paused = find_pause(services.database) if payments else None
    return "" if paused is None else describe_pause(paused, payments, services.clock(), write_duration, grouped)
