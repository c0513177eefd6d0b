"""Reads: how many answers a second finance gets of one web process, beside a history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from benchmarks.bench import Bench
from benchmarks.figures import median
from benchmarks.load.load import Load, get_pages
from benchmarks.report import Void
from benchmarks.seed import transaction_id
from benchmarks.servers.processes import cpu_seconds
from benchmarks.servers.site import Site, open_site

_CONNECTIONS = 4
#: Answers a second, at least.
_LEAST = {"API: one transaction": 300.0, "API: a list of 50": 100.0, "page: a list of 50": 80.0}


def measure(bench: Bench) -> None:
    """Each kind of question in turn, on both engines; what is required is PostgreSQL's."""
    size = bench.scale.read_history
    for engine in bench.engines:
        loads: dict[str, list[Load]] = defaultdict(list)
        cpu: dict[str, list[float]] = defaultdict(list)
        with open_site(bench, engine, size) as site:
            web = site.service.web.pids
            for _ in range(bench.scale.rounds):
                for name, paths in questions(size).items():
                    site.get(paths[0])
                    before = cpu_seconds(web)
                    load = ask_for(site, paths, bench.scale.seconds)
                    loads[name].append(load)
                    cpu[name].append((cpu_seconds(web) - before) / load.accepted * 1000)
        rows: list[list[str | float]] = []
        for name, found in loads.items():
            rate, p50, p99 = ([one.rate for one in found], [one.p50 for one in found], [one.p99 for one in found])
            rows.append([name, median(rate), median(p50), median(p99), median(cpu[name])])
            if engine == "postgresql":
                bench.report.require(f"reads: {name}, answers a second", median(rate), least=_LEAST[name])
        title = f"Reads, {engine}, 1 web process, {_CONNECTIONS} connections, {size:,} transactions stored"
        bench.report.table(title, ("question", "answers/s", "p50 ms", "p99 ms", "CPU ms each"), rows)


def questions(size: int) -> Mapping[str, Sequence[str]]:
    """The paths of each kind of question to a history of this size."""
    ones = [f"/api/v1/transactions/{transaction_id(number * 31 % size + 1)}" for number in range(500)]
    return dict(zip(_LEAST, (ones, ["/api/v1/transactions?limit=50"], ["/transactions"]), strict=True))


def ask_for(site: Site, paths: Sequence[str], seconds: float) -> Load:
    """These in turn, as fast as they are answered. Raises Void where one is refused."""
    load = get_pages(site.service.url, paths, site.headers(paths[0]), _CONNECTIONS, seconds)
    if not load.accepted or load.refused:
        raise Void(f"{paths[0]}: {load.refused} of {load.sent} were refused")
    return load
