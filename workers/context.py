"""What the jobs of one process share: opened at the first job, and anew in a forked one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from webhook_app.config import load_settings
from webhook_app.services import Services, open_reconciler, open_services
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


@lru_cache(maxsize=1)
def _open_context(_pid: int) -> WorkerContext:
    settings = load_settings(os.environ)
    services = open_services(settings, pool_size=2)
    threads = settings.limits.concurrency
    signs = {lane: SignOfLife(services.database, lane) for lane in Lane}
    return WorkerContext(services, open_reconciler(services, threads=threads), threads, signs)
