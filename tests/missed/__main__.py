"""`python -m tests.missed`: opens sessions through the service while webhooks are lost, and compares the ends.

Real PostgreSQL, Redis, HTTP and sandbox; the sandbox's payments and the polling are sped up alike. Fails where a
transaction does not reach the sandbox's status, where its history holds what the sandbox's does not, or where calls go
beyond the rate limit or the schedule.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path

import structlog
from flask import Flask

from tests.support.live_server import LiveServer
from tests.support.sandbox import Sandbox
from tests.support.servers import PostgresServer, RedisServer
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.db.migrate import upgrade
from webhook_app.domain import polling
from webhook_app.domain.status import TERMINAL, Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.models.role import Role
from webhook_app.sandbox.calls import Call
from webhook_app.sandbox.server import SandboxSettings
from webhook_app.services import Services, open_reconciler, open_services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.finance.reports import report_transaction

BODY = json.loads((Path(__file__).parents[1] / "data" / "session-request.json").read_text())
#: How many times faster than people and than the schedule.
SPEED = 20
RATE = 200.0
#: Seconds between two polls of one transaction at least, and how much sooner a call may arrive that was on time.
SHORTEST, EARLY = 5 / SPEED, 0.05


@dataclass(frozen=True)
class Losses:
    """Shares of the webhooks."""

    dropped: float
    repeated: float = 0.0
    reordered: float = 0.0


KINDS = (Losses(1.0), Losses(0.5, 0.3, 0.3))


def run(count: int, losses: Losses, most_seconds: float) -> list[str]:
    """What is wrong; prints what was measured."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wa-")))
        postgres = PostgresServer(folder / "pg")
        stack.callback(postgres.stop)
        (folder / "redis").mkdir()
        redis = RedisServer(folder / "redis")
        stack.callback(redis.stop)
        sandbox = stack.enter_context(Sandbox(SandboxSettings(tokens=("test-token",), seed=1)))
        server = LiveServer()
        stack.callback(server.stop)
        sandbox.control.configure(webhook_url=f"{server.url}/webhooks/proof", speed=SPEED, **vars(losses))
        url = postgres.url(postgres.create_database())
        upgrade(url)
        services = open_services(
            load_settings(
                {
                    "DATABASE_URL": url,
                    "REDIS_URL": redis.url,
                    "PROOF_API_URL": sandbox.url,
                    "PROOF_CLIENT_TOKEN": "test-token",
                    "SECRET_KEY": "a secret key for this run",
                    "WEBHOOK_APP_DATA_DIR": str(folder / "var"),
                    "PROOF_MAX_CALLS_PER_SECOND": str(RATE),
                    "POLL_SHORTEST": str(SHORTEST),
                    "POLL_SELL": str(60 / SPEED),
                }
            ),
            pool_size=24,
        )
        stack.callback(services.close)
        app = create_app(services)
        stack.enter_context(server.serving(app))
        stop = threading.Event()
        worker = threading.Thread(target=_work, args=(services, stop))
        worker.start()
        stack.callback(worker.join)
        stack.callback(stop.set)
        began_at = time.monotonic()
        ids = _open_sessions(app, services, count)
        opened_in = time.monotonic() - began_at
        ends_at = time.monotonic() + most_seconds
        while (left := _unfinished(services, sandbox, ids)) and time.monotonic() < ends_at:
            time.sleep(1)
        took = time.monotonic() - began_at
        problems = [f"{len(left)} did not reach their end: {left[:3]}"] if left else []
        problems += _wrong_histories(services, sandbox, ids)
        calls = [call for call in sandbox.control.calls() if call.call == "get"]
        polls = Counter(call.merchant_transaction_id for call in calls)
        allowed = {one: _allow(sandbox, one) for one in ids}
        problems += [f"{one}: {polls[one]} calls, {allowed[one]} allowed" for one in ids if polls[one] > allowed[one]]
        if losses.dropped == 1.0:
            problems += [f"{one} was asked about again within {gap:.2f} s" for one, gap in _too_soon(calls)][:5]
        fastest = _fastest_second(calls)
        if fastest > 2 * RATE:  # a second's worth put by, and a second's worth that comes
            problems.append(f"{fastest} calls in one second")
        sent = sandbox.control.counters()
        print(
            f"{count} sessions ({opened_in:.0f} s), webhooks {losses.dropped:.0%} dropped, "
            f"{losses.repeated:.0%} repeated, {losses.reordered:.0%} shuffled "
            f"({sent.webhooks_sent} sent, {sent.webhooks_dropped} dropped): "
            f"{count - len(left)} at the sandbox's final status after {took:.0f} s; {len(calls)} calls, "
            f"{max(polls.values())} for one at most (by the schedule {sum(allowed.values())}, and "
            f"{max(allowed.values())} for one, are allowed), {fastest} in the fastest second at a limit of {RATE:.0f}/s"
        )
        return problems


