"""The scorecard equals what the sandbox itself remembers that it sent and dropped, over real HTTP, to the last one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from tests.support.clock import FakeClock
from tests.support.live_server import LiveServer
from tests.support.sandbox import Sandbox, SandboxControl
from tests.support.work import run_fast
from webhook_app.db.database import Database
from webhook_app.domain.polling import RECHECKS_OF_FAILED
from webhook_app.domain.status import TERMINAL, Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.usecases.channels.channel_days import SETTLED_AFTER, count_changes
from webhook_app.usecases.channels.scorecard import Scorecard, ScorecardFilter, read_scorecard
from webhook_app.usecases.channels.watching import watch_all
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.watches import Watch

PAIRS = (("buy", "USDT", "TRC20"), ("sell", "USDT", "TRC20"), ("buy", "BTC", "BTC"))
EACH = 8
#: After these a `failed` one may be paid again: both are final statuses.
LIVES = (
    (Status.PROCESSING, Status.COMPLETED),
    (Status.PROCESSING, Status.FAILED, Status.COMPLETED),
    (Status.CANCELLED,),
    (Status.PROCESSING, Status.FAILED),
)
FIGURES = ("changes", "lost", "finals", "finals_lost", "repeated", "out_of_order")


@dataclass
class MovedClock(FakeClock):
    """The wall's time, as the sandbox has it, and so much more."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return MovedClock()


@pytest.fixture
def webhook_url(app: Flask) -> Iterator[str]:
    server = LiveServer()
    with server.serving(app):
        yield f"{server.url}/webhooks/proof"
    server.stop()


def test_it_equals_what_the_sandbox_dropped_repeated_and_swapped(
    database: Database, sandbox: Sandbox, reconciler: Reconciler, clock: FakeClock, webhook_url: str
) -> None:
    control = sandbox.control
    faults = {"dropped": 0.4, "repeated": 0.4, "delayed": 0.4, "reordered": 0.4}
    control.configure(webhook_url=webhook_url, **faults)
    names = [control.create(type=type, currency=currency, network=network)
             for type, currency, network in PAIRS for _ in range(EACH)]  # fmt: skip
    watch_all(database, [Watch(name) for name in names], "test", clock())
    run_fast(reconciler)
    for step in range(max(map(len, LIVES))):
        for number, name in enumerate(names):
            life = LIVES[number % len(LIVES)]
            if step < len(life):
                control.set_status(name, life[step])
        clock.advance(15 * 60)  # whatever nobody told of is looked at by then
        run_fast(reconciler)
    control.configure(speed=1000)  # what is late or held back comes now
    control.wait_until_still()
    run_fast(reconciler)
    clock.advance(RECHECKS_OF_FAILED[-1].total_seconds())  # a payment after `failed` of which nobody told
    run_fast(reconciler)

    expected = what_sandbox_remembers(control, names)
    assert all(expected["", "", "", name] for name in FIGURES), "there is something to find"
    assert figures(scorecard(database)) == expected, "while nothing is counted"
    clock.advance(SETTLED_AFTER.total_seconds())
    count_by_two_clocks(database, clock())
    assert figures(scorecard(database)) == expected, "by the days' figures alone"


def what_sandbox_remembers(control: SandboxControl, names: Sequence[str]) -> Counter[tuple[str, ...]]:
    """By type, currency, network and name of the figure; and of all, with the first three empty."""
    found: Counter[tuple[str, ...]] = Counter()
    for name in names:
        one = control.transaction(name)
        sent: dict[tuple[str, datetime], list[datetime]] = {}
        for sending in control.webhooks(name):
            if sending.outcome == "sent":
                sent.setdefault((sending.status, sending.updated_at), []).append(sending.at)
            else:
                assert sending.outcome == "dropped"
        later: datetime | None = None
        for change in reversed(one.history):
            came = sent.get((change.status.value, change.updated_at), [])
            is_overtaken = bool(came and later and min(came) > later)
            later = min([*came, *([later] if later else [])], default=None)
            counts = {
                "changes": 1,
                "lost": not came,
                "finals": change.status in TERMINAL,
                "finals_lost": change.status in TERMINAL and not came,
                "repeated": max(len(came) - 1, 0),
                "out_of_order": is_overtaken,
            }
            for pair in ((one.type, one.currency, one.network), ("", "", "")):
                found.update({(*pair, figure): int(count) for figure, count in counts.items()})
    return +found


def figures(card: Scorecard) -> Counter[tuple[str, ...]]:
    """The same as the scorecard tells it."""
    assert card.is_complete
    found: Counter[tuple[str, ...]] = Counter()
    for row in (card.total, *card.pairs):
        pair = (row.type or "", row.currency or "", row.network or "")
        for figure in FIGURES:
            found[(*pair, figure)] += getattr(row.counts, figure)
        assert row.counts.finals_by_polling == row.counts.finals_lost, "there is no WebSocket here"
    return +found


def scorecard(database: Database) -> Scorecard:
    today = datetime.now(UTC).date()
    return read_scorecard(database, ScorecardFilter(today - timedelta(days=1), today + timedelta(days=1)))


def count_by_two_clocks(database: Database, now: datetime) -> None:
    at_once = threading.Barrier(2)

    def count() -> None:
        at_once.wait()
        while count_changes(database, now):
            pass

    clocks = [threading.Thread(target=count) for _ in range(2)]
    for one in clocks:
        one.start()
    for one in clocks:
        one.join()
