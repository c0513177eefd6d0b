"""The sick beside the healthy: some of the simulator's worlds in short, with real processes."""

from __future__ import annotations

import statistics
import time

from sqlalchemy import select

from tests.chaos.compare import EventKey, compare, read_held
from tests.chaos.rig import NotInTime, Rig, event_of
from tests.chaos.table import Row
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import parse_timestamp
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import IS_UNOPENED
from webhook_app.models.reconciliation import State
from webhook_app.sandbox.faults import Order

#: Calls per second that are allowed: few, so that the sick would take them all.
_RATE = 50
#: Seconds that are promised, and for which the last ones are waited for.
_PROMISED, _LIMIT = 5.0, 20.0
#: Seconds until Proof was asked about each of the sick once.
_FIRST_LOOKS = 60.0
#: Seconds between two healthy payments.
_GAP = 0.5

#: (name, sick transactions, what each call for one of them is answered); None: they stay `pending`.
_WORLDS: tuple[tuple[str, int, Order | None], ...] = (
    ("unknown status words", 200, Order("unknown_status", count=-1)),
    ("no JSON", 20, Order("not_json", count=-1)),
    ("answers about another id", 20, Order("other_transaction", count=-1)),
    ("500", 20, Order("db_error", count=-1)),
    ("refused, 403", 5, Order("forbidden_origin", count=-1)),
    ("hanging calls", 40, Order("hang", count=-1, seconds=60)),
    ("abandoned", 720, None),
)


def run_sick(rig: Rig, *, seconds: float) -> list[Row]:
    """One world after the other, each for so long; the sick of those before go on."""
    rig.start_web("web-0", PROOF_WEBHOOK_ALLOWED_IPS="127.0.0.1")  # else anybody's ids are of one class with ours
    for name, words in (("fast-0", ("worker", "--lane", "fast")), ("slow-0", ("worker", "--lane", "slow"))):
        rig.start(name, *words, PROOF_MAX_CALLS_PER_SECOND=str(_RATE))
    rig.start("clock-0", "clock", PROOF_MAX_CALLS_PER_SECOND=str(_RATE))
    rig.wait_until_up()
    return [_try(rig, number, name, count, order, seconds) for number, (name, count, order) in enumerate(_WORLDS)]


def _try(rig: Rig, number: int, name: str, count: int, order: Order | None, seconds: float) -> Row:
    row = Row(rig.engine.name, f"beside the sick: {count} {name}", times=1)
    for sick in rig.control.create_many(count, status=Status.COMPLETED if order else Status.PENDING):
        if order:
            rig.control.inject(order, transaction=sick)
        rig.post(event_of(rig.control.transaction(sick).answer()))
    healthy = _Healthy(rig, f"well-{number}")
    try:
        # The first looks at so many that come at once are a class's arrivals beyond its share.
        rig.until(lambda: not _has_untried(rig), "Proof was asked about each of the sick", _FIRST_LOOKS)
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            healthy.send()
            healthy.look(_GAP)
        rig.until(lambda: healthy.look(0.0), "all healthy payments are confirmed", _LIMIT)
    except NotInTime as error:
        rig.say(str(error))
        row.late += 1
    row.recoveries = healthy.waits
    row.accepted = len(healthy.accepted)
    row.late += sum(1 for wait in healthy.waits if wait > _PROMISED)
    verdict = compare(read_held(rig.database), rig.control.transactions(), healthy.accepted)
    row.lost = sum(1 for id in verdict.lost if id.startswith(healthy.prefix))
    row.duplicated, row.backwards = len(verdict.duplicated), len(verdict.backwards)
    middle = statistics.median(healthy.waits) if healthy.waits else 0.0
    rig.say(
        f"{name}: {len(healthy.waits)} healthy, {middle:.2f} s in the median, {max(healthy.waits, default=0):.1f} s"
    )
    return row


def _has_untried(rig: Rig) -> bool:
    untried = select(Reconciliation.id).where(Reconciliation.attempts == 0).limit(1)
    unopened = select(Event.id).where(IS_UNOPENED).limit(1)
    with rig.database.read() as session:
        return session.scalar(untried) is not None or session.scalar(unopened) is not None


class _Healthy:
    """Healthy payments, one after the other, and how long each has waited for its confirmation."""

    def __init__(self, rig: Rig, prefix: str) -> None:
        self._rig = rig
        self.prefix = prefix
        self._waiting: dict[str, float] = {}
        self.waits: list[float] = []
        self.accepted: set[EventKey] = set()

    def send(self) -> None:
        id = f"{self.prefix}-{len(self.accepted)}"
        self._rig.control.create(id, status=Status.COMPLETED)
        payload = event_of(self._rig.control.transaction(id).answer())
        if self._rig.post(payload).is_accepted:
            self._waiting[id] = time.monotonic()
            self.accepted.add((id, payload["status"], parse_timestamp(payload["updated_at"])))

    def look(self, seconds: float) -> bool:
        """Looks for so long; whether all are confirmed."""
        ends_at = time.monotonic() + seconds
        while True:
            with self._rig.database.read() as session:
                done = session.scalars(
                    select(Reconciliation.merchant_transaction_id).where(
                        Reconciliation.merchant_transaction_id.in_(list(self._waiting)),
                        Reconciliation.state == State.SUCCEEDED,
                    )
                ).all()
            now = time.monotonic()
            self.waits += [now - self._waiting.pop(one) for one in done]
            if now >= ends_at:
                return not self._waiting
            time.sleep(0.02)
