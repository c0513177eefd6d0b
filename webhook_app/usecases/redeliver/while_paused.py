"""Replays while all calls to Proof are paused: that what is sent round waits, and for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from webhook_app.db.database import Database
from webhook_app.usecases.reconcile.stored_gate import read_gate


@dataclass(frozen=True)
class WhilePaused:
    since: datetime
    next_probe_at: datetime | None


def find_pause(database: Database) -> WhilePaused | None:
    """None while calls go on."""
    with database.read() as session:
        gate = read_gate(session)
    return None if gate.paused_at is None else WhilePaused(gate.paused_at, gate.next_probe_at)


def describe_pause(
    paused: WhilePaused,
    payments: int,
    now: datetime,
    write: Callable[[float], str],
    write_count: Callable[[int], str],
) -> str:
    """`Calls to Proof are paused: these 14 payments go out when the next probe succeeds, in 43 seconds.` `write` writes
    a duration in seconds."""
    what = "this payment goes" if payments == 1 else f"these {write_count(payments)} payments go"
    seconds = (paused.next_probe_at - now).total_seconds() if paused.next_probe_at is not None else 0
    when = f"in {write(seconds)}" if seconds >= 1 else "which goes out as soon as one is due"
    return f"Calls to Proof are paused: {what} out when the next probe succeeds, {when}."
