"""One simulation from a plan: it is set up, runs, comes to its end, and is judged."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from tests.simulate import channels, liveness
from tests.simulate.following import judge_channels
from tests.simulate.history import has_ended, read_history
from tests.simulate.machinery import Machinery
from tests.simulate.plan import Absence, Happening, Misfortune, Payment, Plan, Process, Rows, Spell, Webhook, Word
from tests.simulate.processes import ROLES
from tests.simulate.proof import VirtualProof, moment
from tests.simulate.redis import VirtualQueues
from tests.simulate.rows import insert_rows
from tests.simulate.safety import Unsafe, Watch
from tests.simulate.schedule import Actor, Schedule, TooLong
from tests.simulate.store import SimulatedDatabase
from tests.simulate.threads import virtual_threads
from webhook_app.usecases.audit import Actor as Person
from webhook_app.usecases.reconcile.probe_now import probe_now
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.replay import Selection, order_replay
from webhook_app.usecases.refusals import Conflict
from workers.clock import INTERVAL

#: Seconds between two healthy payments that come at the end, while what is left is refused and so all calls are paused.
_COMPANY_GAP = 120.0
#: Virtual seconds that may pass until everything has ended, after all is well: backoff to its end, and late looks.
PATIENCE = 1.5 * 3600.0
_ADA = Person("ada", "page")


@dataclass
class Outcome:
    """What one run has shown. `problem` is None where all held."""

    plan: Plan
    problem: str | None
    steps: int
    virtual_seconds: float
    digest: str
    """Of the trace: two runs of one plan have the same."""
    trace: list[tuple[float, str, str]]
    figures: liveness.Figures = field(default_factory=liveness.Figures)


def run(
    plan: Plan, database: SimulatedDatabase, make_empty: Callable[[], None], most_steps: int = 3_000_000
) -> Outcome:
    """Runs the plan on the emptied database."""
    database.schedule = None
    make_empty()
    simulation = _Simulation(plan, database)
    simulation.schedule.most_steps = most_steps
    try:
        problem = simulation.live()
    finally:
        simulation.end()
    schedule = simulation.schedule
    trace = list(schedule.trace)
    digest = hashlib.sha256(repr(trace).encode()).hexdigest()[:16]
    figures = liveness.measure(read_history(simulation.machinery, simulation.watch))
    return Outcome(plan, problem, schedule.steps, schedule.now, digest, trace, figures)


class _Simulation:
    def __init__(self, plan: Plan, database: SimulatedDatabase) -> None:
        self.plan, self.database = plan, database
        troubles = [item.trouble for item in plan.of(Misfortune)]
        self.schedule = schedule = Schedule(plan.seed, troubles)
        payments, spells = plan.of(Payment), plan.of(Spell)
        self.proof = VirtualProof(schedule, payments, spells)
        self.watch = Watch(plan, schedule, self.proof)
        queues = VirtualQueues(schedule)
        database.absences = plan.of(Absence)
        self.folder = tempfile.TemporaryDirectory(prefix="sim-run-", dir=database.folder)
        self.machinery = Machinery(plan, schedule, database, self.proof, queues, Path(self.folder.name), ROLES)
        schedule.on_death = self._on_death
        schedule.on_freeze = lambda actor, seconds: self.watch.note_loss(actor.role, seconds)
        for rows in plan.of(Rows):
            insert_rows(database, rows, self.proof)
        database.drain_log()
        for process in plan.of(Process):
            self.machinery.start(process, process.begins)
        for item in plan.items:
            if isinstance(item, Webhook):
                schedule.call_at(item.at, lambda webhook=item: self.machinery.arrive(webhook))
            elif isinstance(item, Word):
                schedule.call_at(item.at, lambda word=item: self._hear(word))
            elif isinstance(item, Happening):
                schedule.call_at(item.at, lambda happening=item: self._happen(happening))
        if plan.is_silenced:
            schedule.spawn("lookout", lambda: channels.look_out(self.machinery), role="lookout")
        database.schedule = schedule
        database.on_commit = self._on_commit
        self._company_at = 0.0
        self._largest_skew = max((process.skew for process in plan.of(Process)), default=0.0) + sum(
            happening.seconds for happening in plan.of(Happening)
        )

    def live(self) -> str | None:
        """Runs to the end; what was wrong, in words."""
        plan, schedule = self.plan, self.schedule
        with virtual_threads(schedule):
            try:
                schedule.run_until(plan.lasts)
                if plan.ends_all:
                    self._run_until_ended()
            except Unsafe as problem:
                return f"unsafe: {problem}"
            except TooLong as problem:
                return str(problem)
        self.machinery.find_spooled()
        history = read_history(self.machinery, self.watch)
        return liveness.judge(history) or judge_channels(history)

    def _run_until_ended(self) -> None:
        """Time passes until nothing is open, or patience ends. While nothing is due the clocks sleep."""
        schedule = self.schedule
        arrivals = [item.at for item in self.plan.items if isinstance(item, Webhook | Word | Happening)]
        schedule.run_until(max(arrivals, default=0.0) + 2 * INTERVAL)  # the clocks follow one that was set
        while not self._has_ended() and schedule.now < self.plan.lasts + PATIENCE:
            is_sent = self._send_company()
            planned = None if is_sent else liveness.next_plan(self.database, schedule.now + self.machinery.clock_step)
            idle_until = 0.0 if planned is None else planned - self._largest_skew - 2.0
            self.machinery.idle_until = idle_until
            schedule.run_until(max(idle_until, schedule.now) + 5.0)

    def _send_company(self) -> bool:
        """While all calls are paused, a healthy payment comes now and then. Where all that is left is refused, only the
        answer to another can tell that this is their own fault. Returns whether one is about to come."""
        now = self.schedule.now
        if now < self._company_at or self.database.gate_closed_until(moment(now)) is None:
            return False
        self._company_at = now + _COMPANY_GAP
        id = f"company-{now:.0f}"
        self.proof.payments[id] = Payment(id, ((now, "completed", round(now, 3)),))
        webhook = Webhook(now + 0.1, id, "completed", round(now, 3))
        self.schedule.call_at(webhook.at, lambda: self.machinery.arrive(webhook))
        return True

    def _has_ended(self) -> bool:
        self.machinery.find_spooled()
        is_stored = all(accepted.event_id is not None for accepted in self.machinery.accepted)
        if not is_stored or not has_ended(self.database):
            return False
        return not liveness.find_untrue(read_history(self.machinery, self.watch))

    def end(self) -> None:
        self.schedule.close()
        self.database.schedule = None
        self.database.on_commit = lambda: None
        self.database.absences = ()
        self.folder.cleanup()

    def _on_commit(self) -> None:
        self.watch.look(self.database.drain_log())

    def _on_death(self, actor: Actor) -> None:
        self.watch.note_loss(actor.role, None)
        self.machinery.restart_dead(actor)

    def _happen(self, happening: Happening) -> None:
        schedule = self.schedule
        schedule.note(happening.describe())
        if happening.what == "redis is flushed":
            self.machinery.queues.flush()
        elif happening.what == "clock is set":
            self.machinery.clock_step += happening.seconds
        elif happening.what == "replay of all that failed":
            schedule.spawn(f"admin-{happening.at}", self._replay, role="admin")
        elif happening.what == "probe now":
            schedule.spawn(f"admin-{happening.at}", self._probe, role="admin")
        else:
            raise ValueError(happening.what)

    def _hear(self, word: Word) -> None:
        self.schedule.note(word.describe())
        self.schedule.spawn(
            f"partner-{next(self.machinery.starts)}", lambda: channels.say(self.machinery, word), role="partner"
        )

    def _probe(self) -> None:
        try:
            probe_now(self.database, _ADA, "Proof says that it is back", self.machinery.wall_clock(Process("admin"))())
        except (Conflict, DBAPIError) as refused:
            self.schedule.note(f"nothing is probed: {refused}")
        else:
            self.watch.probed_at.append(self.schedule.now)

    def _replay(self) -> None:
        wanted = Selection(wanted=DeliveryFilter(state="failed"))
        admin = Process("admin")
        try:
            order_replay(self.database, wanted, _ADA, "a drill", self.machinery.wall_clock(admin)(), per_second=50.0)
        except DBAPIError:
            self.schedule.note("nothing is replayed: SQL is away")
