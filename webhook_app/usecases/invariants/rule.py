"""What all rules share: a rule looks at the rows of one table with keys in a range, and names those that break it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute, Session


@dataclass(frozen=True)
class Portion:
    """Keys above `after`, up to `upto`, both of the rule's table; and the time of the look."""

    after: int
    upto: int
    now: datetime


@dataclass(frozen=True)
class Rule:
    name: str
    sentence: str
    """What holds at all times, and what breaks if it does not."""
    key: InstrumentedAttribute[int] | InstrumentedAttribute[int | None] | None
    """Of the table that is gone through; None for a rule that looks at one thing."""
    find: Callable[[Session, Portion], Sequence[str]]
    """The rows that break it, in words that find them again: ids and such, no personal values."""


def within(key: InstrumentedAttribute[Any], portion: Portion) -> Any:
    """The condition that a row is in the portion."""
    return (key > portion.after) & (key <= portion.upto)
