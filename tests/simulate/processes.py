"""The processes: each an actor that calls the real use cases as its real counterpart does, and is started again when it
has died."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy.exc import DBAPIError

from tests.simulate.plan import Plan, Process, Webhook
from tests.simulate.proof import VirtualProof, moment
from tests.simulate.redis import VirtualQueues
from tests.simulate.schedule import Actor, Schedule
from tests.simulate.store import SimulatedDatabase
from tests.support.uncounted import Uncounted
from webhook_app.adapters.spool import Spool
from webhook_app.config import Settings, load_settings
from webhook_app.models.event import Channel
from webhook_app.usecases.receive.ingest import ReportedEvent, RequestOrigin, ingest_events
from webhook_app.usecases.receive.spool_drain import SpoolDrain, SqlRefuses
from webhook_app.usecases.receive.spooled_event import encode_event
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.decisions import Policy
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.standing_in import note_standing_in, show_worker
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.clock import INTERVAL, run_once
from workers.own_work import work_by_itself

#: Seconds until a process that died runs again.
RESTART = 1.5
#: Most webhooks that one transaction takes.
_BATCH = 200
#: Most seconds between two sweeps of a clock that finds nothing to do.
_LONGEST_GAP = 10.0
#: As `workers.jobs` has them.
_LONGEST_RUN, _GRACE = 30.0, 5.0


@dataclass
class Accepted:
    """A webhook that was answered with 2xx. One that was spooled has no `event_id` before `find_spooled`."""

    webhook: Webhook
    event_id: int | None
    at: float
    duplicate: bool


@dataclass
class Machinery:
    """All processes of one simulation, and what they share."""

    plan: Plan
    schedule: Schedule
    database: SimulatedDatabase
    proof: VirtualProof
    queues: VirtualQueues
    folder: Path
    """Where the spool is made."""
    arrived: list[Webhook] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    clock_steps: dict[str, float] = field(default_factory=dict)
    """By process, how far its host's wall clock has been set since the beginning."""
    shown_at: dict[str, float] = field(default_factory=dict)
    """By worker process, when it has last shown that it lives."""
    idle_webs: list[Actor] = field(default_factory=list)
    idle_until: float = 0.0
    """Until then nothing is due, so the clocks need not look."""
    starts: itertools.count[int] = field(default_factory=itertools.count)
    running: dict[str, Actor] = field(default_factory=dict)

    def start(self, process: Process, delay: float = 0.0) -> None:
        """Starts it, and starts it again whenever it dies."""
        work: Callable[[Process], None] = getattr(self, f"_run_{process.role}")
        name = f"{process.name}#{next(self.starts)}"
        actor = self.schedule.spawn(name, lambda: work(process), role=process.name, delay=delay)
        actor.pace = process.pace
        self.running[process.name] = actor

    def restart_dead(self, actor: Actor) -> None:
        """For `Schedule.on_death`."""
        for process in self.plan.of(Process):
            assert isinstance(process, Process)
            if self.running.get(process.name) is actor:
                self.start(process, RESTART)

    def arrive(self, webhook: Webhook) -> None:
        """It reaches a web process that waits for one."""
        self.arrived.append(webhook)
        self.idle_webs = [web for web in self.idle_webs if not web.is_dead]
        if self.idle_webs:
            self.schedule.wake(self.idle_webs.pop(0), 0.0005)

    @cached_property
    def settings(self) -> Settings:
        """The defaults, but for the plan's numbers."""
        plan = self.plan
        return load_settings(
            {
                "PROOF_API_URL": "http://127.0.0.1",
                "PROOF_CLIENT_TOKEN": "virtual",
                "PROOF_MAX_CALLS_PER_SECOND": str(plan.rate),
                "PROOF_MAX_CONCURRENCY": str(plan.concurrency),
                "RETRY_MAX_ATTEMPTS": str(plan.most_attempts),
            }
        )

    def wall_clock(self, process: Process) -> Callable[[], datetime]:
        def now() -> datetime:
            return moment(self.schedule.now + process.skew + self.clock_steps.get(process.name, 0.0))

        return now

    def reconciler(self, process: Process) -> Reconciler:
        settings = self.settings
        return Reconciler(
            database=self.database,
            proof=self.proof,  # type: ignore[arg-type]
            policy=Policy(settings.budget, settings.limits, settings.cadence),
            lease=timedelta(seconds=settings.slowest_call + settings.lease_margin),
            clock=self.wall_clock(process),
            rng=self.schedule.current.rng,
            totals=Uncounted(self.database),
        )

    @cached_property
    def spool(self) -> Spool:
        return Spool(Path(tempfile.mkdtemp(prefix="sim-spool-", dir=self.folder)), 100_000_000)

    def find_spooled(self) -> None:
        """Finds the events of the webhooks that were spooled."""
        known = {accepted.event_id for accepted in self.accepted}
        for accepted in self.accepted:
            if accepted.event_id is None:
                event = _to_event(accepted.webhook)
                found = self.database.query(
                    "SELECT id FROM events WHERE merchant_transaction_id = :id AND status = :status "
                    "AND updated_at_key = :key",
                    id=event.merchant_transaction_id, status=event.status, key=event.updated_at_key,
                )  # fmt: skip
                accepted.event_id = found[0][0] if found else None
                accepted.duplicate = accepted.event_id in known
                known.add(accepted.event_id)

    def _run_web(self, process: Process) -> None:
        """The thread that writes: it commits together what waits, and spools it where SQL does not take it. The same
        thread drains the spool."""
        clock = self.wall_clock(process)
        drain = SpoolDrain(self.database, self.spool, clock) if self.database.absences else None
        while True:
            while not self.arrived:
                self.idle_webs.append(self.schedule.current)
                self.schedule.sleep(3600.0 if drain is None else 0.5)
                if drain is not None and not self.arrived:
                    self._drain(drain)
            batch, self.arrived = self.arrived[:_BATCH], self.arrived[_BATCH:]
            now = clock()
            arrivals = [
                (_to_event(webhook), RequestOrigin(now, "192.0.2.1", {}, is_vouched=not webhook.is_forged))
                for webhook in batch
            ]
            try:
                answers = ingest_events(self.database, arrivals)
            except DBAPIError:
                for webhook, arrival in zip(batch, arrivals, strict=True):
                    self.spool.append(encode_event(*arrival))
                    self.accepted.append(Accepted(webhook, None, self.schedule.now, duplicate=False))
                continue
            for webhook, answer in zip(batch, answers, strict=True):
                self.accepted.append(Accepted(webhook, answer.event_id, self.schedule.now, answer.duplicate))
            self.queues.wake()

    def _drain(self, drain: SpoolDrain) -> None:
        if drain.is_due():
            try:
                if drain.drain():
                    self.queues.wake()
            except SqlRefuses:
                self.schedule.note("the spool waits for SQL")

    def _run_fast(self, process: Process) -> None:
        reconciler = self.reconciler(process)
        while True:
            self.queues.take_wake_job()
            self.schedule.step("takes a job", 0.002)
            self.queues.acknowledge_wake()
            try:
                self._show(process, Lane.FAST)
                reconciler.reconcile_due(
                    threads=self.plan.concurrency,
                    max_seconds=_LONGEST_RUN,
                    stopping=lambda: False,
                    grace=_GRACE,
                    show=lambda: self._show(process, Lane.FAST),
                )
            except DBAPIError:
                self.schedule.note("its job failed: SQL is away")

    def _show(self, process: Process, lane: Lane) -> None:
        """As `SignOfLife`, in virtual time."""
        if self.schedule.now - self.shown_at.get(process.name, -10.0) >= 1.0:
            show_worker(self.database, lane, self.wall_clock(process)())
            self.shown_at[process.name] = self.schedule.now

    def _run_foreign(self, _process: Process) -> None:
        """Another program's worker, in whose serializer our jobs are not written: it takes them away."""
        while True:
            self.queues.take_wake_job()
            self.schedule.step("takes a job that it cannot run", 0.002)

    def _run_slow(self, process: Process) -> None:
        """Its jobs run in processes of their own: one that dies takes no other with it."""
        while True:
            merchant_transaction_id = self.queues.take_slow_job()
            self._fork(process, merchant_transaction_id)

    def _fork(self, process: Process, merchant_transaction_id: str) -> None:
        schedule, parent = self.schedule, self.schedule.current
        name = f"{process.name}.job{next(self.starts)}"
        job = schedule.spawn(
            name,
            lambda: self._run_job(process, merchant_transaction_id),
            role=f"{process.name} job",
            delay=parent.rng.uniform(0.01, 0.04) * parent.pace,
        )
        job.pace = parent.pace
        job.on_end = lambda: schedule.wake(parent, 0.002)
        while not job.is_dead:
            schedule.sleep(3600.0)

    def _run_job(self, process: Process, merchant_transaction_id: str) -> None:
        try:
            self._show(process, Lane.SLOW)
            self.reconciler(process).reconcile_one(merchant_transaction_id)
        except DBAPIError:
            self.schedule.note("its job failed: SQL is away")

    def _run_clock(self, process: Process) -> None:
        clock = self.wall_clock(process)
        services: Any = SimpleNamespace(
            database=self.database,
            queues=self.queues,
            clock=clock,
            settings=self.settings,
        )
        own_work = _OwnWork(self, services, process)
        swept_at = -_LONGEST_GAP
        step = self.clock_steps.get(process.name, 0.0)
        while True:
            # A sweep that finds nothing does nothing: most of those are left out, for they cost the most time.
            was_set, step = step != self.clock_steps.get(process.name, 0.0), self.clock_steps.get(process.name, 0.0)
            if was_set or self.schedule.now - swept_at >= _LONGEST_GAP or self.database.has_work(clock()):
                swept_at = self.schedule.now
                uptime = timedelta(days=1, seconds=self.schedule.now)
                try:
                    follow_clock(self.database, f"host of {process.name}", clock(), uptime)
                    run_once(services, own_work)  # type: ignore[arg-type]  # what it needs of one
                except DBAPIError:
                    self.schedule.note("the clock waits for SQL")
            self.schedule.sleep(max(INTERVAL, self.idle_until - self.schedule.now))


