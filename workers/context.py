"""What the jobs of one process share: opened at the first job, and anew in a forked one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy.exc import SQLAlchemyError

from webhook_app.config import load_settings
from webhook_app.error_reports import flush_error_reports
from webhook_app.services import Services, open_reconciler, open_services
from webhook_app.tracing import flush_traces
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.standing_in import SignOfLife
from webhook_app.usecases.reconcile.work_classes import Lane


@dataclass(frozen=True)
class WorkerContext:
    services: Services
    reconciler: Reconciler
    threads: int
    signs: Mapping[Lane, SignOfLife]


def worker_context() -> WorkerContext:
    """The context of this very process: a connection must not be shared with the process it was forked from."""
    return _open_context(os.getpid())


def flush_context() -> None:
    """At the end of a process, or of a forked one: errors that are not sent yet, and what was counted and is not in SQL
    yet. Where SQL is away the counts are lost."""
    flush_error_reports()
    flush_traces()
    if _open_context.cache_info().currsize:
        with suppress(SQLAlchemyError):
            worker_context().services.totals.flush()


@lru_cache(maxsize=1)
def _open_context(_pid: int) -> WorkerContext:
    settings = load_settings(os.environ)
    services = open_services(settings, pool_size=6)  # who opens, claims, applies, gives back, and who counts
    threads = settings.limits.concurrency
    signs = {lane: SignOfLife(services.database, lane) for lane in Lane}
    return WorkerContext(services, open_reconciler(services, threads=threads), threads, signs)
