"""Every way in which the WebSocket channel can misbehave once it is open. Before that, the faults of calls hold."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any


class UpdateFault(StrEnum):
    """What becomes of a `tx.update`."""

    DROP = "drop"
    """It is never sent."""
    SLOW = "slow"
    """It comes `update_delay` seconds late."""
    REPEAT = "repeat"
    """It is sent three times."""
    CLOSE = "close"
    """The connection is closed in its place, with 1011."""
    CUT = "cut"
    """The connection ends in its place, without a word."""
    SILENCE = "silence"
    """From then on nothing is sent, and no ping is answered."""
    GARBAGE = "garbage"
    """Text that is no JSON comes in its place."""
    BINARY = "binary"
    """It comes as bytes that are no text."""
    LIST = "list"
    """It comes inside a list."""
    NO_STATUS = "no_status"
    """It comes without a status."""
    OTHER_EVENT = "other_event"
    """It comes as an event that is not documented."""
    HUGE = "huge"
    """It has four million bytes."""


def spoil(fault: UpdateFault, data: bytes) -> list[tuple[bytes, bool]]:
    """What is sent instead of `data`, and whether as text; once, or more often, or as an empty one where the
    connection's end is what comes."""
    match fault:
        case UpdateFault.REPEAT:
            return [(data, True)] * 3
        case UpdateFault.CLOSE | UpdateFault.CUT | UpdateFault.SILENCE:
            return [(b"", True)]
        case UpdateFault.GARBAGE:
            return [(b"{tx.update", True)]
        case UpdateFault.BINARY:
            return [(b"\xff\xfe\x00" + data, False)]
        case UpdateFault.LIST:
            return [(b"[" + data + b"]", True)]
        case UpdateFault.NO_STATUS:
            return [(_changed(data, status=None), True)]
        case UpdateFault.OTHER_EVENT:
            return [(_changed(data, event="tx.note"), True)]
        case UpdateFault.HUGE:
            return [(_changed(data, padding="x" * 4_000_000), True)]
        case _:
            return [(data, True)]


def _changed(data: bytes, **fields: Any) -> bytes:
    merged = {**json.loads(data), **fields}
    return json.dumps({name: value for name, value in merged.items() if value is not None}).encode()
