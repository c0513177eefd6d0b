"""The processes: each an actor that calls the real use cases as its real counterpart does, and is started again when it
has died."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from tests.simulate.plan import Plan, Process, Webhook
from tests.simulate.proof import VirtualProof, moment
from tests.simulate.redis import VirtualQueues
from tests.simulate.schedule import Actor, Schedule
from tests.simulate.store import SimulatedDatabase
from tests.support.uncounted import Uncounted
from webhook_app.config import Settings, load_settings
from webhook_app.usecases.receive.ingest import ReportedEvent, RequestOrigin, ingest_events
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.decisions import Policy
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import INTERVAL, run_once

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
    """A webhook that was answered with 2xx."""

    webhook: Webhook
    event_id: int
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
    arrived: list[Webhook] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    clock_steps: dict[str, float] = field(default_factory=dict)
    """By process, how far its host's wall clock has been set since the beginning."""
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

    def _run_web(self, process: Process) -> None:
        """The thread that writes: it commits together what waits."""
        clock = self.wall_clock(process)
        while True:
            while not self.arrived:
                self.idle_webs.append(self.schedule.current)
                self.schedule.sleep(3600.0)
            batch, self.arrived = self.arrived[:_BATCH], self.arrived[_BATCH:]
            now = clock()
            arrivals = [
                (_to_event(webhook), RequestOrigin(now, "192.0.2.1", {}, is_vouched=not webhook.is_forged))
                for webhook in batch
            ]
            answers = ingest_events(self.database, arrivals)
            for webhook, answer in zip(batch, answers, strict=True):
                self.accepted.append(Accepted(webhook, answer.event_id, self.schedule.now, answer.duplicate))
            self.queues.wake()

    def _run_fast(self, process: Process) -> None:
        reconciler = self.reconciler(process)
        while True:
            self.queues.take_wake_job()
            self.schedule.step("takes a job", 0.002)
            self.queues.acknowledge_wake()
            reconciler.reconcile_due(
                threads=self.plan.concurrency, max_seconds=_LONGEST_RUN, stopping=lambda: False, grace=_GRACE
            )

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
        self.reconciler(process).reconcile_one(merchant_transaction_id)

    def _run_clock(self, process: Process) -> None:
        clock = self.wall_clock(process)
        services: Any = SimpleNamespace(
            database=self.database,
            queues=self.queues,
            clock=clock,
            settings=self.settings,
        )
        swept_at = -_LONGEST_GAP
        while True:
            # A sweep that finds nothing does nothing: most of those are left out, for they cost the most time.
            if self.schedule.now - swept_at >= _LONGEST_GAP or self.database.has_work(clock()):
                swept_at = self.schedule.now
                uptime = timedelta(days=1, seconds=self.schedule.now)
                follow_clock(self.database, f"host of {process.name}", clock(), uptime)
                run_once(services)
            self.schedule.sleep(max(INTERVAL, self.idle_until - self.schedule.now))


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
    )
