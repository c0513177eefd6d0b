"""Detectors, one a file: each says what is wrong now, in plain words. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from webhook_app.usecases.incidents.detectors import (
    channel_silent,
    disk_full,
    drift,
    failure_burst,
    foreign_job,
    invariant_broken,
    proof_paused,
    proof_slowed,
    redis_away,
    set_aside,
    spool_used,
    sql_refuses,
    web_silent,
    worker_died,
    worker_restarted,
    workers_missing,
)
from webhook_app.usecases.incidents.finding import Finding, Look

Detector = Callable[[Look], Iterator[Finding]]

#: What the clock looks for. That the clock itself is silent is found by web, and that SQL is away by whoever asks it.
DETECTORS: Sequence[Detector] = (
    proof_paused.find,
    proof_slowed.find,
    sql_refuses.find,
    redis_away.find,
    spool_used.find,
    set_aside.find,
    workers_missing.find,
    worker_died.find,
    worker_restarted.find,
    web_silent.find,
    disk_full.find,
    failure_burst.find,
    drift.find,
    channel_silent.find,
    foreign_job.find,
    invariant_broken.find,
)
