"""`python -m tests.stress.listening`: how soon a change at Proof is in our records by WebSocket alone, with real
processes on PostgreSQL, 100 open transactions and no webhook; then the listener is killed (`kill -9`), and Proof. Fails
where the median is above half a second, or where a transaction does not reach Proof's final status."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from sqlalchemy import func, select

from tests.support.processes import Running, started
from tests.support.sandbox import Sandbox
from tests.support.servers import PostgresServer, RedisServer
from tests.support.waiting import wait_for
from webhook_app.config import environment
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.db.migrate import upgrade
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Event, HistoryEntry, Listening
from webhook_app.models.event import Channel
from webhook_app.sandbox.server import SandboxSettings
from webhook_app.usecases.channels.watching import watch_all
from webhook_app.usecases.reconcile.watches import Watch

TRANSACTIONS = 100
SECONDS = 20.0
MOST_MEDIAN = 0.5


def main() -> int:
    """Runs it all; the exit code."""
    with ExitStack() as held, tempfile.TemporaryDirectory(prefix="wa-") as folder:
        postgres = PostgresServer(Path(folder) / "pg")
        held.callback(postgres.stop)
        (Path(folder) / "redis").mkdir()
        redis = RedisServer(Path(folder) / "redis")
        held.callback(redis.stop)
        url = postgres.url(postgres.create_database())
        upgrade(url)
        database = Database(url)
        held.callback(database.close)
        sandbox = held.enter_context(Sandbox(SandboxSettings(tokens=("token",))))
        env = os.environ | environment(
            database_url=url,
            redis_url=redis.url,
            proof_api_url=sandbox.url,
            proof_client_tokens="token",
            data_dir=str(Path(folder) / "var"),
        )

        def start(name: str, label: str = "") -> Running:
            place = Path(folder) / (label or name)
            place.mkdir()
            return held.enter_context(started([sys.executable, "-m", "webhook_app.cli", name], env, place))

        start("worker")
        start("clock")
        listener = start("listen")
        names = sandbox.control.create_many(TRANSACTIONS)
        watch_all(database, [Watch(name) for name in names], "stress", utc_now())
        wait_for(lambda: _standing(database) == TRANSACTIONS, "all connections stand", 60)
        changed = _move(sandbox, names, Status.PROCESSING, SECONDS)
        ours = _settle(database, changed)
        reported = sorted((ours[key][0] - at).total_seconds() for key, at in changed.items())
        confirmed = sorted((ours[key][1] - at).total_seconds() for key, at in changed.items())
        _say("event recorded", reported)
        _say("status confirmed", confirmed)

        half = names[: TRANSACTIONS // 2]
        listener.send(signal.SIGKILL)
        listener.ended()
        changed = _move(sandbox, half, Status.FAILED, 2)
        start("listen", "listen-2")
        sandbox.close_port()
        rest = names[TRANSACTIONS // 2 :]
        for name in rest:
            at = sandbox._world.set_status(name, Status.COMPLETED).updated_at
            changed[name, Status.COMPLETED.value] = at
        sandbox.open_port()
        began = time.monotonic()
        ours = _settle(database, changed, 120)
        say(f"after kill -9 of the listener and of Proof all {len(changed)} final statuses came, "
              f"within {time.monotonic() - began:.1f} s")  # fmt: skip
        calls = sandbox.control.counters().gets
        say(f"{calls} calls to Proof in all")
        return int(median(reported) > MOST_MEDIAN)


def _move(sandbox: Sandbox, names: list[str], status: Status, seconds: float) -> dict[tuple[str, str], object]:
    changed = {}
    rng = random.Random(1)
    for name in rng.sample(names, len(names)):
        changed[name, status.value] = sandbox.control.set_status(name, status, webhook=False).updated_at
        time.sleep(rng.uniform(0, 2 * seconds / len(names)))
    return changed


def _settle(database: Database, changed: dict, seconds: float = 60) -> dict:
    """When each of these changes was first reported, and confirmed."""

    def look() -> dict:
        with database.read() as session:
            history = {
                (one.merchant_transaction_id, one.status): one.recorded_at
                for one in session.scalars(select(HistoryEntry))
            }
            events = {
                (one.merchant_transaction_id, one.status): one.received_at
                for one in session.scalars(select(Event).where(Event.channel == Channel.WEBSOCKET))
            }
        return {key: (events.get(key, history[key]), history[key]) for key in changed if key in history}

    return wait_for(lambda: found if len(found := look()) == len(changed) else None, "all is confirmed", seconds)


def _standing(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).where(Listening.connected_at.is_not(None))) or 0


def _say(what: str, lags: list[float]) -> None:
    say(f"{what}: median {median(lags):.3f} s, p95 {lags[int(len(lags) * 0.95)]:.3f} s, worst {lags[-1]:.3f} s")


if __name__ == "__main__":
    sys.exit(main())
