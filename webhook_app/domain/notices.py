"""Notices: what a recipient is told of one change of an incident; and when nobody is to be woken."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from webhook_app.domain.severity import Severity
from webhook_app.domain.timestamps import format_timestamp


class Change(StrEnum):
    """Of an incident's state; a test is of none."""

    BEGUN = "begun"
    REMINDER = "reminder"
    ENDED = "ended"
    TEST = "test"


@dataclass(frozen=True)
class Notice:
    """The same notice sent again has the same `id`; all of one incident have the same `thread`."""

    id: str
    thread: str
    at: datetime
    """When it is sent."""
    change: Change
    kind: str
    name: str
    severity: Severity
    cause: str
    advice: str
    began_at: datetime
    ended_at: datetime | None
    lasted: str
    outcome: str

    @property
    def title(self) -> str:
        if self.change is Change.TEST:
            return "Test: notifications of webhook-app arrive"
        if self.change is Change.ENDED:
            return f"Over: {self.name} (it lasted {self.lasted})"
        still = "Still: " if self.change is Change.REMINDER else ""
        return f"{still}{self.name} ({self.severity})"

    @property
    def lines(self) -> list[str]:
        """What there is to say, a sentence or two each."""
        since = f"Since {format_timestamp(self.began_at)}"
        until = f", until {format_timestamp(self.ended_at)}" if self.ended_at else ""
        told = [self.cause, f"{since}{until}.", self.outcome]
        if self.change in (Change.BEGUN, Change.REMINDER):
            told.append(f"What to do: {self.advice}")
        return [line for line in told if line]

    def to_json(self) -> dict[str, Any]:
        """As Standard Webhooks has it: `type`, `timestamp` and `data`."""
        return {
            "type": "test" if self.change is Change.TEST else f"incident.{self.change}",
            "timestamp": format_timestamp(self.ended_at or self.began_at),
            "data": {
                "id": self.thread,
                "kind": self.kind,
                "name": self.name,
                "severity": self.severity,
                "state": "resolved" if self.ended_at else "open",
                "cause": self.cause,
                "advice": self.advice,
                "began_at": format_timestamp(self.began_at),
                "ended_at": format_timestamp(self.ended_at),
                "outcome": self.outcome,
            },
        }


def sign(secret: str, id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks (standardwebhooks.com): the signature of id, time and body under `whsec_…`."""
    timestamp = str(int(at.timestamp()))
    signed = f"{id}.{timestamp}.".encode() + body
    digest = hmac.new(read_signing_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def read_signing_key(secret: str) -> bytes:
    """The key behind `whsec_` and base64, 24 to 64 bytes. Raises ValueError."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("no signing secret")
    return key


@dataclass(frozen=True)
class QuietHours:
    """From `begin` until `end` in that zone, over midnight where `end` is the earlier one."""

    begin: time
    end: time

    @property
    def longest(self) -> timedelta:
        """How long they last at most: in the night in which the clocks are set back, an hour longer."""
        minutes = (self.end.hour - self.begin.hour) * 60 + self.end.minute - self.begin.minute
        return timedelta(minutes=minutes % (24 * 60) + 60)

    def cover(self, now: datetime, zone: ZoneInfo) -> bool:
        local = now.astimezone(zone).time()
        if self.begin <= self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end
