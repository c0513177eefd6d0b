"""Mixed: webhooks at a steady rate, while all else is at work: reconciling, exporting and reading."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench
from benchmarks.load.load import post_steadily
from benchmarks.seed import transaction_id
from benchmarks.servers.contender import Target, confirm_one
from benchmarks.servers.service import RAISED_LIMITS
from benchmarks.servers.site import Site, open_site
from benchmarks.taking_in import check_stored, stored_by_now

_RATE = 500.0
#: Clients that read beside, each as fast as it is answered; one more exports.
_READERS = 2
#: Milliseconds, at most: of p99, and of the slowest.
_MOST_P99 = 100.0
_MOST = 1000.0


def measure(bench: Bench) -> None:
    """PostgreSQL, two web processes, beside a history."""
    if "postgresql" not in bench.engines:
        return
    size, seconds = bench.scale.read_history, bench.scale.mixed_seconds
    with ExitStack() as stack:
        proof = stack.enter_context(bench.proof())
        limits = {**RAISED_LIMITS, "WEB_WORKERS": "2"}
        site = stack.enter_context(open_site(bench, "postgresql", size, PROOF_API_URL=proof, **limits))
        service = site.service
        service.start_workers()
        confirm_one(bench, service)
        target = Target(service.webhook_url, service.database_url, service.pids, [])
        stored, confirmed = stored_by_now(target), service.confirmed()
        export = stack.enter_context(_Repeated(partial(_export, site)))
        reads = [stack.enter_context(_Repeated(partial(_read, site, _paths(size)))) for _ in range(_READERS)]
        load = post_steadily(service.webhook_url, bench.new_run(), _RATE, seconds)
        done = sum(one.count for one in reads) / load.seconds, export.count, service.confirmed() - confirmed
        check_stored(target, stored, load)
    row: list[str | float] = [f"{_RATE:,.0f}/s", load.rate, load.p50, load.p95, load.p99, load.most]
    row += [load.refused, load.broken, done[2] / load.seconds, done[0], done[1]]
    columns = ("webhooks", "taken in/s", "p50 ms", "p95", "p99", "most", "refused", "broken")
    title = f"Mixed, PostgreSQL, 2 web processes, {size:,} transactions stored"
    bench.report.table(title, (*columns, "confirmed/s", "reads/s", "exports"), [row])
    what = f"mixed, {_RATE:,.0f}/s while reconciling, exporting and reading"
    bench.report.require(f"{what}: webhooks not answered with 2xx", load.refused + load.broken, most=0)
    bench.report.require(f"{what}: p99 in ms", load.p99, most=_MOST_P99)
    bench.report.require(f"{what}: the slowest in ms", load.most, most=_MOST)


class _Repeated:
    """Does the same again and again, on a thread of its own, until the end of the block."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: Exception | None = None
        self.count = 0

    def __enter__(self) -> _Repeated:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise RuntimeError("what goes on beside the webhooks failed") from self._error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._work()
                self.count += 1
        except Exception as error:  # noqa: BLE001 - raised again by the one who waits
            self._error = error


def _export(site: Site) -> None:
    for _ in site.stream("/api/v1/transactions/export?format=csv"):
        pass


def _read(site: Site, paths: Iterator[str]) -> None:
    site.get(next(paths))


def _paths(size: int) -> Iterator[str]:
    """One transaction, a list, a page, and so on."""
    number = 0
    while True:
        number = number * 31 % size + 1
        yield f"/api/v1/transactions/{transaction_id(number)}"
        yield "/api/v1/transactions?limit=50"
        yield "/transactions"
