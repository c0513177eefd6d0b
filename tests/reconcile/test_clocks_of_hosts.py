"""The clocks of several hosts that are set by one mistake move plans once; by mistakes of their own, each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, text, update

from tests.support.clock import START, FakeClock
from tests.support.interleave import after_statement, finish_or_block
from tests.support.work import report, row
from webhook_app.db.database import Database
from webhook_app.models import Heartbeat, Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.clock_jump import ONE_MISTAKE, follow_clock
from webhook_app.usecases.reconcile.stored_gate import read_gate

UPTIME = timedelta(hours=9)
HOUR = timedelta(hours=1)
STILL = timedelta()
#: From START until the plan.
WAIT = timedelta(seconds=60)


@dataclass
class Host:
    """A host with a clock process. `time` is what passes for all of them, whatever their clocks say."""

    database: Database
    time: FakeClock
    name: str
    ahead: timedelta = STILL
    starts: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.starts = self.time() - UPTIME
        self.look()

    def set_by(self, *jump: timedelta) -> timedelta | None:
        """Its clock is set, and its clock process looks at it: by how much plans have moved."""
        self.ahead += sum(jump, STILL)
        return self.look()

    def look(self) -> timedelta | None:
        return follow_clock(self.database, self.name, self.time() + self.ahead, self.time() - self.starts)


def plan(database: Database) -> None:
    report(database, "t", START)
    with database.write() as session:
        session.execute(update(Reconciliation).values(state=State.RETRYING, next_attempt_at=START + WAIT))


@pytest.fixture
def hosts(database: Database, clock: FakeClock) -> tuple[Host, Host, Host]:
    """Three, whose clocks agree, and a plan for a minute from START on."""
    plan(database)
    first, second, third = (Host(database, clock, name) for name in ("first", "second", "third"))
    return first, second, third


def moved(database: Database) -> timedelta:
    """How far the plan of `hosts` is from where it was."""
    at = row(database, "t").next_attempt_at
    assert at is not None
    return at - START - WAIT


@pytest.mark.parametrize("jump", [HOUR, -HOUR, timedelta(seconds=8), timedelta(seconds=-8)])
def test_same_mistake_on_all_hosts_moves_plans_once_and_so_does_its_correction(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock, jump: timedelta
) -> None:
    assert [host.set_by(jump) for host in hosts] == [jump, STILL, STILL]
    assert moved(database) == jump
    assert [host.look() for host in hosts] == [None, None, None]
    clock.advance(60)
    assert [host.set_by(-jump) for host in reversed(hosts)] == [-jump, STILL, STILL]
    assert moved(database) == STILL


def test_gate_moves_once_too(hosts: tuple[Host, Host, Host], database: Database) -> None:
    with database.read() as session:
        before = read_gate(session).refilled_at
    for host in hosts:
        host.set_by(HOUR)
    with database.read() as session:
        assert read_gate(session).refilled_at == before + HOUR


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_one_host_alone_takes_the_plans_along_and_back(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock, jump: timedelta
) -> None:
    first, second, _ = hosts
    assert first.set_by(jump) == jump
    assert second.look() is None
    clock.advance(600)
    assert second.look() is None
    assert first.set_by(-jump) == -jump
    assert moved(database) == STILL
    assert second.set_by(jump) == jump, "which owes nothing to what the first one has undone"
    assert moved(database) == jump


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_host_that_is_corrected_before_another_is_takes_the_plans_back_once(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock, jump: timedelta
) -> None:
    first, second, _ = hosts
    assert [first.set_by(jump), second.set_by(jump)] == [jump, STILL]
    clock.advance(60)
    assert [first.set_by(-jump), first.look(), second.set_by(-jump)] == [-jump, None, STILL]
    assert moved(database) == STILL


def test_hosts_of_different_jumps_move_plans_as_far_as_the_furthest(
    hosts: tuple[Host, Host, Host], database: Database
) -> None:
    first, second, third = hosts
    assert [first.set_by(HOUR), second.set_by(2 * HOUR), third.set_by(HOUR)] == [HOUR, HOUR, STILL]
    assert moved(database) == 2 * HOUR
    assert [first.set_by(-HOUR), second.set_by(-2 * HOUR), third.set_by(-HOUR)] == [-HOUR, -HOUR, STILL]
    assert moved(database) == STILL


def test_seconds_by_which_hosts_were_set_differently_are_drift(
    hosts: tuple[Host, Host, Host], database: Database
) -> None:
    """Each time server tells the time a little differently; plans stay within that of each clock."""
    first, second, _ = hosts
    second_more = timedelta(seconds=3)
    assert [first.set_by(HOUR), second.set_by(HOUR, second_more)] == [HOUR, STILL]
    assert [first.set_by(-HOUR), second.set_by(-HOUR, second_more)] == [-HOUR, STILL]
    assert second.ahead == timedelta(seconds=6), "together they are more, and wait for the next time it is set"
    assert second.set_by(HOUR) == HOUR


@pytest.mark.parametrize("minutes", [5, 59])
def test_host_that_is_set_minutes_later_by_the_same_mistake_moves_nothing(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock, minutes: int
) -> None:
    first, late, _ = hosts
    first.set_by(HOUR)
    for _ in range(minutes):
        assert late.look() is None
        clock.advance(60)
    assert late.set_by(HOUR) == STILL
    assert moved(database) == HOUR


def test_host_whose_clock_process_was_gone_is_late_for_as_long_as_it_was(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock
) -> None:
    first, gone, _ = hosts
    first.set_by(HOUR)
    clock.now += timedelta(days=2)
    assert gone.set_by(HOUR) == STILL
    assert moved(database) == HOUR


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_what_comes_later_is_another_mistake(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock, jump: timedelta
) -> None:
    """The clock of the first was wrong before and is right now, so nobody else is set for a long time."""
    first, second, third = hosts
    first.set_by(jump)
    assert [second.look(), third.look()] == [None, None]
    clock.now += ONE_MISTAKE
    assert [second.look(), third.look()] == [None, None]
    assert [host.set_by(jump) for host in (second, third, first)] == [jump, STILL, STILL]
    assert moved(database) == 2 * jump


def test_boot_that_came_in_between_does_not_hide_what_its_clock_is_set_by_later(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock
) -> None:
    first, *_ = hosts
    first.set_by(HOUR)
    new = Host(database, clock, "new")
    first.set_by(-HOUR)
    new.look()
    clock.now += ONE_MISTAKE
    assert new.set_by(-HOUR) == -HOUR
    assert moved(database) == -HOUR


def test_new_boot_begins_where_the_plans_are(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock
) -> None:
    first, *_ = hosts
    first.set_by(HOUR)
    new = Host(database, clock, "new", ahead=HOUR)
    assert [first.set_by(-HOUR), new.set_by(-HOUR)] == [-HOUR, STILL]
    assert moved(database) == STILL


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_two_hosts_that_see_it_at_the_very_same_moment_move_plans_once(
    hosts: tuple[Host, Host, Host], database: Database, jump: timedelta
) -> None:
    """The second one waits for the first one's lock; on SQLite for its transaction."""
    first, second, _ = hosts
    others: list[timedelta | None] = []
    threads = []

    def set_second() -> None:
        threads.append(finish_or_block(database, lambda: others.append(second.set_by(jump))))

    with after_statement(database, "ORDER BY boots.boot_id", set_second):
        assert first.set_by(jump) == jump
    threads[0].join()
    assert others == [STILL]
    assert moved(database) == jump


