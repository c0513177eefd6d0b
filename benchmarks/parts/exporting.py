"""Exports: how fast they stream, and by how much the web process grows meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.servers import Site

FORMATS = ("csv", "ndjson", "xlsx")


@dataclass(frozen=True)
class Export:
    format: str
    rows: int
    megabytes: float
    seconds: float
    growth: int
    """Bytes: the most that was resident while it streamed, less what was before."""


def measure_exports(site: Site) -> Iterator[Export]:
    """Everything, in each format, over HTTP."""
    site.get("/api/v1/transactions?limit=1")
    for name in FORMATS:
        before = site.resident_bytes()
        with _Watch(site) as watch:
            began = time.perf_counter()
            size = sum(len(chunk) for chunk in site.stream(f"/api/v1/transactions/export?format={name}"))
            seconds = time.perf_counter() - began
        yield Export(name, site.size, size / 2**20, seconds, watch.most - before)


class _Watch:
    """Looks at the resident memory twenty times a second."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            self.most = max(self.most, self._site.resident_bytes())
