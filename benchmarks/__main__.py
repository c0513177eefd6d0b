"""`python -m benchmarks`: measures, prints tables, and ends with 1 where something required is missed. `--only PART`
measures one part; `--small` only shows that everything works, and requires nothing."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.machine import describe_machine
from benchmarks.parts import (
    drain,
    exports,
    history,
    ingest,
    latency,
    memory,
    mixed,
    pages,
    reads,
    reconcile,
    steady,
    stored,
)
from benchmarks.profiling import PROFILES, profile
from benchmarks.report import Report, Void
from benchmarks.scale import FULL, SMALL
from benchmarks.servers.databases import ENGINES, Databases
from webhook_app.logs import configure_logging

PARTS: Mapping[str, Callable[[Bench], None]] = {
    "ingest": ingest.measure,
    "steady": steady.measure,
    "stored": stored.measure,
    "reconcile": reconcile.measure,
    "drain": drain.measure,
    "mixed": mixed.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "reads": reads.measure,
    "history": history.measure,
    "pages": pages.measure,
    "exports": exports.measure,
}


def main() -> int:
    arguments = _read_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):  # what was started is stopped then too
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    configure_logging("console", "error", "bench")
    report = Report()
    for line in describe_machine():
        report.say(line)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as a user of its own
        databases = Databases(folder, report.say, arguments.keep)
        scale = SMALL if arguments.small else FULL
        engines, only_pages = tuple(arguments.engines or ENGINES), frozenset(arguments.pages or pages.PAGES)
        bench = Bench(folder, scale, engines, report, databases, only_pages)
        try:
            if arguments.profile:
                profile(bench, arguments.profile)
            else:
                for part in arguments.parts or PARTS:
                    _measure(bench, part)
        finally:
            databases.stop()
    is_reached = report.conclude()
    return 0 if is_reached or (arguments.small and not report.broken) else 1


def _measure(bench: Bench, part: str) -> None:
    began = time.monotonic()
    try:
        PARTS[part](bench)
    except (Void, RuntimeError) as error:
        bench.report.fail(part, str(error))
    bench.report.say(f"\n{part}: {time.monotonic() - began:.0f} s")


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", dest="parts", help="this part; may be repeated")
    parser.add_argument("--profile", choices=PROFILES, help="no figures, but where our time goes under such a load")
    parser.add_argument("--small", action="store_true", help="so little that it promises nothing")
    parser.add_argument("--engine", choices=ENGINES, action="append", dest="engines", help="this one alone")
    parser.add_argument(
        "--page", choices=pages.PAGES, action="append", dest="pages", help="of the part pages this one alone"
    )
    parser.add_argument("--folder", help="where the databases are for the while; about 6 GB")
    parser.add_argument(
        "--keep", type=Path, help="histories are left in this folder and found there again; one run at a time"
    )
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