# Beside a clock process of the release before


def test_what_an_older_release_has_moved_counts_for_the_other_hosts(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock
) -> None:
    first, second, _ = hosts
    with database.write() as session:
        session.execute(insert(Heartbeat).values(name="boot first", beat_at=clock() + HOUR - UPTIME))
    assert first.set_by(HOUR) is None, "the older one was before it"
    assert second.set_by(HOUR) == STILL
    assert moved(database) == STILL


def test_boot_of_a_release_that_keeps_no_more_than_its_time_is_like_any_other(
    database: Database, clock: FakeClock
) -> None:
    """Up to migration 0043; what it writes names the columns of then alone."""
    plan(database)
    first = Host(database, clock, "first")
    start = "2026-04-01 03:00:00.000000" if database.is_sqlite else "2026-04-01 03:00:00+00:00"
    with database.write() as session:
        session.execute(text("INSERT INTO boots (boot_id, booted_at) VALUES ('older', :at)"), {"at": start})
    older = Host(database, clock, "older")
    assert [first.set_by(HOUR), older.set_by(HOUR)] == [HOUR, STILL]
    with database.write() as session:  # it has moved the plans by itself
        session.execute(text("UPDATE boots SET booted_at = :at WHERE boot_id = 'older'"), {"at": start})
    older.ahead = STILL
    assert older.look() is None
    assert moved(database) == HOUR


def test_clock_that_had_not_known_the_time_moves_nothing_when_it_is_told(
    hosts: tuple[Host, Host, Host], database: Database, clock: FakeClock
) -> None:
    """It comes up in 1970, as where no battery keeps the time. From then on it is a clock like all others."""
    first, second, _ = hosts
    newcomer = Host(database, clock, "newcomer", ahead=-timedelta(days=20_000))
    assert newcomer.set_by(timedelta(days=20_000)) == STILL
    assert moved(database) == STILL
    assert newcomer.set_by(HOUR) == HOUR
    assert [first.set_by(HOUR), second.set_by(HOUR)] == [STILL, STILL]
    assert moved(database) == HOUR


def test_clock_that_is_set_back_by_years_takes_its_plans_along(database: Database, clock: FakeClock) -> None:
    plan(database)
    host = Host(database, clock, "first")
    assert host.set_by(-timedelta(days=400)) == -timedelta(days=400)
    assert moved(database) == -timedelta(days=400)
