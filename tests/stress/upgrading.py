"""`python -m tests.stress.upgrading --from REF`: upgrades a large database of an earlier release (a git ref whose
schema is 0011) while that release's web process takes webhooks and a reader holds its locks. Fails where a webhook is
not accepted, or is not in SQL at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3
from sqlalchemy import text

from tests.support.processes import REPOSITORY
from tests.support.servers import PostgresServer
from tests.support.web_process import web_process
from webhook_app.db.database import Database
from webhook_app.db.migrate import upgrade

#: The last schema before the inbox.
EARLIER_SCHEMA = "0011"
_LARGE = "events, receipts, reconciliations, attempts, transactions, transaction_versions, status_changes"
_LANES = 32
_AFTER = 5.0
"""Seconds that webhooks go on for after the upgrade."""

#: `:rows` finished payments: each with its event, receipt, reconciliation, attempt, status and current version.
_FILL = """
INSERT INTO events (id, merchant_transaction_id, channel, status, updated_at, updated_at_key, warnings, body,
                    received_at, delivery, settled_at)
SELECT n, 'old-' || n, 'webhook', 'completed', at, at::text, '[]', '{}', at, 'succeeded', at
FROM (SELECT n, now() - n * interval '1 minute' AS at FROM generate_series(1, :rows) AS n) AS payments;
INSERT INTO receipts (event_id, received_at, remote_addr, headers)
SELECT id, received_at, '203.0.113.7', '{}' FROM events;
INSERT INTO reconciliations (id, merchant_transaction_id, state, generation, created_at, reconciled_at, crashes,
                             attempts, spent_attempts, single_retries, paused_seconds_then)
SELECT id, merchant_transaction_id, 'succeeded', 1, received_at, received_at, 0, 1, 0, 0, 0 FROM events;
INSERT INTO attempts (reconciliation_id, started_at, finished_at, status, http_status, request_id, decision, counted)
SELECT id, received_at, received_at, 'completed', 200, 'r-' || id, 'confirmed, terminal', false FROM events;
INSERT INTO transactions (merchant_transaction_id, type, status, currency, fiat_currency, fiat_amount, created_at,
                          updated_at, confirmed_at, position)
SELECT merchant_transaction_id, 'buy', 'completed', 'USDT', 'EUR', 12.34, received_at, received_at, received_at, id
FROM events;
INSERT INTO status_changes (merchant_transaction_id, status, updated_at, recorded_at)
SELECT merchant_transaction_id, 'completed', received_at, received_at FROM events;
SELECT setval(pg_get_serial_sequence('events', 'id'), (SELECT max(id) FROM events));
SELECT setval(pg_get_serial_sequence('reconciliations', 'id'), (SELECT max(id) FROM reconciliations))
"""


@dataclass
class Told:
    """What was seen; times are seconds."""

    sent: int = 0
    spooled: int = 0
    refused: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    longest_in_spool: float = 0.0
    upgraded_in: float = 0.0
    held: int = 0
    """Times that the reader took its locks."""
    missing: int = 0

    def wait(self, part: float) -> int:
        """That so large a part of all answers took at most, in milliseconds."""
        waits = sorted(self.waits)
        return round(waits[min(int(len(waits) * part), len(waits) - 1)] * 1000)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.upgrading", description=__doc__)
    parser.add_argument("--from", dest="ref", required=True, help="a git ref of the release before the inbox")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=50, help="webhooks a second")
    parser.add_argument("--hold", type=float, default=10, help="seconds that the reader holds its locks")
    parser.add_argument("--pause", type=float, default=5, help="seconds that it then pauses for")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wa-upgrade-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as a user of its own
        server = PostgresServer(folder / "pg")
        try:
            told = _run(server.url(server.create_database()), folder, given)
        finally:
            server.stop()
    sys.stdout.write(
        f"{given.rows:,} payments, upgraded in {told.upgraded_in:.0f} s; "
        f"the reader held its locks {told.held} times for {given.hold:g} s\n"
        f"{told.sent} webhooks: {len(told.refused)} refused, {told.spooled} spooled, "
        f"for {told.longest_in_spool:.1f} s at most; {told.missing} not in SQL\n"
        f"answered in {told.wait(0.5)} ms (p50), {told.wait(0.99)} ms (p99), {told.wait(1)} ms (longest)\n"
    )
    sys.stdout.writelines(f"refused: {one}\n" for one in told.refused[:10])
    return 1 if told.refused or told.missing else 0


def _run(url: str, folder: Path, given: argparse.Namespace) -> Told:
    _fill(url, given.rows)
    earlier = _check_out(given.ref, folder / "earlier")
    told = Told()
    with (
        _from(earlier),
        web_process(
            folder, {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0", "PROOF_API_URL": "http://127.0.0.1:1",
                     "PROOF_CLIENT_TOKEN": "t"}
        ) as web,
    ):  # fmt: skip
        done = threading.Event()
        helpers = [
            threading.Thread(target=_send, args=(web.url, given.rate, done, told)),
            threading.Thread(target=_read, args=(url, given.hold, given.pause, done, told)),
            threading.Thread(target=_watch_spool, args=(folder / "var" / "spool", done, told)),
        ]
        for helper in helpers:
            helper.start()
        try:
            begun = time.monotonic()
            upgrade(url)
            told.upgraded_in = time.monotonic() - begun
            time.sleep(_AFTER)
        finally:
            done.set()
            for helper in helpers:
                helper.join()
        told.missing = told.sent - len(told.refused) - _count(url, told)
    return told


def _fill(url: str, rows: int) -> None:
    upgrade(url, EARLIER_SCHEMA)
    with closing(Database(url)) as database:
        for statement in _FILL.split(";"):
            with database.write() as session:
                session.execute(text("SET LOCAL statement_timeout = 0"))
                session.execute(text(statement), {"rows": rows} if ":rows" in statement else {})
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def _check_out(ref: str, folder: Path) -> Path:
    folder.mkdir()
    archive = subprocess.run(["git", "archive", ref], cwd=REPOSITORY, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


@contextmanager
def _from(release: Path) -> Iterator[None]:
    """Programs that are started meanwhile are that release's."""
    before, here = os.environ.get("PYTHONPATH"), Path.cwd()
    os.environ["PYTHONPATH"] = str(release)
    os.chdir(release)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.pop("PYTHONPATH") if before is None else os.environ.__setitem__("PYTHONPATH", before)


