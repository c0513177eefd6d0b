"""Checking the rules: continuously, a portion with each look of the clock, or all at once for `webhook-app verify`.

A row counts as broken if it is so in two looks, one after the other: a change may be between two transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.usecases.invariants import RULES
from webhook_app.usecases.invariants.rule import Portion, Rule

#: Keys of one portion.
PORTION = 1000
#: Rows of one rule that are named.
MOST_NAMED = 10


@dataclass(frozen=True)
class Breach:
    """A rule that does not hold; how many rows break it, and the first of them."""

    rule: Rule
    count: int
    named: Sequence[str]


def verify(
    database: Database, clock: Callable[[], datetime], wait: Callable[[], None]
) -> Iterator[tuple[Rule, Breach | None]]:
    """Each rule over all rows, with what breaks it; `wait` is called before what looks broken is looked at again."""
    for rule in RULES:
        suspects = [portion for portion in _portions(database, rule, clock) if _look(database, rule, portion)]
        if suspects:
            wait()
        broken = [what for portion in suspects for what in _look(database, rule, portion)]
        yield rule, Breach(rule, len(broken), broken[:MOST_NAMED]) if broken else None


class Checker:
    """Of the clock: one portion with each step, rule after rule. A breach is over when a whole pass finds none."""

    def __init__(self) -> None:
        self._rules = list(RULES)
        self._after = 0
        self._suspected = False
        self._found: list[str] = []
        self._count = 0
        self._breaches: dict[str, Breach] = {}

    @property
    def breaches(self) -> Mapping[str, Breach]:
        """Of the last pass of each rule, by its name."""
        return self._breaches

    def step(self, session: Session, now: datetime) -> None:
        rule = self._rules[0]
        last = _last_key(session, rule)
        portion = Portion(self._after, min(self._after + PORTION, max(last, 1)), now)
        broken = rule.find(session, portion)
        if broken and not self._suspected:
            self._suspected = True  # looked at again with the next step
            return
        self._suspected = False
        self._count += len(broken)
        self._found += broken[: MOST_NAMED - len(self._found)]
        if broken:
            self._breaches[rule.name] = Breach(rule, self._count, list(self._found))
        if portion.upto < last:
            self._after = portion.upto
            return
        if not self._count:
            self._breaches.pop(rule.name, None)
        self._rules = [*self._rules[1:], rule]
        self._after, self._count, self._found = 0, 0, []


def _portions(database: Database, rule: Rule, clock: Callable[[], datetime]) -> Iterator[Portion]:
    with database.read() as session:
        last = _last_key(session, rule)
    for after in range(0, max(last, 1), PORTION):
        yield Portion(after, after + PORTION, clock())


def _look(database: Database, rule: Rule, portion: Portion) -> Sequence[str]:
    with database.snapshot() as session:
        return rule.find(session, portion)


def _last_key(session: Session, rule: Rule) -> int:
    return 0 if rule.key is None else session.scalar(select(func.max(rule.key))) or 0
