"""The RQ jobs. Each calls one use case and translates its outcome; each is safe to run twice."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rq import get_current_job

from webhook_app.adapters.rq_jobs import SHOWS_FAILED
from webhook_app.logs import get_logger
from webhook_app.tracing import span
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.reconcile.work_classes import Lane
from webhook_app.usecases.redeliver.replay import replay_from_rq
from workers.context import flush_context, worker_context

log = get_logger()

#: Who requeues through RQ itself, and not on the dashboard behind our log-in, is not known to us.
_SOMEBODY = Actor("somebody with access to Redis", "rq")

#: Seconds after which a job that still finds work ends and lets the worker look round.
_LONGEST_RUN = 30.0
#: Seconds that calls under way get when the worker is told to stop.
_GRACE = 5.0


def reconcile_due() -> int:
    """Fast lane: reconciles everything that is due. Returns how many answers were applied."""
    context = worker_context()
    context.services.queues.acknowledge_wake()
    sign, clock = context.signs[Lane.FAST], context.services.clock
    with span("job reconcile_due"), _stop_signal() as stopping:
        return context.reconciler.reconcile_due(
            threads=context.threads,
            max_seconds=_LONGEST_RUN,
            stopping=stopping,
            grace=_GRACE,
            wake=context.services.waker.wake,
            show=lambda: sign.show(clock()),
        )


def reconcile_one(merchant_transaction_id: str) -> str:
    """Slow lane: one attempt at one transaction. A job that showed a failed one was requeued by a person: a replay.

    Returns the result in words.
    """
    context = worker_context()
    context.signs[Lane.SLOW].show(context.services.clock())
    job = get_current_job()
    if job is not None and job.meta.get(SHOWS_FAILED):
        replayed = replay_from_rq(
            context.services.database,
            merchant_transaction_id,
            _SOMEBODY,
            "requeued through RQ itself",
            context.services.clock(),
        )
        log.info("replayed through RQ", id=merchant_transaction_id, replay_id=replayed)
    with span("job reconcile_one"):
        applied = context.reconciler.reconcile_one(merchant_transaction_id)
    flush_context()  # this process is a fork, and ends with its job
    if applied is None:
        return "nothing to do: not due, in another worker's hands, or all calls are paused"
    return applied.decision


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Notices the signal by which RQ ends a worker after its present job, so that the job can end early.

    RQ's own handler still runs; it is put back unless it has put another in its place.
    """
    stopped = False
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield lambda: stopped
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)
