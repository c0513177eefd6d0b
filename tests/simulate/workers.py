"""Workers of either lane, and another program's."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from tests.simulate.machinery import Machinery
from tests.simulate.plan import Process
from webhook_app.usecases.reconcile.standing_in import show_worker
from webhook_app.usecases.reconcile.work_classes import Lane

#: As `workers.jobs` has them.
_LONGEST_RUN, _GRACE = 30.0, 5.0


def run_fast(machinery: Machinery, process: Process) -> None:
    """The fast lane's: a job at a time, in its own process."""
    reconciler = machinery.reconciler(process)
    while True:
        machinery.queues.take_wake_job()
        machinery.schedule.step("takes a job", 0.002)
        machinery.queues.acknowledge_wake()
        try:
            reconciler.reconcile_due(
                threads=machinery.plan.concurrency,
                max_seconds=_LONGEST_RUN,
                stopping=lambda: False,
                grace=_GRACE,
                show=lambda: _show(machinery, process, Lane.FAST),
            )
        except DBAPIError:
            machinery.schedule.note("its job failed: SQL is away")


def _show(machinery: Machinery, process: Process, lane: Lane) -> None:
    """As `SignOfLife`, in virtual time."""
    if machinery.schedule.now - machinery.shown_at.get(process.name, -10.0) >= 1.0:
        show_worker(machinery.database, lane, machinery.wall_clock(process)())
        machinery.shown_at[process.name] = machinery.schedule.now


def run_foreign(machinery: Machinery, _process: Process) -> None:
    """Another program's worker, in whose serializer our jobs are not written: it takes them away."""
    while True:
        machinery.queues.take_wake_job()
        machinery.schedule.step("takes a job that it cannot run", 0.002)


def run_slow(machinery: Machinery, process: Process) -> None:
    """Its jobs run in processes of their own: one that dies takes no other with it."""
    while True:
        merchant_transaction_id = machinery.queues.take_slow_job()
        _fork(machinery, process, merchant_transaction_id)


def _fork(machinery: Machinery, process: Process, merchant_transaction_id: str) -> None:
    schedule, parent = machinery.schedule, machinery.schedule.current
    name = f"{process.name}.job{next(machinery.starts)}"
    job = schedule.spawn(
        name,
        lambda: _run_job(machinery, process, merchant_transaction_id),
        role=f"{process.name} job",
        delay=parent.rng.uniform(0.01, 0.04) * parent.pace,
    )
    job.pace = parent.pace
    job.on_end = lambda: schedule.wake(parent, 0.002)
    while not job.is_dead:
        schedule.sleep(3600.0)


def _run_job(machinery: Machinery, process: Process, merchant_transaction_id: str) -> None:
    try:
        _show(machinery, process, Lane.SLOW)
        machinery.reconciler(process).reconcile_one(merchant_transaction_id)
    except DBAPIError:
        machinery.schedule.note("its job failed: SQL is away")
