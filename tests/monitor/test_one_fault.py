"""One fault is one incident, whoever sees it: several hosts that have lost SQL, and SQLite on a disk that is full."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import FakeClock
from tests.support.listening import listening
from tests.support.notified import HttpSink
from webhook_app.adapters.incident_journal import Entry, IncidentJournal
from webhook_app.adapters.spool import Fate, Handling, SpoolFault
from webhook_app.db.database import Database
from webhook_app.services import Services, open_courier, open_lookout
from webhook_app.usecases.heartbeats import CLOCK, WEB, beat
from webhook_app.usecases.incidents.lookout import enter
from webhook_app.usecases.incidents.reports import IncidentFilter, IncidentReport, list_incidents

SECRET = "whsec_" + "QUFB" * 8


def incidents(services: Services) -> list[IncidentReport]:
    """But for workers, of which none runs here."""
    found = list_incidents(services.database, IncidentFilter(), 50, services.clock()).items
    return [one for one in found if one.kind != "workers_missing"]


def test_several_hosts_that_have_lost_sql_enter_one_incident(services: Services, clock: FakeClock) -> None:
    begin = clock()
    hosts = [Entry("sql_away", "", "x", begin + timedelta(seconds=late)) for late in (4, 0, 2)]
    for entry in hosts:
        clock.advance(30)
        enter(services.database, [entry], clock())
    (found,) = incidents(services)
    assert (found.began_at, found.ended_at) == (begin, clock()), "from the first begin to the last end"
    clock.advance(60)
    enter(services.database, [Entry("sql_away", "", "x", clock() - timedelta(seconds=20))], clock())
    assert len(incidents(services)) == 2, "another absence is another incident"


def test_what_a_later_release_noted_stops_nobody(services: Services, clock: FakeClock) -> None:
    later = Entry("flood", "", "x", clock() - timedelta(seconds=60))
    enter(services.database, [later, Entry("sql_away", "", "x", clock() - timedelta(seconds=20))], clock())
    assert [one.kind for one in incidents(services)] == ["sql_away"]


@pytest.fixture
def told() -> Iterator[HttpSink]:
    with HttpSink().running() as sink:
        yield sink


@contextmanager
def full(database: Database, *, can_be_read: bool) -> Iterator[None]:
    """Nothing can be written, as SQLite says it on a full disk; what is there may be readable or not."""

    def refuse(connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        if not can_be_read or statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    with listening(database, "before_cursor_execute", refuse):
        yield


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # its file is on the data folder's disk
@pytest.mark.parametrize("can_be_read", [True, False], ids=["that can be read", "that cannot"])
@pytest.mark.parametrize("is_known", [False, True], ids=["at once", "while the incident is open already"])
def test_sqlite_on_a_full_disk_is_a_full_disk_and_not_sql_that_is_away(
    services: Services, told: HttpSink, clock: FakeClock, *, is_known: bool, can_be_read: bool
) -> None:
    settings = replace(
        services.settings,
        notify_webhook_url=f"{told.url}/hook",
        notify_webhook_secret=SECRET,
        notify_allow_private=True,
        notify_after=0.0,
        notify_kinds=("disk_full", "sql_away", "spool_used", "clock_silent", "web_silent"),
    )
    roomy = replace(services, settings=settings)
    tight = replace(roomy, settings=replace(settings, spool_max_bytes=2**40))

    of_web = replace(roomy, journal=IncidentJournal(services.settings.data_dir / "web"))
    clock_process = {one.settings.spool_max_bytes: open_lookout(one) for one in (roomy, tight)}
    web_process = open_lookout(of_web, is_web=True)
    couriers = [open_courier(roomy), open_courier(of_web, is_web=True)]

    def look(now: Services, times: int, *, can_write: bool = True) -> None:
        processes = [clock_process[now.settings.spool_max_bytes], web_process]
        for _ in range(times):
            clock.advance(5)
            if can_write:
                beat(services.database, CLOCK, clock())
                beat(services.database, WEB, clock())
            for one in processes:
                one.step()
            for courier in couriers:
                courier.step()

    if is_known:
        look(tight, 2)
    with full(services.database, can_be_read=can_be_read):
        services.spool.note_fault(SpoolFault(clock(), "OperationalError", "database or disk is full", stops_all=True))
        services.spool.append("what waits")
        look(tight, 6, can_write=False)
        assert [one["type"] for one in told.bodies("/hook")] == ["incident.begun"], "told while nothing can be stored"
    look(tight, 3)
    assert [(one.kind, one.state) for one in incidents(services)] == [("disk_full", "open")]
    services.spool.note_fault(None)
    services.spool.drain(lambda texts: [Handling(Fate.TAKEN) for _ in texts], clock())
    look(roomy, 12)
    assert [(one.kind, one.state) for one in incidents(services)] == [("disk_full", "resolved")]
    assert [one["type"] for one in told.bodies("/hook")] == ["incident.begun", "incident.ended"]
    assert {one["data"]["kind"] for one in told.bodies("/hook")} == {"disk_full"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about a file
def test_what_could_not_be_written_into_the_journal_is_seen_by_who_tells_of_it(
    services: Services, told: HttpSink, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "full").write_text("")
    journal = IncidentJournal(tmp_path / "full")  # a file: nothing can be written beneath it
    settings = replace(
        services.settings,
        notify_webhook_url=f"{told.url}/hook",
        notify_webhook_secret=SECRET,
        notify_allow_private=True,
        notify_after=0.0,
    )
    away = replace(services, settings=settings, journal=journal, database=Database(f"sqlite:///{tmp_path}"))
    look, courier = open_lookout(away), open_courier(away)
    for _ in range(4):
        clock.advance(5)
        look.step()
        courier.step()
    assert [one["type"] for one in told.bodies("/hook")] == ["incident.begun"]
