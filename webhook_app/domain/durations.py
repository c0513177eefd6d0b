"""How long something takes or took, in words: one way for sentences, lists and pages."""

from __future__ import annotations

_UNITS = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))


def write_duration(seconds: float) -> str:
    """`3 min`, in the largest unit that fills, cut; `250 ms` below a second."""
    for size, unit in _UNITS:
        if seconds >= size:
            return _count(int(seconds // size), unit)
    return f"{seconds * 1000:.0f} ms"


def write_longest(seconds: float) -> str:
    """`45 s`, `4 min`, `2 h 05 min`, `3 days 4 h`; rounded up, for `up to` must hold."""
    whole = -int(-seconds // 1)
    if whole < 90:
        return f"{whole} s"
    minutes = -(-whole // 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02} min" if hours < 48 else f"{_count(hours // 24, 'day')} {hours % 24} h"


def _count(count: int, unit: str) -> str:
    return f"{count} {unit}s" if unit == "day" and count != 1 else f"{count} {unit}"