class _OwnWork:
    """What `workers.own_work.OwnWork` is to the clock, its thread an actor."""

    def __init__(self, machinery: Machinery, services: Any, process: Process) -> None:
        self._machinery, self._services, self._process = machinery, services, process
        self._leader = machinery.schedule.current
        self._thread: Actor | None = None

    def begin(self, lanes: Collection[Lane], *, stands_in: bool) -> None:  # noqa: ARG002 - it always does here
        if self._thread is not None and not self._thread.is_dead:
            return
        name = f"{self._leader.name}.own{next(self._machinery.starts)}"
        self._thread = self._machinery.schedule.spawn(
            name, lambda: self._run(lanes), role=self._process.name, leader=self._leader
        )

    def _run(self, lanes: Collection[Lane]) -> None:
        machinery = self._machinery
        try:
            reconciler = machinery.reconciler(self._process)
            for lane in work_by_itself(self._services, reconciler, lanes, threading.Event()):
                note_standing_in(machinery.database, lane, self._services.clock())
        except DBAPIError:
            machinery.schedule.note("the clock waits for SQL")


def _to_event(webhook: Webhook) -> ReportedEvent:
    updated_at = None if webhook.updated_at is None else moment(webhook.updated_at)
    return ReportedEvent(
        merchant_transaction_id=webhook.id,
        status=webhook.status,
        updated_at=updated_at,
        updated_at_key=updated_at.isoformat() if updated_at else "",
        type="buy",
        currency="USDT",
        network="TRC20",
        crypto_amount=None,
        fiat_currency="EUR",
        fiat_amount=Decimal(webhook.fiat_amount),
        created_at=None,
        warnings=(),
        body=f'{{"fiat_amount": "{webhook.fiat_amount}"}}'.encode(),
        channel=Channel.WEBSOCKET if webhook.is_update else Channel.WEBHOOK,
    )
