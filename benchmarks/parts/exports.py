"""Exports: how fast they stream, and by how much the web process grows meanwhile."""

from __future__ import annotations

import threading
import time

from benchmarks.bench import Bench
from benchmarks.servers.processes import resident_bytes
from benchmarks.servers.site import Site, open_site

FORMATS = ("csv", "ndjson", "xlsx")
#: Megabytes by which an export may make the web process grow.
MOST_GROWTH = 64


def measure(bench: Bench) -> None:
    """Everything that is stored, in each format, over HTTP."""
    size = bench.scale.stored
    for engine in bench.engines:
        rows: list[list[str | float]] = []
        with open_site(bench, engine, size) as site:
            site.get("/api/v1/transactions?limit=1")
            for name in FORMATS:
                began = time.perf_counter()
                with _Watch(site) as watch:
                    length = sum(len(chunk) for chunk in site.stream(f"/api/v1/transactions/export?format={name}"))
                seconds = time.perf_counter() - began
                rows.append([name, length / 2**20, seconds, size / seconds, watch.growth])
                what = f"{engine}: {name} export of {size:,}, MB by which the web process grows"
                bench.report.require(what, watch.growth, most=MOST_GROWTH)
        columns = ("format", "MB", "seconds", "rows/s", "grows by MB")
        bench.report.table(f"Exports of {size:,} transactions, {engine}", columns, rows)


class _Watch:
    """Looks at the web process's resident memory twenty times a second."""

    def __init__(self, site: Site) -> None:
        self._pids = site.service.web.pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._before = resident_bytes(self._pids)
        self._most = 0.0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def growth(self) -> float:
        """Megabytes: the most that was resident, less what was before."""
        return max(self._most - self._before, 0) / 2**20

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            self._most = max(self._most, resident_bytes(self._pids))
