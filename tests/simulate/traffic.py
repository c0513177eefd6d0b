"""Traffic: payments that move at Proof, and the webhooks that tell of it: late, lost, repeated, out of order."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from tests.simulate.plan import Item, Payment, Webhook

#: Ways of a payment, with the seconds between two changes.
_WAYS = (
    ("pending", "processing", "completed"),
    ("pending", "completed"),
    ("pending", "cancelled"),
    ("pending", "processing", "failed"),
)
#: Ways with Proof's trap: paid again in the widget under the same id.
_RETRIED = (
    ("pending", "processing", "failed", "processing", "completed"),
    ("pending", "failed", "processing", "failed", "processing", "completed"),
    ("processing", "failed", "processing", "completed"),
)


def payment(
    rng: random.Random, id: str, begins: float, *, retried: bool = False, whole_seconds: bool = False, pace: float = 4.0
) -> Payment:
    """A payment that takes about `pace` seconds between two changes; with `whole_seconds` Proof's clock has no finer
    ones, so that two changes may have the same."""
    changes, at = [], begins
    for status in rng.choice(_RETRIED if retried else _WAYS):
        moment = math.floor(at) if whole_seconds else round(at, 3)
        changes.append((at, status, float(moment)))
        at += rng.expovariate(1 / pace) + (0.001 if retried else 0.2)
    return Payment(id, tuple(changes))


def webhooks(
    rng: random.Random,
    payment: Payment,
    *,
    lost: float = 0.0,
    copied: float = 0.0,
    late: float = 0.0,
    bare: float = 0.0,
) -> Iterator[Webhook]:
    """What Proof sends about it. `lost`, `copied`, `late` and `bare` (without `updated_at`) are shares."""
    for at, status, updated_at in payment.changes:
        if rng.random() < lost:
            continue
        delay = rng.uniform(2.0, 20.0) if rng.random() < late else rng.uniform(0.02, 0.4)
        moment = None if rng.random() < bare else updated_at
        yield Webhook(at + delay, payment.id, status, moment)
        while rng.random() < copied:
            amount = rng.choice(("10.00", "10.00", "12.00"))
            yield Webhook(at + delay + rng.uniform(0.0, 8.0), payment.id, status, moment, fiat_amount=amount)


def steady(rng: random.Random, count: int, begins: float, ends: float, **options: float) -> list[Item]:
    """`count` healthy payments, begun evenly, of which each webhook arrives once and soon."""
    items: list[Item] = []
    for number in range(count):
        one = payment(rng, f"well-{number}", begins + (ends - begins) * number / count, pace=options.get("pace", 4.0))
        items += [one, *webhooks(rng, one)]
    return items


def forged(rng: random.Random, per_second: float, begins: float, ends: float) -> list[Item]:
    """Webhooks for ids that Proof does not know, which nobody vouches for."""
    return [
        Webhook(begins + number / per_second, f"forged-{number}", "completed", begins, is_forged=True)
        for number in range(int((ends - begins) * per_second))
    ]


def poisoned(rng: random.Random, count: int, begins: float) -> tuple[list[Item], frozenset[str]]:
    """Payments that are not healthy, each with one webhook; and their ids. What ails them is a spell's matter."""
    ids = frozenset(f"poison-{number}" for number in range(count))
    items: list[Item] = []
    for number in range(count):
        at = begins + number * 0.01
        id = f"poison-{number}"
        items += [
            Payment(id, ((at, "completed", round(at, 3)),), is_healthy=False),
            Webhook(at + 0.05, id, "completed", round(at, 3)),
        ]
    return items, ids
