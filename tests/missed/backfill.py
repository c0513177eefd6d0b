"""`python -m tests.missed.backfill`: a backfill of very many ids by real processes on PostgreSQL, its command killed
twice (`kill -9`). Fails where an id is never asked about, or again though its answer was there, or where memory grows
with the file."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import structlog
from sqlalchemy import func, select

from tests.support.processes import Running, started
from tests.support.sandbox import Sandbox
from tests.support.servers import PostgresServer, RedisServer
from webhook_app.config import environment
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.db.migrate import upgrade
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Attempt, Backfill, Reconciliation, Transaction
from webhook_app.sandbox.server import SandboxSettings
from webhook_app.usecases.channels.backfill import count_unknown
from webhook_app.usecases.monitor.overview import read_overview

#: Of the ids, those that Proof does not know: one in so many.
UNKNOWN = 50
#: By so many bytes a process may be larger in the last quarter of the file than in the second.
MOST_GROWTH = 8 * 2**20
_MANY = 10_000


def run(count: int, most_seconds: float) -> list[str]:
    """What is wrong; prints what was measured."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="wa-")))
        postgres = PostgresServer(folder / "pg")
        held.callback(postgres.stop)
        (folder / "redis").mkdir()
        redis = RedisServer(folder / "redis")
        held.callback(redis.stop)
        url = postgres.url(postgres.create_database())
        upgrade(url)
        database = Database(url)
        held.callback(database.close)
        sandbox = held.enter_context(Sandbox(SandboxSettings(tokens=("token",))))
        path, unknown = folder / "old.txt", folder / "unknown.csv"
        ids = _make_ids(sandbox, count)
        path.write_text("".join(f"{one}\n" for one in ids))
        env = os.environ | environment(
            database_url=url,
            redis_url=redis.url,
            proof_api_url=sandbox.url,
            proof_client_tokens="token",
            data_dir=str(folder / "var"),
        )
        env |= {"PROOF_MAX_CALLS_PER_SECOND": "10000", "PROOF_MAX_CONCURRENCY": "200"}

        def start(label: str, *words: str) -> Running:
            (folder / label).mkdir()
            return held.enter_context(started([sys.executable, "-m", "webhook_app.cli", *words], env, folder / label))

        worker = start("worker", "worker")
        start("clock", "clock")
        began_at = time.monotonic()
        watched = _Watched(database, count, worker, began_at + most_seconds)
        for life in range(3):
            command = start(f"backfill-{life}", "backfill", str(path), "--unknown", str(unknown))
            ended = watched.follow(command, None if life == 2 else count * (life + 1) // 3)
            say(f"life {life + 1} of the command: {'ended' if ended else 'killed'} at line {watched.done_lines:,} "
                f"after {time.monotonic() - began_at:.0f} s")  # fmt: skip
        took = time.monotonic() - began_at
        problems = [] if ended else [f"not done within {most_seconds:.0f} s: {command.stderr[-500:]}"]
        calls = Counter(call.merchant_transaction_id for call in sandbox.control.calls() if call.call == "get")
        again, never = [one for one in ids if calls[one] > 1], [one for one in ids if not calls[one]]
        why, needless = _why_again(database, again)
        problems += [f"{len(needless)} were asked about again, such as {needless[0]}"] if needless else []
        problems += [f"{len(never)} were never asked about, such as {never[0]}"] if never else []
        with database.read() as session:
            confirmed = session.scalar(select(func.count()).select_from(Transaction))
            [state] = session.scalars(select(Backfill))
        reported = count_unknown(database, state)
        listed = len(unknown.read_text().splitlines()) - 1 if unknown.exists() else 0
        if (confirmed, reported, listed) != (count - count // UNKNOWN, *[count // UNKNOWN] * 2):
            problems.append(f"{confirmed} confirmed, {reported} unknown, {listed} of them in the report")
        if groups := read_overview(database, utc_now()).failed:
            problems.append(f"the overview counts failures: {[(group.error, group.count) for group in groups]}")
        say(f"{count:,} ids in {took:.0f} s ({count / took:.0f}/s): {sum(calls.values()):,} calls, {len(again)} ids "
            f"again ({dict(why)}); {confirmed:,} confirmed, {reported:,} in the report")  # fmt: skip
        return problems + watched.tell_memory()


def _make_ids(sandbox: Sandbox, count: int) -> list[str]:
    """In the order of the file, unknown ones among them."""
    known: list[str] = []
    wanted = count - count // UNKNOWN
    while len(known) < wanted:
        known += sandbox.control.create_many(min(_MANY, wanted - len(known)), status=Status.COMPLETED)
    ids = iter(known)
    return [f"gone-{number}" if number % UNKNOWN == UNKNOWN - 1 else next(ids) for number in range(count)]


def _why_again(database: Database, names: Sequence[str]) -> tuple[Counter[str], list[str]]:
    """What came of the calls that others followed, and the ids that were asked about though an answer was there."""
    why: Counter[str] = Counter()
    needless = []
    for name in names:
        with database.read() as session:
            rows = session.execute(
                select(Attempt.http_status, Attempt.error, Attempt.code)
                .join(Reconciliation, Reconciliation.id == Attempt.reconciliation_id)
                .where(Reconciliation.merchant_transaction_id == name)
                .order_by(Attempt.id)
            ).all()
        why.update(f"{row.error}/{row.code}" for row in rows[:-1])
        if len(rows) < 2 or any(row.error is None or row.http_status == 404 for row in rows[:-1]):
            needless.append(name)
    return why, needless


class _Watched:
    """What the command and the worker take of memory, along the lines of the file."""

    def __init__(self, database: Database, count: int, worker: Running, ends_at: float) -> None:
        self.done_lines = 0
        self._database = database
        self._count = count
        self._worker = worker
        self._ends_at = ends_at
        #: Lines, and what each of the worker's processes and the command take then.
        self._samples: list[tuple[int, dict[str, list[int]]]] = []

    def follow(self, command: Running, until_line: int | None) -> bool:
        """Whether the command has ended by itself; it is killed at that line, or when time is up."""
        while command.process.poll() is None:
            with self._database.read() as session:
                self.done_lines = session.scalar(select(func.max(Backfill.done_lines))) or 0
            is_killed = until_line is not None and self.done_lines >= until_line
            if is_killed or time.monotonic() > self._ends_at:
                command.send(signal.SIGKILL)
                command.ended()
                return False
            self._samples.append((self.done_lines, {"the command": _pss(command), "the worker": _pss(self._worker)}))
            time.sleep(1)
        return True

    def tell_memory(self) -> list[str]:
        """What grew: the largest process in the second quarter against the largest in the last. Their sum is told
        beside it, and how many there were: a job that others need meanwhile is one process more for its time."""
        problems = []
        for name in ("the command", "the worker"):
            quarters = [self._quarter(number, name) for number in range(4)]
            largest = [max((max(sizes) for sizes in quarter), default=0) for quarter in quarters]
            sums = [max(((sum(sizes), len(sizes)) for sizes in quarter), default=(0, 0)) for quarter in quarters]
            told = ", ".join(f"{size / 2**20:.1f}" for size in largest)
            say(f"{name}: {told} MB for its largest process (PSS, the most in each quarter of the file); all of its: "
                + ", ".join(f"{size / 2**20:.1f} ({processes})" for size, processes in sums))  # fmt: skip
            if largest[3] - largest[1] > MOST_GROWTH:
                problems.append(f"{name} grows: {told} MB")
        return problems

    def _quarter(self, number: int, name: str) -> list[list[int]]:
        begin, end = number * self._count, (number + 1) * self._count
        return [sizes[name] for lines, sizes in self._samples if begin <= 4 * lines <= end and sizes[name]]


def _pss(running: Running) -> list[int]:
    """Bytes of memory of a process and of each below it, shared pages divided among who shares them."""
    sizes = []
    try:
        process = psutil.Process(running.process.pid)
        below = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for one in (process, *below):
        with suppress(psutil.NoSuchProcess):
            sizes.append(one.memory_full_info().pss)
    return sizes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.missed.backfill", description=__doc__)
    parser.add_argument("--ids", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=900, help="that all of it may take")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    problems = run(given.ids, given.seconds)
    say("\n".join(problems) or "no id was asked about without need, and memory is flat")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