def _send(url: str, rate: float, done: threading.Event, told: Told) -> None:
    http = urllib3.PoolManager(maxsize=_LANES, retries=False, timeout=30)

    def send(number: int, due: float) -> None:
        body = json.dumps({"merchant_transaction_id": f"new-{number}", "status": "pending"})
        try:
            answer = http.request(
                "POST", f"{url}/webhooks/proof", body=body, headers={"Content-Type": "application/json"}
            )
        except urllib3.exceptions.HTTPError as error:
            told.refused.append(repr(error))
            return
        told.waits.append(time.monotonic() - due)
        if answer.status // 100 != 2:
            told.refused.append(f"{answer.status} {answer.data!r}")
        elif answer.json().get("spooled"):
            told.spooled += 1

    begun = time.monotonic()
    with ThreadPoolExecutor(_LANES) as lanes:
        while not done.wait(max(0.0, begun + told.sent / rate - time.monotonic())):
            told.sent += 1
            lanes.submit(send, told.sent, begun + told.sent / rate)


def _read(url: str, hold: float, pause: float, done: threading.Event, told: Told) -> None:
    with closing(Database(url, pool_size=1)) as database:
        while not done.is_set():
            with database.engine.connect() as connection, connection.begin():
                connection.execute(text(f"LOCK TABLE {_LARGE} IN ACCESS SHARE MODE"))
                told.held += 1
                done.wait(hold)
            done.wait(pause)


def _watch_spool(folder: Path, done: threading.Event, told: Told) -> None:
    since: float | None = None
    while not done.wait(0.02):
        if any(file.stat().st_size for file in folder.glob("*.spool") if file.exists()):
            since = since or time.monotonic()
            told.longest_in_spool = max(told.longest_in_spool, time.monotonic() - since)
        else:
            since = None


def _count(url: str, told: Told) -> int:
    """Events of those webhooks, when the spool has had the time to be stored."""
    with closing(Database(url)) as database:
        ends_at = time.monotonic() + 30
        while True:
            with database.read() as session:
                there = session.scalar(text("SELECT count(*) FROM events WHERE merchant_transaction_id LIKE 'new-%'"))
            if there >= told.sent - len(told.refused) or time.monotonic() > ends_at:
                return int(there)
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
