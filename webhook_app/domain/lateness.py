"""How late messages were, as counts by span: small enough to keep for each day, and added up over days.

Each span is a tenth wider than the one before, so a quantile is told within 10 %; from 10 ms to more than a month.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

_FIRST, _GROWTH, _MOST = 0.01, 1.1, 200


def span_of(seconds: float) -> str:
    """The span that so many seconds fall into, as a key of a JSON object."""
    if seconds <= _FIRST:
        return "0"
    return str(min(math.ceil(math.log(seconds / _FIRST, _GROWTH)), _MOST))


def add_up(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(first) + Counter(second))


def quantile(counts: Mapping[str, int], share: float) -> float | None:
    """Seconds that `share` of the messages were late at most, at the upper end of their span; None without any."""
    total = sum(counts.values())
    passed = 0
    for span in sorted(map(int, counts)):
        passed += counts[str(span)]
        if passed >= share * total:
            return round(_FIRST * _GROWTH**span, 3)
    return None
