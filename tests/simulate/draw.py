"""Drawing: a plan with everything that may go wrong, from one seed."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.simulate.plan import NORMAL, Absence, Happening, Item, Misfortune, Payment, Plan, Process, Rows, Spell, Word
from tests.simulate.proof import OUTAGES, POISONS, REFUSALS_OF_US
from tests.simulate.schedule import Trouble
from tests.simulate.traffic import forged, payment, poisoned, webhooks

_ROLES = ("fast-1", "fast-1", "fast-2", "slow-1", "slow-1 job", "slow-1 job", "clock-1", "web-1")


def draw(seed: int, *, long: bool = False) -> Plan:
    """The plan of that seed. Each kind of fault is in about every third one, so that they meet."""
    rng = random.Random(f"draw/{seed}/{long}")
    lasts = rng.uniform(120.0, 400.0) if long else rng.uniform(4.0, 14.0)
    size = 10 if long else 1
    items: list[Item] = [*NORMAL]
    names: list[str] = []

    def happens(name: str, share: float = 0.33) -> bool:
        if rng.random() < share:
            names.append(name)
            return True
        return False

    options = {
        "lost": 0.2 if happens("lost webhooks", 0.2) else 0.0,
        "copied": 0.3 if happens("copies") else 0.0,
        "late": 0.3 if happens("late webhooks", 0.2) else 0.0,
        "bare": 0.3 if happens("no moments", 0.2) else 0.0,
    }
    whole = happens("whole seconds", 0.3)
    for number in range(rng.randint(1, 4) * size):
        again = rng.random() < 0.3
        one = payment(rng, f"well-{number}", rng.uniform(0.5, lasts * 0.8), retried=again, whole_seconds=whole,
                      pace=rng.choice((0.3, 2.0, 5.0)))  # fmt: skip
        items += [one, *webhooks(rng, one, **options)]
    if happens("poison"):
        for kind in rng.sample((*POISONS, "500", "403 forbidden", "401", "hangs"), rng.randint(1, 2)):
            more, ids = poisoned(rng, rng.choice((1, 2, 4)) * size, rng.uniform(0.5, lasts / 2))
            tag = kind.replace(" ", "-")
            items += _renamed(more, tag)
            items.append(Spell(kind, ids=frozenset(f"{tag}-{id}" for id in ids)))
    if happens("killer", 0.1):
        more, ids = poisoned(rng, 1, rng.uniform(0.5, lasts / 2))
        items += [*_renamed(more, "killer"), Spell("kills", ids=frozenset(f"killer-{id}" for id in ids))]
    if happens("outage"):
        kind = rng.choice((*OUTAGES, *REFUSALS_OF_US, "429", "500"))
        begins = rng.uniform(0.0, lasts / 2)
        items.append(Spell(kind, begins, begins + rng.uniform(1.0, lasts / 2)))
    if happens("forged", 0.25):
        begins = rng.uniform(0.0, lasts / 2)
        items += forged(rng, rng.choice((1.0, 5.0)) * size, begins, begins + lasts / 4)
    if happens("misfortune"):
        for _ in range(rng.randint(1, 4)):
            items.append(Misfortune(Trouble(rng.choice(_ROLES), rng.randint(1, 250 * size), _freeze(rng))))
    if happens("second workers", 0.3):
        items.append(Process("fast", 2, skew=rng.choice((0.0, 0.0, 0.5, 3.0, -3.0)), pace=rng.choice((1.0, 1.0, 20.0))))
        if rng.random() < 0.5:
            items.append(Process("clock", 2, skew=rng.choice((0.0, 1.0, -2.0))))
    if happens("redis is flushed", 0.2):
        items.append(Happening(rng.uniform(1.0, lasts), "redis is flushed"))
    if happens("the clock is set", 0.15):
        jump = rng.choice((-3600.0, -8.0, 8.0, 3600.0))
        items.append(Happening(rng.uniform(1.0, lasts), "clock is set", seconds=jump))
    if happens("old rows", 0.2):
        items.append(Rows(rng.choice(("pending", "failed")), rng.choice((3, 30)) * size))
    if happens("replay", 0.25):
        for _ in range(rng.randint(1, 3)):
            items.append(Happening(rng.uniform(1.0, lasts * 1.5), "replay of all that failed"))
    items += _draw_more(random.Random(f"more/{seed}/{long}"), lasts, names)
    items += _draw_words(random.Random(f"words/{seed}/{long}"), items, names)
    rate = rng.choice((10.0, 100.0, 100.0))
    drawn = Plan(", ".join(names) or "all well", seed, tuple(items), lasts, rate=rate,
                 concurrency=rng.choice((8, 32)), most_attempts=rng.choice((3, 6)))  # fmt: skip
    # What a worker has in hands that is so many times slower takes so many times longer: a call, and its two commits,
    # up to a second together. A webhook that comes meanwhile waits for that, and for a look of its own, which the same
    # worker may take (seed 391). It is never idle, so that most of the work may be in its hands (seed 401): then the
    # median is one of its calls, half a second.
    slower = max(process.pace for process in items if isinstance(process, Process)) - 1
    drawn = replace(drawn, lag_bound=drawn.lag_bound + 2 * slower, median_bound=drawn.median_bound + slower / 2)
    # Every other wake-up is taken away, and stands for all for two seconds.
    return (
        replace(drawn, lag_bound=drawn.lag_bound + 4, median_bound=drawn.median_bound + 3)
        if Process("foreign") in items
        else drawn
    )


def _draw_more(rng: random.Random, lasts: float, names: list[str]) -> list[Item]:
    """What was thought of later, from numbers of its own, so that seeds keep what they had."""
    items: list[Item] = []
    if rng.random() < 0.12:
        names.append("SQL is away")
        for _ in range(rng.randint(1, 3)):
            begins = rng.uniform(0.5, lasts)
            items.append(Absence(begins, begins + rng.choice((0.3, 2.0, 8.0))))
    if rng.random() < 0.08:
        names.append("another program's worker")
        items.append(Process("foreign"))
    if rng.random() < 0.1:
        names.append("probe now")
        items += [Happening(rng.uniform(1.0, lasts * 2), "probe now") for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.1:
        names.append("the older dialect")
        begins = rng.uniform(0.0, lasts / 2)
        items.append(Spell(rng.choice(("older 502", "older 401", "older 429")), begins, begins + rng.uniform(1.0, 5.0)))
    return items


def _draw_words(rng: random.Random, items: list[Item], names: list[str]) -> list[Item]:
    """What the partner and the WebSocket say of the payments, likewise."""
    payments = [item for item in items if isinstance(item, Payment) and item.is_healthy]
    words: list[Item] = []
    if rng.random() < 0.2:
        names.append("watched")
        words += [Word(one.changes[0][0] + rng.uniform(-1.0, 3.0), one.id, "watch") for one in payments]
    if rng.random() < 0.15:
        names.append("hints")
        words += [Word(at + rng.uniform(0.0, 1.0), one.id, "hint") for one in payments for at, _, _ in one.changes]
    if rng.random() < 0.15:
        names.append("updates by WebSocket")
        words += [replace(told, is_update=True) for one in payments for told in webhooks(rng, one, lost=0.3)]
    return words


def _freeze(rng: random.Random) -> float:
    return 0.0 if rng.random() < 0.6 else rng.choice((0.5, 10.0, 40.0))


def _renamed(items: list[Item], tag: str) -> list[Item]:
    return [replace(item, id=f"{tag}-{item.id}") for item in items]  # type: ignore[type-var,union-attr]
