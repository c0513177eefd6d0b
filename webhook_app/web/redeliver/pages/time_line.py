"""One delivery's story as a time line: what came, what was tried and decided, who replayed it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from webhook_app.models import Attempt, Replay
from webhook_app.usecases.receipts import ReceiptReport
from webhook_app.usecases.redeliver.deliveries import DeliveryStory


@dataclass(frozen=True)
class TimeLineEntry:
    """One entry of the time line; exactly one of the others is set, `settled` for the end of a good story."""

    at: datetime
    receipt: ReceiptReport | None = None
    attempt: Attempt | None = None
    replay: Replay | None = None
    settled: bool = False


def make_time_line(story: DeliveryStory) -> Sequence[TimeLineEntry]:
    """Oldest first. Of one timestamp, receipts come before replays, those before attempts, each in their own order."""
    return sorted(_entries(story), key=lambda entry: (entry.at, _rank(entry)))


def _entries(story: DeliveryStory) -> Iterator[TimeLineEntry]:
    for receipt in story.receipts:
        yield TimeLineEntry(receipt.received_at, receipt=receipt)
    for replay in story.replays:
        yield TimeLineEntry(replay.created_at, replay=replay)
    for attempt in story.attempts:
        yield TimeLineEntry(attempt.finished_at, attempt=attempt)
    if story.delivery.settled_at is not None:
        yield TimeLineEntry(story.delivery.settled_at, settled=True)


def _rank(entry: TimeLineEntry) -> int:
    kinds = (entry.receipt, entry.replay, entry.attempt)
    return next((number for number, kind in enumerate(kinds) if kind is not None), len(kinds))


def pretty_body(body: bytes) -> tuple[str, bool]:
    """The payload for reading, and whether it is JSON. Numbers keep their digits; other bytes are written out."""
    try:
        parsed = json.loads(body, parse_float=_Digits, parse_int=_Digits)
        return _pretty(parsed), True
    except (ValueError, RecursionError):
        return body.decode("utf-8", "backslashreplace"), False


class _Digits(str):
    """A number as it was written."""


def _pretty(value: object, indent: str = "") -> str:
    """JSON over several lines; unlike `json.dumps` it never rewrites an amount."""
    inner = indent + "  "
    if isinstance(value, _Digits):
        return str(value)
    if isinstance(value, dict) and value:
        lines = [f"{inner}{json.dumps(name, ensure_ascii=False)}: {_pretty(one, inner)}" for name, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"{inner}{_pretty(one, inner)}" for one in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)
