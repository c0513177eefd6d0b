"""`python -m tests.fuzz`: hostile requests from the corpus and by hypothesis, to a real web process on each engine.

`make fuzz FUZZ_ARGS="--requests 1000 --seed 3 --engine sqlite"`. Ends with status 1 where something was wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.corpus import Hostile, requests
from tests.fuzz.run import Findings, attack, check_kept, wait_for_spool
from tests.fuzz.strategies import hostile
from tests.support.servers import PostgresServer
from tests.support.web_process import WebProcess, web_process
from webhook_app.db.database import Database
from webhook_app.db.migrate import upgrade

#: Bytes by which the web processes may grow between the first tenth of the requests and the last.
MOST_GROWTH = 48 * 1024 * 1024
#: Seconds for one engine.
_LONGEST_RUN = 240.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--requests", type=int, default=10_000, help="on each engine; a fifth of them by hypothesis")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--engine", choices=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    click.echo(f"seed {arguments.seed}")
    is_good = True
    for engine in [arguments.engine] if arguments.engine else ["sqlite", "postgresql"]:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, _database(engine, Path(folder)) as url:
            started = time.monotonic()
            findings = fuzz(Path(folder), url, arguments.requests, arguments.seed)
            is_good &= _report(engine, findings, time.monotonic() - started)
    return 0 if is_good else 1


def fuzz(folder: Path, database_url: str, count: int, number: int) -> Findings:
    """`count` requests, chosen by the seed `number`; all findings of both sources."""
    variables = {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "LOG_LEVEL": "ERROR",
        # What never comes whole is waited for no longer than it must be.
        "HTTP_HEADER_TIMEOUT": "1",
        "HTTP_BODY_TIMEOUT": "1",
    }
    with web_process(folder, variables) as web, closing(Database(database_url, pool_size=1)) as database:
        findings = attack(web, requests(random.Random(number)), count - count // 5, _LONGEST_RUN)
        made = attack(web, _by_hypothesis(web, count // 5, number), count // 5, _LONGEST_RUN)
        findings.sent += made.sent
        findings.statuses += made.statuses
        findings.acknowledged |= made.acknowledged
        findings.spooled += made.spooled
        findings.wrong += made.wrong
        findings.memory_after = made.memory_after
        check_kept(database, wait_for_spool(web), findings)
        if findings.growth > MOST_GROWTH:
            findings.wrong.append(f"memory grew by {findings.growth / 2**20:.0f} MiB")
    return findings


def _by_hypothesis(_web: WebProcess, count: int, number: int) -> Iterator[Hostile]:
    """Requests that hypothesis makes, `count` of them."""
    made: list[Hostile] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(hostile())
    def collect(one: Hostile) -> None:
        made.append(one)

    collect()
    return iter(made)


@contextmanager
def _database(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        url = f"sqlite:///{folder}/fuzz.sqlite3"
        upgrade(url)
        yield url
        return
    server = PostgresServer(folder / "pg")
    try:
        url = server.url(server.create_database())
        upgrade(url)
        yield url
    finally:
        server.stop()


def _report(engine: str, findings: Findings, seconds: float) -> bool:
    statuses = ", ".join(f"{status} × {count}" for status, count in sorted(findings.statuses.items()))
    click.echo(f"{engine}: {findings.sent} requests in {seconds:.0f} s; {statuses}")
    click.echo(
        f"  {len(findings.acknowledged)} events acknowledged, {findings.spooled} spooled; memory {_growth(findings)}"
    )
    for problem in findings.wrong[:20]:
        click.echo(f"  WRONG: {problem}")
    return not findings.wrong


def _growth(findings: Findings) -> str:
    return f"{findings.memory_before / 2**20:.0f} → {findings.memory_after / 2**20:.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
