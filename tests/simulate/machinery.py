"""The machinery: all processes of one simulation, each an actor that is started again when it has died, and what they
share."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from tests.simulate.plan import Plan, Process, Webhook
from tests.simulate.proof import VirtualProof, moment
from tests.simulate.redis import VirtualQueues
from tests.simulate.schedule import Actor, Schedule
from tests.simulate.store import SimulatedDatabase
from tests.support.uncounted import Uncounted
from webhook_app.adapters.spool import Spool
from webhook_app.config import Settings, load_settings
from webhook_app.models.event import Channel
from webhook_app.usecases.receive.ingest import ReportedEvent
from webhook_app.usecases.reconcile.decisions import Policy
from webhook_app.usecases.reconcile.reconciler import Reconciler

#: Seconds until a process that died runs again.
RESTART = 1.5


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
    roles: Mapping[str, Callable[[Machinery, Process], None]]
    """What each process does, by its role."""
    arrived: list[Webhook] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    clock_step: float = 0.0
    """Seconds by which the machine's clock was set: of all processes, and of whoever acts through one."""
    shown_at: dict[str, float] = field(default_factory=dict)
    """By worker process, when it has last shown that it lives."""
    idle_webs: list[Actor] = field(default_factory=list)
    idle_until: float = 0.0
    """Until then nothing is due, so the clocks need not look."""
    starts: itertools.count[int] = field(default_factory=itertools.count)
    running: dict[str, Actor] = field(default_factory=dict)

    def start(self, process: Process, delay: float = 0.0) -> None:
        """Starts it, and starts it again whenever it dies."""
        work = self.roles[process.role]
        name = f"{process.name}#{next(self.starts)}"
        actor = self.schedule.spawn(name, lambda: work(self, process), role=process.name, delay=delay)
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
            return moment(self.schedule.now + process.skew + self.clock_step)

        return now

    def reconciler(self, process: Process) -> Reconciler:
        settings = self.settings
        return Reconciler(
            database=self.database,
            proof=self.proof,  # type: ignore[arg-type]
            policy=Policy(settings.budget, settings.limits, settings.cadence),
            lease=settings.lease,
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
                event = to_event(accepted.webhook)
                found = self.database.query(
                    "SELECT id FROM events WHERE merchant_transaction_id = :id AND status = :status "
                    "AND updated_at_key = :key",
                    id=event.merchant_transaction_id, status=event.status, key=event.updated_at_key,
                )  # fmt: skip
                accepted.event_id = found[0][0] if found else None
                accepted.duplicate = accepted.event_id in known
                known.add(accepted.event_id)


def to_event(webhook: Webhook) -> ReportedEvent:
    """What the web process reads of it."""
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
