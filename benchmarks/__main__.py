"""`python -m benchmarks`: seeds, measures, prints tables. `--small` only shows that it works."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.exporting import measure_exports
from benchmarks.reading import measure_reading, measure_scans
from benchmarks.servers import ENGINES, open_sites

#: How many times as long an answer may take of the long history.
MOST_RATIO = 1.5
#: Bytes by which an export may make the web process grow.
MOST_GROWTH = 64 * 1024 * 1024


def main() -> int:
    arguments = _read_arguments()
    failures = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as folder,
        open_sites(Path(folder), arguments.engines, (arguments.short, arguments.long)) as sites,
    ):
        for engine in arguments.engines:
            short, long = (site for site in sites if site.engine == engine)
            print(f"\n{engine}: median milliseconds over HTTP, {arguments.short:,} and {arguments.long:,} transactions")
            for reading in measure_reading(short, long, arguments.repeats):
                print(f"  {reading.what:45} {reading.short:8.1f} {reading.long:8.1f}   {reading.ratio:5.2f} times")
                if reading.ratio > MOST_RATIO:
                    failures.append(f"{engine}, {reading.what}: {reading.ratio:.2f} times")
            print(f"\n{engine}: seconds for what looks at all {arguments.long:,}")
            for what, seconds in measure_scans(long):
                print(f"  {what:65} {seconds:6.2f}")
            print(f"\n{engine}: exports of {arguments.long:,} transactions")
            for export in measure_exports(long):
                print(
                    f"  {export.format:8} {export.megabytes:8.0f} MB {export.seconds:7.1f} s "
                    f"{export.rows / export.seconds:9,.0f} rows/s   memory grows by {export.growth / 2**20:5.1f} MB"
                )
                if export.growth > MOST_GROWTH:
                    failures.append(f"{engine}, {export.format}: grows by {export.growth / 2**20:.0f} MB")
    for failure in failures:
        print(f"Beyond what is promised: {failure}", file=sys.stderr)
    return 1 if failures and not arguments.small else 0


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", type=int, default=10_000, help="transactions of the short history")
    parser.add_argument("--long", type=int, default=1_000_000, help="transactions of the long history")
    parser.add_argument("--repeats", type=int, default=41)
    parser.add_argument("--engine", choices=ENGINES, action="append", dest="engines")
    parser.add_argument("--folder", help="where the databases are for the while; about 4 GB")
    parser.add_argument("--small", action="store_true", help="a thousandth of it all, which promises nothing")
    arguments = parser.parse_args()
    arguments.engines = tuple(arguments.engines or ENGINES)
    if arguments.small:
        arguments.short, arguments.long, arguments.repeats = 2_000, 4_000, 3
    return arguments


if __name__ == "__main__":
    sys.exit(main())
