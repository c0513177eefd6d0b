"""What a storm does to the product: each fault, how it begins, and how it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.rig import SHORT, Rig
from webhook_app.sandbox.faults import Order

#: Seconds after which a worker's claim is taken back.
LEASE_SECONDS = (
    float(SHORT["PROOF_CONNECT_TIMEOUT"]) + float(SHORT["PROOF_READ_TIMEOUT"]) + float(SHORT["LEASE_MARGIN"])
)


@dataclass(frozen=True)
class StormFault:
    """One way to do harm. `seconds` is for how long, drawn evenly between the two."""

    kind: str
    begin: Callable[[], None]
    end: Callable[[], None]
    seconds: tuple[float, float]


def storm_faults(rig: Rig) -> list[StormFault]:
    """All of them, on this rig."""
    return [*_deaths(rig), *_freezes(rig), *_redis_faults(rig), *_sql_faults(rig), *_proof_faults(rig)]


def _nothing() -> None:
    return


def _deaths(rig: Rig) -> list[StormFault]:
    keeper, rng = rig.keeper, rig.rng

    def kill_one(prefix: str) -> Callable[[], None]:
        return lambda: keeper.kill(rng.choice(keeper.names(prefix)))

    def kill_child(prefix: str) -> Callable[[], None]:
        def begin() -> None:
            children = keeper.children(rng.choice(keeper.names(prefix)))
            if children:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(children), signal.SIGKILL)

        return begin

    def kill_all() -> None:
        for name in keeper.names():
            keeper.kill(name)

    return [
        StormFault("web killed", kill_one("web"), _nothing, (0, 0)),
        StormFault("web's server process killed", kill_child("web"), _nothing, (0, 0)),
        StormFault("fast worker killed", kill_one("fast"), _nothing, (0, 0)),
        StormFault("slow worker killed", kill_one("slow"), _nothing, (0, 0)),
        StormFault("clock killed", kill_one("clock"), _nothing, (0, 0)),
        StormFault("all of ours killed", kill_all, _nothing, (0, 0)),
    ]


def _freezes(rig: Rig) -> list[StormFault]:
    """Stopped for longer than a lease: it wakes up with claims that are others' by now."""

    def freeze(name: str) -> tuple[Callable[[], None], Callable[[], None]]:
        return (
            lambda: rig.keeper.signal(name, signal.SIGSTOP),
            lambda: rig.keeper.signal(name, signal.SIGCONT),
        )

    span = (LEASE_SECONDS + 0.5, LEASE_SECONDS + 1.5)
    return [
        StormFault("fast worker frozen", *freeze("fast-0"), span),
        StormFault("clock frozen", *freeze("clock-0"), (1, 3)),
    ]


def _redis_faults(rig: Rig) -> list[StormFault]:
    redis = rig.redis

    def command(*words: str) -> Callable[[], None]:
        def run() -> None:
            with suppress(RedisError), Redis.from_url(redis.url) as client:
                client.execute_command(*words)

        return run

    return [
        StormFault("Redis killed, started empty", redis.kill, redis.start, (0.2, 4)),
        StormFault("Redis flushed", redis.flush, _nothing, (0, 0)),
        StormFault("Redis frozen", redis.freeze, redis.thaw, (1, 5)),
        StormFault("Redis full", redis.fill, redis.make_room, (1, 4)),
        StormFault(
            "Redis read-only", command("REPLICAOF", "127.0.0.1", "1"), command("REPLICAOF", "NO", "ONE"), (1, 4)
        ),
    ]


def _sql_faults(rig: Rig) -> list[StormFault]:
    return [StormFault(kind, begin, end, (0.5, 3.5)) for kind, (begin, end) in rig.engine.outages.items()]


def _proof_faults(rig: Rig) -> list[StormFault]:
    def period(order: Order | str) -> Callable[[], None]:
        return lambda: rig.control.inject_period(order, 3600)

    def allowlisted(value: bool) -> Callable[[], None]:
        def run() -> None:
            rig.control.configure(allowlisted=value)

        return run

    def clear() -> None:
        rig.control.clear_faults()
        begin_background_faults(rig)

    span = (1, 3)
    return [
        StormFault("Proof: publish_failed", period("publish_failed"), clear, span),
        StormFault("Proof: 502", period("provider_error"), clear, span),
        StormFault("Proof: 401", period("invalid_token"), clear, span),
        StormFault("Proof: 403", allowlisted(False), allowlisted(True), span),
        StormFault("Proof: hangs", period(Order("hang", seconds=60)), clear, span),
        StormFault("Proof: garbage", period("html_200"), clear, span),
        StormFault("Proof: gone", rig.sandbox.close_port, rig.sandbox.open_port, span),
    ]


def begin_background_faults(rig: Rig) -> None:
    """What goes wrong all the time: a few calls in a hundred, and the poisoned transactions."""
    rates: list[tuple[Order | str, float]] = [
        ("publish_failed", 0.02),
        ("provider_error", 0.02),
        ("close", 0.01),
        ("truncated_json", 0.01),
        (Order("delay", seconds=0.3), 0.02),
    ]
    for order, rate in rates:
        rig.control.inject_rate(order, rate)
    for transaction_id, order in POISON.items():
        rig.control.inject(order, transaction=transaction_id)


#: Transactions that never succeed: one always fails, one always hangs.
POISON = {
    "poison-fails": Order("provider_error", count=-1),
    "poison-hangs": Order("hang", count=-1, seconds=60),
}
