"""What is not in SQL, looked at: the spool, the disk, Redis and its workers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from redis.exceptions import RedisError

from webhook_app.adapters.foreign_jobs import count_refused
from webhook_app.adapters.queueing import Queues
from webhook_app.adapters.redis_keys import OURS
from webhook_app.adapters.rq_jobs import FAST_QUEUE, SLOW_QUEUE
from webhook_app.adapters.rq_workers import list_workers
from webhook_app.adapters.spool import Spool
from webhook_app.domain.causes import name_cause
from webhook_app.usecases.incidents.finding import Surroundings

#: Queues and the names of their lanes.
_LANES = {FAST_QUEUE: "fast", SLOW_QUEUE: "slow"}
#: A job that was refused is seen for so long; what comes within it is the same incident.
_FOREIGN_WITHIN = timedelta(minutes=10)
#: Without a spool, some room is still needed, for logs and the database.
_LEAST_ROOM = 16 * 1024 * 1024

#: Bytes with which no database goes on.
_NOTHING = 1024 * 1024


class SurroundingsObserver:
    """Remembers which workers were there, so that one that goes is noticed."""

    def __init__(self, queues: Queues, spool: Spool, data_dir: Path, spool_max_bytes: int) -> None:
        self._queues = queues
        self._spool = spool
        self._data_dir = data_dir
        self._spool_max_bytes = spool_max_bytes
        self._workers: frozenset[str] = frozenset()

    def observe(self) -> Surroundings:
        depth = self._spool.depth()
        error, workers, gone, foreign = None, None, frozenset[str](), 0
        try:
            self._queues.redis.set(f"{OURS}lookout", "1", ex=60)  # a full or read-only one answers a ping
            by_queue = list_workers(self._queues)
            workers = {lane: len(by_queue[queue]) for queue, lane in _LANES.items()}
            foreign = count_refused(self._queues.redis, _FOREIGN_WITHIN)
            gone = self._note(by_queue)
        except RedisError as problem:
            error = name_cause(problem)
            self._workers = frozenset()  # who is gone when it is back went with it
        return Surroundings(
            depth=depth,
            spool_fault=self._spool.find_fault(),
            free_bytes=self._free_bytes(),
            needed_bytes=max(self._spool_max_bytes - depth.size, _LEAST_ROOM),
            redis_error=error,
            workers=workers,
            gone_workers=sorted(gone),
            foreign_jobs=foreign,
        )

    def is_disk_full(self) -> bool:
        """Whether nothing more can be written to the data folder's disk."""
        free = self._free_bytes()
        return free is not None and free < _NOTHING

    def _note(self, by_queue: Mapping[str, frozenset[str]]) -> frozenset[str]:
        present = frozenset[str]().union(*by_queue.values())
        gone, self._workers = self._workers - present, present
        return gone

    def _free_bytes(self) -> int | None:
        try:
            return shutil.disk_usage(self._data_dir).free
        except OSError:
            return None
