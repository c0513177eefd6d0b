"""One delivery's story as a time line: what came, what was tried and decided, who replayed it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from webhook_app.models import Attempt, Receipt, Replay
from webhook_app.usecases.redeliver.deliveries import DeliveryStory


@dataclass(frozen=True)
class TimeLineEntry:
    """One entry of the time line; exactly one of the last four is set, `settled` for the end of a good story."""

    at: datetime
    receipt: Receipt | None = None
    is_first: bool = False
    attempt: Attempt | None = None
    replay: Replay | None = None
    settled: bool = False


def make_time_line(story: DeliveryStory) -> Sequence[TimeLineEntry]:
    """Oldest first. Of one timestamp, a receipt comes before a replay, and that before an attempt."""
    return sorted(_entries(story), key=lambda entry: (entry.at, _rank(entry)))


def _entries(story: DeliveryStory) -> Iterator[TimeLineEntry]:
    all_are_shown = len(story.receipts) == story.receipt_count
    for number, receipt in enumerate(story.receipts):
        yield TimeLineEntry(receipt.received_at, receipt=receipt, is_first=all_are_shown and number == 0)
    for replay in story.replays:
        yield TimeLineEntry(replay.created_at, replay=replay)
    for attempt in story.attempts:
        yield TimeLineEntry(attempt.finished_at, attempt=attempt)
    if story.delivery.settled_at is not None:
        yield TimeLineEntry(story.delivery.settled_at, settled=True)


def _rank(entry: TimeLineEntry) -> tuple[int, int]:
    if entry.receipt is not None:
        return 0, entry.receipt.id
    if entry.replay is not None:
        return 1, entry.replay.id
    if entry.attempt is not None:
        return 2, entry.attempt.id
    return 3, 0


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
