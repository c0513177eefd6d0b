"""`python -m tests.silence`: measures without silent connections, then beside each kind; prints a table.

Fails where a webhook is lost, refused or later than its budget, where p99 grows by more than 50 ms, where `/healthz`
takes 100 ms, or where a silent connection outlives its deadline.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from tests.silence.callers import Heard, call
from tests.silence.kinds import KINDS
from tests.support.servers import PostgresServer, RedisServer
from tests.support.web_process import WebProcess, web_process
from webhook_app.db.database import Database
from webhook_app.db.migrate import upgrade
from webhook_app.models import Event

BUDGET = 2.0
DEADLINE = 5.0
MOST_GROWTH = 0.05
MOST_HEALTH = 0.1
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    workers: int
    kind: str
    heard: Heard
    lost: int
    ended: dict[str, float]

    @property
    def p99(self) -> float:
        return quantile(self.heard.webhooks, 0.99)

    def faults(self, base: Row) -> Iterator[str]:
        if self.lost:
            yield f"{self.lost} accepted webhooks are not in SQL"
        if self.heard.failed:
            yield f"{len(self.heard.failed)} webhooks were not taken: {', '.join(sorted(set(self.heard.failed)))}"
        if max(self.heard.webhooks) > BUDGET:
            yield f"a webhook took {max(self.heard.webhooks):.2f} s"
        if self.p99 > base.p99 + MOST_GROWTH:
            yield f"p99 grows from {base.p99 * 1000:.0f} to {self.p99 * 1000:.0f} ms"
        if self.heard.unwell or max(self.heard.health) >= MOST_HEALTH:
            yield f"/healthz took {max(self.heard.health) * 1000:.0f} ms, and failed {self.heard.unwell} times"
        if self.ended.get("late"):
            yield f"{self.ended['late']:.0f} silent connections outlived their deadline"

    def __str__(self) -> str:
        numbers = [quantile(self.heard.webhooks, 0.5), self.p99, max(self.heard.webhooks), max(self.heard.health)]
        times = " | ".join(f"{1000 * number:6.0f}" for number in numbers)
        opened, longest = self.ended.get("opened", 0), self.ended.get("longest", 0.0)
        counts = f"{len(self.heard.webhooks):6} | {self.lost + len(self.heard.failed):4}"
        return f"| {self.workers:7} | {self.kind:20} | {opened:6.0f} | {longest:7.1f} | {counts} | {times} |"


HEADINGS = (
    "| workers | silent connections   | opened | longest | called | lost |    p50 |    p99 |    max | health |\n"
    "|--------:|----------------------|-------:|--------:|-------:|-----:|-------:|-------:|-------:|-------:|"
)


def quantile(numbers: Sequence[float], part: float) -> float:
    return sorted(numbers)[min(len(numbers) - 1, int(len(numbers) * part))]


def main() -> int:
    arguments = read_arguments()
    faults = []
    print(HEADINGS, flush=True)
    with tempfile.TemporaryDirectory(prefix="silence-") as folder:
        for workers in arguments.workers:
            place = Path(folder) / str(workers)
            place.mkdir()
            with serving(place, arguments.engine, workers) as (web, database_url):
                base = measure(web, database_url, workers, "", arguments)
                print(base, flush=True)
                for kind in arguments.kinds:
                    row = measure(web, database_url, workers, kind, arguments)
                    print(row, flush=True)
                    faults += [f"{workers} workers, {kind}: {fault}" for fault in row.faults(base)]
    for fault in faults:
        print(f"Beyond what is promised: {fault}", file=sys.stderr)
    return 1 if faults else 0


def measure(web: WebProcess, database_url: str, workers: int, kind: str, arguments: argparse.Namespace) -> Row:
    """With no `kind`, without silent connections."""
    if not kind:
        heard, ended = asyncio.run(call(web.port, arguments.rate, arguments.seconds)), {}
    else:
        # They go on beyond the last webhook.
        numbers = [str(number) for number in (arguments.connections, arguments.seconds + 1, DEADLINE)]
        command = [sys.executable, "-m", "tests.silence.hold", str(web.port), kind, *numbers]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as holding:
            assert holding.stdout is not None
            assert holding.stdout.readline() == "ready\n"
            heard = asyncio.run(call(web.port, arguments.rate, arguments.seconds))
            ended = json.loads(holding.stdout.readline())
    database = Database(database_url)
    try:
        return Row(workers, kind or "none", heard, len(missing(database, heard)), ended)
    finally:
        database.close()


def missing(database: Database, heard: Heard) -> set[str]:
    """What was accepted and is not in SQL; the spool has some seconds to be drained."""
    lost = heard.accepted
    for _ in range(50):
        with database.read() as session:
            lost = heard.accepted - set(session.scalars(select(Event.merchant_transaction_id)))
        if not lost:
            break
        time.sleep(0.1)
    return lost


@contextmanager
def serving(folder: Path, engine: str, workers: int) -> Iterator[tuple[WebProcess, str]]:
    (folder / "redis").mkdir()
    redis = RedisServer(folder / "redis")
    postgres = PostgresServer(folder / "pg", survives_crashes=True) if engine == "postgresql" else None
    try:
        url = postgres.url(postgres.create_database()) if postgres else f"sqlite:///{folder / 'silence.sqlite3'}"
        upgrade(url)
        variables = {
            "DATABASE_URL": url,
            "REDIS_URL": redis.url,
            "WEB_WORKERS": str(workers),
            "TRUSTED_PROXY_HOPS": "1",
            "INGEST_BUDGET": str(BUDGET),
            "HTTP_HEADER_TIMEOUT": str(DEADLINE),
            "HTTP_BODY_TIMEOUT": str(DEADLINE),
            "LOG_LEVEL": "error",
        }
        with web_process(folder, variables) as web:
            yield web, url
    finally:
        redis.stop()
        if postgres:
            postgres.stop()


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.silence", description=__doc__)
    parser.add_argument("--connections", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=50, help="webhooks a second")
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engine", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
