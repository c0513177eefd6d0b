"""Worlds: one fault each, at a size that was seen in life, beside healthy payments that must not feel it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.simulate.plan import NORMAL, Absence, Happening, Item, Misfortune, Plan, Process, Rows, Spell, Webhook, Word
from tests.simulate.schedule import Trouble
from tests.simulate.traffic import forged, payment, poisoned, steady, webhooks

World = Callable[[int], Plan]
WORLDS: dict[str, World] = {}

#: When the fault begins and how long healthy payments go on.
_BEGINS, _LASTS = 5.0, 60.0


def _world(name: str) -> Callable[[World], World]:
    def register(world: World) -> World:
        WORLDS[name] = world
        return world

    return register


def _plan(name: str, seed: int, items: list[Item], *, lasts: float = _LASTS, **values: object) -> Plan:
    """Healthy payments, one every two seconds, beside `items`."""
    rng = random.Random(f"{name}/{seed}")
    everything = (*NORMAL, *steady(rng, int(lasts / 2), 1.0, lasts - 10), *items)
    return replace(Plan(name, seed, everything, lasts, ends_all=False), **values)  # type: ignore[arg-type]


def _poison(kind: str, count: int, name: str) -> None:
    @_world(name)
    def world(seed: int) -> Plan:
        items, ids = poisoned(random.Random(seed), count, _BEGINS)
        return _plan(name, seed, [*items, Spell(kind, ids=ids)])


for _count in (5, 20, 200):
    _poison("unknown status", _count, f"{_count} unknown status words")
_poison("no JSON", 20, "20 unreadable answers")
_poison("another id", 20, "20 answers about another id")
_poison("500", 20, "20 that end in 500")
_poison("403 forbidden", 1, "one id answered 403")
_poison("403 forbidden", 5, "5 ids answered 403")
_poison("401", 1, "one id answered 401")
_poison("kills", 3, "3 that kill their worker")
_poison("hangs", 17, "17 calls that hang")
_poison("hangs", 40, "40 calls that hang")


@_world("healthy payments alone")
def _calm(seed: int) -> Plan:
    return _plan("healthy payments alone", seed, [])


@_world("160 forged ids a second")
def _flood(seed: int) -> Plan:
    items = forged(random.Random(seed), 160.0, _BEGINS, 15.0)
    return _plan("160 forged ids a second", seed, items)


@_world("720 abandoned payments at 10 calls a second")
def _abandoned(seed: int) -> Plan:
    return _plan("720 abandoned payments at 10 calls a second", seed, [Rows("pending", 720)], rate=10.0)


@_world("100,000 abandoned payments")
def _many_abandoned(seed: int) -> Plan:
    return _plan("100,000 abandoned payments", seed, [Rows("pending", 100_000)], lasts=30.0)


@_world("the slow worker stands still")
def _slow_frozen(seed: int) -> Plan:
    """Proof is away for a while; what failed meanwhile is in the slow lane."""
    name = "the slow worker stands still"
    items = [
        Spell("502", 20.0, 40.0),
        Misfortune(Trouble("slow-1", 1, 400.0)),
        *(Misfortune(Trouble("slow-1 job", step, 400.0)) for step in (1, 2, 3)),
    ]
    return _plan(name, seed, items, lasts=240.0)


@_world("two fast workers, one stands still")
def _fast_frozen(seed: int) -> Plan:
    items: list[Item] = [Process("fast", 2), Misfortune(Trouble("fast-1", 60, 45.0))]
    return _plan("two fast workers, one stands still", seed, items)


@_world("an outage of 60 s")
def _outage(seed: int) -> Plan:
    return _plan("an outage of 60 s", seed, [Spell("502", 20.0, 80.0)], lasts=200.0)


@_world("an outage that meets 150 payments at once")
def _crowded_outage(seed: int) -> Plan:
    """No more calls go out before it is known than may be under way at once."""
    rng = random.Random(seed)
    items: list[Item] = [Spell("502", 0.0, 20.0)]
    for number in range(150):
        one = payment(rng, f"at-once-{number}", 1.0)
        items += [one, *webhooks(rng, one)]
    return _plan("an outage that meets 150 payments at once", seed, items, lasts=120.0, concurrency=8)


@_world("an outage beside 20 unknown status words")
def _outage_with_poison(seed: int) -> Plan:
    items, ids = poisoned(random.Random(seed), 20, _BEGINS)
    extra = [*items, Spell("unknown status", ids=ids), Spell("503 page", 20.0, 80.0)]
    return _plan("an outage beside 20 unknown status words", seed, extra, lasts=200.0)


@_world("a wrong token for 60 s")
def _wrong_token(seed: int) -> Plan:
    return _plan("a wrong token for 60 s", seed, [Spell("401", 20.0, 80.0)], lasts=200.0)


@_world("429 for 20 s")
def _rate_limited(seed: int) -> Plan:
    return _plan("429 for 20 s", seed, [Spell("429", 20.0, 40.0)], lasts=240.0)


@_world("a replay of 1,000")
def _replay(seed: int) -> Plan:
    items: list[Item] = [Rows("failed", 1000), Happening(10.0, "replay of all that failed")]
    return _plan("a replay of 1,000", seed, items)


@_world("workers die")
def _dying(seed: int) -> Plan:
    rng = random.Random(seed)
    items: list[Item] = [Process("fast", 2)]
    items += [
        Misfortune(Trouble(rng.choice(("fast-1", "fast-2", "slow-1 job", "clock-1", "web-1")), rng.randint(5, 800)))
        for _ in range(8)
    ]
    return _plan("workers die", seed, items)


@_world("clocks of two hosts, 3 s apart")
def _skewed(seed: int) -> Plan:
    items: list[Item] = [Process("fast", 2, skew=3.0), Process("clock", 2, skew=-1.0)]
    return _plan("clocks of two hosts, 3 s apart", seed, [*items, Rows("pending", 300)], rate=20.0)


@_world("the clock is set back by an hour")
def _set_back(seed: int) -> Plan:
    items: list[Item] = [Happening(40.0, "clock is set", seconds=-3600.0), Rows("failed", 300)]
    items.append(Happening(38.0, "replay of all that failed"))
    return _plan("the clock is set back by an hour", seed, items)


@_world("payments that are paid again")
def _retried(seed: int) -> Plan:
    rng = random.Random(seed)
    items: list[Item] = []
    for number in range(40):
        one = payment(rng, f"again-{number}", 1.0 + number, retried=True, whole_seconds=number % 2 == 0, pace=1.0)
        items += [one, *webhooks(rng, one, copied=0.2, late=0.1)]
    return _plan("payments that are paid again", seed, items, lag_bound=5.0)


@_world("no worker runs")
def _no_worker(seed: int) -> Plan:
    """Nor does it where RQ's own workers are suspended. The clock does the work, once something was due for ten
    seconds; from then on it looks every second."""
    plan = _plan("no worker runs", seed, [], lag_bound=17.0, median_bound=2.0)
    workers = {Process("fast"), Process("slow")}
    return replace(plan, items=tuple(item for item in plan.items if item not in workers))


@_world("another program's worker takes our jobs beside ours")
def _foreign(seed: int) -> Plan:
    """Every other wake-up is taken away, and stands for all for two seconds."""
    return _plan("another program's worker takes our jobs beside ours", seed, [Process("foreign")], median_bound=2.5)


@_world("SQL is away for 20 s")
def _sql_away(seed: int) -> Plan:
    return _plan("SQL is away for 20 s", seed, [Absence(20.0, 40.0)], lasts=120.0)


@_world("SQL is away again and again")
def _sql_flaps(seed: int) -> Plan:
    items: list[Item] = [Absence(at, at + 0.7) for at in (10.0, 14.0, 18.0, 22.0, 26.0, 30.0)]
    return _plan("SQL is away again and again", seed, items, lasts=120.0)


@_world("an admin asks for probes after an outage")
def _probe_now(seed: int) -> Plan:
    """Rounds are a minute apart by then, and nothing new comes that would be called at once."""
    items: list[Item] = [Spell("502 page", 10.0, 130.0), Happening(133.0, "probe now")]
    return replace(_plan("an admin asks for probes after an outage", seed, items), lasts=200.0)


@_world("copies of what gave up")
def _copies(seed: int) -> Plan:
    """Proof refuses some for a while, and delivers again when it does not."""
    rng = random.Random(seed)
    items, ids = poisoned(rng, 20, _BEGINS)
    items += [Spell("400", 0.0, 20.0, ids)]
    items += [replace(item, at=item.at + 25.0) for item in items if isinstance(item, Webhook)]
    return _plan("copies of what gave up", seed, items, lasts=90.0, ends_well=ids)


@_world("Proof speaks its older dialect")
def _older(seed: int) -> Plan:
    rng = random.Random(seed)
    items: list[Item] = []
    for kind in ("older 404", "older 403"):
        more, ids = poisoned(rng, 10, _BEGINS)
        tag = kind.replace(" ", "-")
        items += [replace(item, id=f"{tag}-{item.id}") for item in more]  # type: ignore[type-var,union-attr]
        items.append(Spell(kind, ids=frozenset(f"{tag}-{id}" for id in ids)))
    items += [Spell("older 502", 20.0, 40.0), Spell("older 401", 90.0, 100.0)]
    return _plan("Proof speaks its older dialect", seed, items, lasts=260.0)


def _watched(seed: int, count: int, lasts: float, *, lost_until: float, lost_from: float = 0.0) -> list[Item]:
    """Payments that the partner names when it opens them; between the two times their webhooks are lost."""
    rng = random.Random(f"watched/{seed}")
    items: list[Item] = []
    for number in range(count):
        one = payment(rng, f"watched-{number}", 1.0 + (lasts - 20.0) * number / count)
        items += [one, Word(one.changes[0][0] + 0.1, one.id, "watch")]
        items += [told for told in webhooks(rng, one) if not lost_from <= told.at < lost_until]
    return items


@_world("watched payments, all webhooks lost")
def _all_lost(seed: int) -> Plan:
    """Each status that lasts is confirmed within a gap between polls, 5 s, and the bound of a first look."""
    items = _watched(seed, 40, _LASTS, lost_until=_LASTS * 2)
    return Plan("watched payments, all webhooks lost", seed, (*NORMAL, *items), _LASTS, ends_all=False)


@_world("webhooks and updates by WebSocket, half of either lost")
def _two_channels(seed: int) -> Plan:
    """And hints beside them. What both tell of is one event."""
    rng = random.Random(f"channels/{seed}")
    items: list[Item] = []
    for number in range(40):
        one = payment(rng, f"both-{number}", 1.0 + number)
        items += [one, Word(one.changes[0][0] + 0.1, one.id, "watch")]
        items += webhooks(rng, one, lost=0.5, copied=0.2)
        items += [replace(told, is_update=True) for told in webhooks(rng, one, lost=0.5)]
        items += [Word(at + 0.05, one.id, "hint") for at, _, _ in one.changes if rng.random() < 0.3]
    return _plan("webhooks and updates by WebSocket, half of either lost", seed, items)


@_world("webhooks stop for three minutes")
def _silenced(seed: int) -> Plan:
    items = _watched(seed, 120, 480.0, lost_from=60.0, lost_until=240.0)
    name = "webhooks stop for three minutes"
    return Plan(name, seed, (*NORMAL, *items), 480.0, ends_all=False, is_silenced=True)