def _work(services: Services, stop: threading.Event) -> None:
    reconciler = open_reconciler(services, threads=16)
    while not stop.is_set():
        reconciler.reconcile_due(threads=16, max_seconds=5, stopping=stop.is_set, grace=1)
        stop.wait(0.1)
    reconciler.proof.close()


def _open_sessions(app: Flask, services: Services, count: int) -> Sequence[str]:
    headers = {"Authorization": f"Bearer {create_token(services.database, 'shop', Role.SERVICE, utc_now())}"}

    def open_one(number: int) -> str:
        body = BODY | {"partner_user_id": f"user-{number}", "type": "sell" if number % 4 == 0 else "buy"}
        answer = app.test_client().post("/api/v1/sessions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json["merchant_transaction_id"])

    with ThreadPoolExecutor(4) as executor:
        return list(executor.map(open_one, range(count)))


def _unfinished(services: Services, sandbox: Sandbox, ids: Sequence[str]) -> list[str]:
    """Those of which we do not hold the sandbox's status, or that it has not ended."""
    there = {one.merchant_transaction_id: one.status for one in sandbox.control.transactions()}
    still = sandbox.control.counters().lifecycles_in_progress
    ours = {one: report_transaction(services.database, one) for one in ids} if not still else {}
    return [
        one
        for one in ids
        if still or there[one] not in TERMINAL or (held := ours[one]) is None or held.status != there[one]
    ]


def _wrong_histories(services: Services, sandbox: Sandbox, ids: Sequence[str]) -> Iterator[str]:
    there = {
        one.merchant_transaction_id: [change.status for change in one.history] for one in sandbox.control.transactions()
    }
    for one in ids:
        found = report_transaction(services.database, one)
        rest = iter(there[one])
        if found is None or not all(any(entry.status == status for status in rest) for entry in found.history):
            yield f"{one}: {[entry.status for entry in found.history] if found else None} of {there[one]}"


def _allow(sandbox: Sandbox, name: str) -> int:
    """Calls that the schedule allows for one: a first look, one each shortest gap until the status is final, one for
    each webhook that came, and the late checks of each failure."""
    history = sandbox.control.transaction(name).history
    lasted = (history[-1].updated_at - history[0].updated_at).total_seconds()
    failures = sum(change.status is Status.FAILED for change in history)
    told = sum(sending.outcome == "sent" for sending in sandbox.control.webhooks(name))
    return 2 + ceil(lasted / (SHORTEST - EARLY)) + told + failures * len(polling.RECHECKS_OF_FAILED)


def _too_soon(calls: Sequence[Call]) -> Iterator[tuple[str, float]]:
    """Two calls for one transaction that are closer to each other than polls are."""
    before: dict[str, datetime] = {}
    for call in calls:
        name = call.merchant_transaction_id or ""
        gap = (call.at - before.get(name, call.at - timedelta(days=1))).total_seconds()
        if gap < SHORTEST - EARLY:
            yield name, gap
        before[name] = call.at


def _fastest_second(calls: Sequence[Call]) -> int:
    return max(Counter(int(call.at.timestamp()) for call in calls).values(), default=0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.missed", description=__doc__)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=180, help="that each run may take after the sessions are open")
    given = parser.parse_args()
    # The late checks of what failed have no setting; the widget's hour is sped up with everything else.
    polling.RECHECKS_OF_FAILED = tuple(wait / SPEED for wait in polling.RECHECKS_OF_FAILED)
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    problems = [problem for losses in KINDS for problem in run(given.sessions, losses, given.seconds)]
    print("\n".join(problems) or "nothing was missed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
