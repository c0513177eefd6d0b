"""A rolling deploy under load: the schema grows, new processes come, old ones get SIGTERM, and no event is lost."""

from __future__ import annotations

import threading
from itertools import count

from sqlalchemy import func, select, text

from tests.chaos.compare import EventKey, compare, open_work, read_held
from tests.chaos.rig import NotInTime, Rig, event_of
from tests.chaos.table import Row
from webhook_app.domain.failures import WORKER_DIED
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import parse_timestamp
from webhook_app.models import Attempt
from webhook_app.sandbox.faults import Order

#: Seconds that a process has after SIGTERM; `webhook-app run` gives it as many.
GRACE = 10.0
_OLD = ("web-0", "fast-0", "slow-0", "clock-0")
_ADDED = (
    "ALTER TABLE events ADD COLUMN of_the_next_version TEXT",
    "ALTER TABLE reconciliations ADD COLUMN of_the_next_version TEXT",
    "ALTER TABLE transactions ADD COLUMN of_the_next_version TEXT",
    "CREATE TABLE of_the_next_version (id INTEGER PRIMARY KEY)",
    "UPDATE alembic_version SET version_num = 'next'",
)


def run_deploy(rig: Rig, *, events: int) -> list[Row]:
    row = Row(rig.engine.name, "deploy: schema grows, SIGTERM, new beside old")
    rig.start_all()
    rig.control.inject_rate(Order("delay", seconds=0.3), 1.0)  # so that each process has something in hand
    ids = rig.control.create_many(events, status=Status.COMPLETED)
    for transaction_id in ids[::10]:
        rig.control.inject("publish_failed", transaction=transaction_id)
    sender = _Sender(rig, ids)
    sender.start()
    try:
        rig.until(lambda: len(sender.accepted) > events // 10, "traffic flows", 30)
        _grow_schema(rig)
        if not _is_ready(rig):
            rig.say("the old version is not ready beside the new schema")
            row.late += 1
        _start_new(rig)
        for name in _OLD:
            took, code = rig.keeper.stop(name, GRACE)
            row.times += 1
            row.recoveries.append(took)
            if took >= GRACE:
                row.late += 1
            rig.say(f"{name}: ended {took:.1f} s after SIGTERM with {code}")
        sender.join(60)
        rig.until(lambda: not open_work(rig.database) and not rig.spool_size(), "all is reconciled", 60)
        abandoned = _abandoned(rig)
        rig.say(f"claims that were not handed back: {abandoned}")
        row.late += abandoned
    except NotInTime as error:
        rig.say(str(error))
        row.late += 1
    finally:
        sender.over.set()
        sender.join()
    row.accepted = len(sender.accepted)
    verdict = compare(read_held(rig.database), rig.control.transactions(), sender.accepted)
    row.lost = len(verdict.lost) + len(verdict.failed)
    row.duplicated = len(verdict.duplicated)
    row.backwards = len(verdict.backwards)
    for transaction_id, why in {**verdict.lost, **verdict.failed}.items():
        rig.say(f"{transaction_id}: {why}")
    return [row]


class _Sender(threading.Thread):
    """Sends all events to the web processes in turn; what gets no 2xx is sent again, as Proof does."""

    def __init__(self, rig: Rig, ids: list[str]) -> None:
        super().__init__(daemon=True)
        self._rig = rig
        self._ids = ids
        self.over = threading.Event()
        self.accepted: set[EventKey] = set()

    def run(self) -> None:
        turns = count()
        for transaction_id in self._ids:
            payload = event_of(self._rig.control.transaction(transaction_id).answer())
            while not self.over.is_set() and not self._rig.post(payload, next(turns), timeout=5).is_accepted:
                self.over.wait(0.02)
            self.accepted.add((transaction_id, payload["status"], parse_timestamp(payload["updated_at"])))
            self.over.wait(0.005)


def _grow_schema(rig: Rig) -> None:
    """What an additive migration of the next version does, while the old one runs."""
    for statement in _ADDED:
        with rig.database.write() as session:
            session.execute(text(statement))


def _is_ready(rig: Rig) -> bool:
    answer = rig.http.request("GET", rig.webhook_url().replace("/webhooks/proof", "/readyz"), timeout=10)
    return bool(answer.json()["checks"]["migrations"] == "ok")


def _start_new(rig: Rig) -> None:
    rig.start_web("web-1")
    rig.start("fast-1", "worker", "--lane", "fast")
    rig.start("slow-1", "worker", "--lane", "slow")
    rig.start("clock-1", "clock")
    rig.wait_until_up()


def _abandoned(rig: Rig) -> int:
    """Claims that a stopped process did not hand back: each leaves an attempt `worker_died` when its lease runs out."""
    with rig.database.read() as session:
        return session.scalar(select(func.count()).where(Attempt.error == WORKER_DIED)) or 0
