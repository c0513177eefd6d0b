"""Incidents: begun and ended by the lookout, with what they held up counted exactly, whatever is away meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from tests.support.answers import answer, claim, confirmed, report_and_answer
from tests.support.clock import FakeClock
from tests.support.free_ports import free_ports
from tests.support.rows import WALLET, attempt, delivery_rows, seed, seed_all
from tests.support.servers import RedisServer
from tests.support.work import report
from webhook_app.adapters.incident_journal import Entry, IncidentJournal
from webhook_app.adapters.queueing import Queues, connect_redis
from webhook_app.adapters.spool import SpoolFault
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate, Limits, pause, resume
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.status import Status
from webhook_app.models import Event
from webhook_app.run.relapses import RelapseLog
from webhook_app.run.supervisor import Relapse
from webhook_app.services import Services, open_lookout
from webhook_app.usecases.heartbeats import CLOCK, WEB, beat
from webhook_app.usecases.incidents.figures import read_days, read_hours
from webhook_app.usecases.incidents.finding import Finding
from webhook_app.usecases.incidents.lookout import Lookout, enter
from webhook_app.usecases.incidents.register import Sightings
from webhook_app.usecases.incidents.reports import IncidentFilter, IncidentReport, list_incidents
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate

TOKEN = Failure(401, "unauthorised", "invalid_token", "no", "r-401")
OUTAGE = Failure(503, "upstream_unavailable", "upstream_unavailable", "down", "r-503")


@pytest.fixture
def lookout(services: Services, clock: FakeClock) -> Lookout:
    """Of the clock; nothing is silent or missing, unless a test says so."""
    return open_lookout(services)


def incidents(services: Services, state: str | None = None) -> Sequence[IncidentReport]:
    """But that no worker runs in this test."""
    found = list_incidents(services.database, IncidentFilter(state), 100, services.clock()).items
    return [one for one in found if one.kind != IncidentKind.WORKERS_MISSING]


def look(lookout: Lookout, clock: FakeClock, seconds: float, services: Services) -> None:
    """The lookout looks four times at most, and the clock and web are alive."""
    looks = min(max(int(seconds / 5), 1), 4)
    for _ in range(looks):
        clock.advance(seconds / looks)
        beat(services.database, CLOCK, clock())
        beat(services.database, WEB, clock())
        lookout.step()


def change_gate(services: Services, change: Callable[[Gate], Gate]) -> None:
    with services.database.write() as session:
        store_gate(session, change(lock_gate(session)))


def of_kind(services: Services, kind: IncidentKind) -> IncidentReport:
    (found,) = (one for one in incidents(services) if one.kind == kind)
    return found


def test_finding_begins_and_ends_after_a_clock_was_set_back(clock: FakeClock) -> None:
    sightings, finding = Sightings(), Finding(IncidentKind.SQL_AWAY, "x")
    sightings.note([finding], clock() + timedelta(days=3650))
    for seconds in (0, 600):
        sightings.note([finding], clock() + timedelta(seconds=seconds))
    assert sightings.lasts(finding, clock() + timedelta(seconds=600))
    sightings.note([finding], clock() + timedelta(days=3650))
    assert sightings.is_over(finding.name, 60, clock()) is None
    assert sightings.is_over(finding.name, 60, clock() + timedelta(seconds=60)) == clock()


def test_pause_is_an_incident_with_what_it_held_up_and_what_came_of_it(
    services: Services, lookout: Lookout, clock: FakeClock
) -> None:
    database = services.database
    began_at = clock()
    seed(
        database,
        "old",
        "failed",
        failure=WALLET,
        failed_at=began_at - timedelta(days=3),
        received_at=began_at - timedelta(days=3),
    )
    change_gate(services, lambda gate: pause(gate, Blame.PROOF, OUTAGE, began_at, clock(), Limits()))
    look(lookout, clock, 5, services)
    found = of_kind(services, IncidentKind.PROOF_PAUSED)
    assert (found.state, found.severity, found.began_at) == ("open", "warning", began_at)
    assert found.cause == "Proof cannot serve us: 503 upstream_unavailable."
    waiting = [delivery_rows(f"t{number}", received_at=clock()) for number in range(36)]
    seed_all(database, waiting)
    look(lookout, clock, 230, services)
    assert (
        of_kind(services, IncidentKind.PROOF_PAUSED).outcome
        == "36 payments waited, up to 4 min; 0 reconciled, 36 still waiting; none is lost."
    )
    change_gate(services, lambda gate: resume(gate, clock()))
    look(lookout, clock, 5, services)
    over = of_kind(services, IncidentKind.PROOF_PAUSED)
    assert (over.state, over.ended_at, over.lasted) == ("resolved", clock(), "4 min")
    assert over.held_waiting == 36, "they are not reconciled yet"
    with database.write() as session:
        give_up = "UPDATE reconciliations SET state = 'failed', next_attempt_at = NULL"
        session.execute(text("UPDATE events SET delivery = 'failed' WHERE merchant_transaction_id = 't0'"))
        session.execute(text(f"{give_up} WHERE merchant_transaction_id = 't0'"))
    settle(database, clock, "t0")
    look(lookout, clock, 20, services)
    told = of_kind(services, IncidentKind.PROOF_PAUSED)
    assert told.outcome == (
        "36 payments waited, up to 4 min; 35 reconciled, 1 failed, shown under Deliveries, waiting for a person; "
        "none is lost."
    )
    look(lookout, clock, 60, services)
    assert [one.kind for one in incidents(services)] == ["proof_paused"]


def test_pause_right_after_another_is_an_incident_of_its_own_time(
    services: Services, lookout: Lookout, clock: FakeClock
) -> None:
    """The gate still tells when the first one began: what backed off because of it was not brought forward yet."""
    change_gate(services, lambda gate: pause(gate, Blame.PROOF, OUTAGE, clock(), clock(), Limits()))
    look(lookout, clock, 60, services)
    change_gate(services, lambda gate: resume(gate, clock()))
    look(lookout, clock, 5, services)
    again_at = clock()
    change_gate(services, lambda gate: pause(gate, Blame.PROOF, OUTAGE, again_at, again_at, Limits()))
    look(lookout, clock, 5, services)
    (told,) = (one for one in incidents(services) if one.ended_at is None)
    assert (told.kind, told.began_at) == ("proof_paused", again_at)


def settle(database: Database, clock: FakeClock, *but: str) -> None:
    with database.write() as session:
        waiting = Event.settled_at.is_(None), Event.merchant_transaction_id.not_in([*but, "old"])
        for event in session.scalars(select(Event).where(*waiting)):
            event.settled_at, event.delivery = clock(), "succeeded"


def test_process_that_was_started_again_is_an_incident_that_is_over(
    services: Services, lookout: Lookout, clock: FakeClock
) -> None:
    log = RelapseLog(services.settings.data_dir / "incidents", clock)
    log.note(Relapse("web", 3, "signal SIGKILL", seconds_away=7.0, seconds_back=30.0))
    log.note(Relapse("redis", 1, "exit code 1", seconds_away=1.0, seconds_back=30.0))
    look(lookout, clock, 5, services)
    by_key = {one.key: one for one in incidents(services)}
    assert by_key["web"].cause == "The process web ended 3 times in a row, signal SIGKILL, and was started again."
    assert by_key["redis"].cause == "The process redis ended, exit code 1, and was started again."
    assert {(one.kind, one.state) for one in by_key.values()} == {("process_restarted", "resolved")}
    assert by_key["web"].lasted == "7 s"


def test_refused_token_needs_a_person_at_once(services: Services, lookout: Lookout, clock: FakeClock) -> None:
    change_gate(services, lambda gate: pause(gate, Blame.CONFIGURATION, TOKEN, clock(), clock(), Limits()))
    look(lookout, clock, 5, services)
    found = of_kind(services, IncidentKind.PROOF_PAUSED)
    assert (found.severity, found.key) == ("critical", "configuration")
    assert "401 unauthorised/invalid_token" in found.cause


def test_burst_of_one_failure_is_one_incident_and_ends_when_it_is_quiet(
    services: Services, lookout: Lookout, clock: FakeClock
) -> None:
    for number in range(12):
        id = seed(services.database, f"t{number}", "retrying")
        attempt(services.database, id, clock(), http_status=400, error="wallet_not_supported", code="W")
    look(lookout, clock, 10, services)
    found = of_kind(services, IncidentKind.FAILURE_BURST)
    assert found.key == "wallet_not_supported/W"
    look(lookout, clock, 900, services)
    assert [one.state for one in incidents(services)] == ["resolved"]


def test_worker_that_died_with_work_is_an_incident_that_ends_by_itself(
    services: Services, lookout: Lookout, clock: FakeClock
) -> None:
    id = seed(services.database, "t", "retrying")
    attempt(services.database, id, clock(), error="worker_died", code="lease_expired")
    look(lookout, clock, 5, services)
    assert (
        of_kind(services, IncidentKind.WORKER_DIED).cause
        == "A worker died or hung; 1 payment in its hands went on later."
    )
    look(lookout, clock, 180, services)
    assert [one.state for one in incidents(services)] == ["resolved"]


def test_silence_of_the_clock_is_found_by_web_and_that_of_web_by_the_clock(
    services: Services, lookout: Lookout, clock: FakeClock
) -> None:
    web = open_lookout(services, is_web=True)
    beat(services.database, CLOCK, clock())
    last_at = clock()
    for _ in range(4):
        clock.advance(5)
        web.step()
    found = of_kind(services, IncidentKind.CLOCK_SILENT)
    assert (found.began_at, found.severity) == (last_at, "critical")
    beat(services.database, CLOCK, clock())
    web.step()
    assert of_kind(services, IncidentKind.CLOCK_SILENT).ended_at == clock()
    for _ in range(6):  # web is silent now
        clock.advance(5)
        beat(services.database, CLOCK, clock())
        lookout.step()
    assert of_kind(services, IncidentKind.WEB_SILENT).state == "open"


def test_webhooks_that_stop_while_payments_change_are_a_silent_channel(
    services: Services, lookout: Lookout, clock: FakeClock
) -> None:
    database, ids = services.database, [f"t{number}" for number in range(6)]
    for id in ids:
        report_and_answer(database, clock, confirmed(Status.PROCESSING, clock(), id=id), id=id)
    look(lookout, clock, 3600, services)
    assert incidents(services) == [], "nothing changes, so nothing is missed"
    for id in ids:
        answer(database, clock, claim(database, clock, id), confirmed(Status.COMPLETED, clock(), id=id))
    look(lookout, clock, 5, services)
    assert (of_kind(services, IncidentKind.CHANNEL_SILENT).key, incidents(services)[0].state) == ("webhook", "open")
    report(database, "t0", clock(), updated_at=clock())
    look(lookout, clock, 5, services)
    assert of_kind(services, IncidentKind.CHANNEL_SILENT).state == "resolved"


def test_clock_that_comes_after_a_night_tells_that_none_ran(services: Services, clock: FakeClock) -> None:
    beat(services.database, CLOCK, clock())
    last_at = clock()
    clock.advance(30)
    open_lookout(services).note_absence()
    assert incidents(services) == [], "a mere restart"
    clock.advance(8 * 3600)
    open_lookout(services).note_absence()
    found = of_kind(services, IncidentKind.CLOCK_SILENT)
    assert (found.began_at, found.ended_at) == (last_at, clock())


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # a file that is away is away at once
def test_night_without_a_clock_is_told_though_sql_comes_later_than_the_clock(
    services: Services, clock: FakeClock, tmp_path: Path
) -> None:
    beat(services.database, CLOCK, clock())
    fell_asleep_at = clock()
    clock.advance(8 * 3600)
    woke_at = clock()
    early = open_lookout(replace(services, database=Database(f"sqlite:///{tmp_path}")))
    early.step()
    assert not early.note_absence()
    clock.advance(120)
    assert open_lookout(services).note_absence()
    told = {one.kind: (one.began_at, one.ended_at) for one in incidents(services)}
    assert told == {"clock_silent": (fell_asleep_at, woke_at), "sql_away": (woke_at, clock())}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # a file that is away is away at once
def test_sql_that_is_away_goes_by_the_data_folder_and_is_entered_later(
    services: Services, clock: FakeClock, tmp_path: Path
) -> None:
    away = replace(services, database=Database(f"sqlite:///{tmp_path}"))
    began_at = clock()
    for lost in (open_lookout(away), open_lookout(away, is_web=True), open_lookout(away)):  # any process, also anew
        clock.advance(5)
        lost.step()
    (entry,) = IncidentJournal(services.settings.data_dir / "incidents").read()
    assert (entry.kind, entry.began_at) == ("sql_away", began_at + timedelta(seconds=5))
    clock.advance(20)
    open_lookout(services, is_web=True).step()
    found = of_kind(services, IncidentKind.SQL_AWAY)
    assert (found.began_at, found.ended_at, found.state) == (entry.began_at, clock(), "resolved")
    assert IncidentJournal(services.settings.data_dir / "incidents").read() == []


def test_sql_that_was_away_makes_nobody_silent(services: Services, lookout: Lookout, clock: FakeClock) -> None:
    web = open_lookout(services, is_web=True)
    look(lookout, clock, 5, services)
    with services.database.write() as session:
        session.execute(text("ALTER TABLE heartbeats RENAME TO taken_away"))
    for _ in range(8):
        clock.advance(5)
        lookout.step()
        web.step()
    with services.database.write() as session:
        session.execute(text("ALTER TABLE taken_away RENAME TO heartbeats"))
    clock.advance(5)
    for one in (lookout, web, lookout):  # no sign of life has been written since
        one.step()
    assert [(one.kind, one.lasted) for one in incidents(services)] == [("sql_away", "40 s")]
    assert open_lookout(services).note_absence()
    assert [one.kind for one in incidents(services)] == ["sql_away"], "the clock ran"
    for _ in range(4):
        clock.advance(5)
        web.step()
    assert of_kind(services, IncidentKind.CLOCK_SILENT).state == "open", "now it is its own"


def test_what_an_outage_of_sql_leaves_behind_is_no_second_incident(
    services: Services, lookout: Lookout, clock: FakeClock
) -> None:
    id = seed(services.database, "t", "retrying")
    enter(services.database, [Entry(IncidentKind.SQL_AWAY, "", "x", clock() - timedelta(minutes=5), clock())], clock())
    attempt(services.database, id, clock(), error="worker_died", code="lease_expired")
    services.spool.append("what waits")
    look(lookout, clock, 60, services)
    assert [one.kind for one in incidents(services)] == ["sql_away"]
    clock.advance(600)
    attempt(services.database, id, clock(), error="worker_died", code="lease_expired")
    look(lookout, clock, 20, services)
    assert {one.kind for one in incidents(services, "open")} == {"worker_died", "spool_used"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what follows is not in SQL
def test_what_the_spool_noted_while_sql_was_away_is_no_second_incident(services: Services, clock: FakeClock) -> None:
    lookout = open_lookout(services)
    began_at = clock() - timedelta(seconds=20)
    services.spool.note_fault(SpoolFault(began_at, "OperationalError", "connection refused", stops_all=True))
    lookout.step()
    assert not incidents(services), "SQL is in reach: the drain has not been round yet"
    clock.advance(10)
    lookout.step()
    assert of_kind(services, IncidentKind.SQL_AWAY).cause == "SQL takes no event: OperationalError."


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what follows is not in SQL
def test_what_is_wrong_around_sql_is_found(services: Services, clock: FakeClock, redis_server: RedisServer) -> None:
    spool = services.spool
    spool.note_fault(SpoolFault(clock(), "OperationalError", "disk full", stops_all=True))
    spool.append("what no release wrote")
    spool.drain(lambda texts: [_unfit() for _ in texts], clock())
    spool.append("what waits")
    full = replace(services, settings=replace(services.settings, spool_max_bytes=2**40))
    dead = replace(full, queues=Queues(connect_redis(f"redis://127.0.0.1:{free_ports(1)[0]}/0")))
    lookout = open_lookout(dead)
    for _ in range(3):
        beat(services.database, CLOCK, clock())
        lookout.step()
        clock.advance(5)
    assert {one.kind for one in incidents(services)} == {"sql_away", "set_aside", "disk_full", "redis_away"}
    spool.note_fault(None)
    lookout = open_lookout(full)
    lookout.step()
    clock.advance(600)  # by then what came while SQL was away is stored
    for _ in range(8):
        beat(services.database, CLOCK, clock())
        lookout.step()
        clock.advance(5)
    still_open = {one.kind for one in incidents(services, "open")}
    assert still_open == {"set_aside", "disk_full", "spool_used"}


def _unfit() -> object:
    from webhook_app.adapters.spool import Fate, Handling

    return Handling(Fate.UNFIT, "damaged")


def test_figures_outlive_the_events(services: Services, lookout: Lookout, clock: FakeClock) -> None:
    for number in range(3):
        report(services.database, f"t{number}", clock(), updated_at=clock())
    look(lookout, clock, 5, services)
    with services.database.write() as session:
        for table in ("events", "attempts"):
            session.execute(text(f"DELETE FROM {table}"))
    look(lookout, clock, 120, services)
    day = timedelta(days=1)
    assert [one.received for one in read_hours(services.database, clock() - day, clock() + day)] == [3]
    assert [one.received for one in read_days(services.database, clock() - day, clock() + day)] == [3]


def test_page_and_api_tell_the_same_to_admin_and_finance(
    services: Services, lookout: Lookout, clock: FakeClock, finance_client: FlaskClient, as_finance: dict[str, str]
) -> None:
    change_gate(services, lambda gate: pause(gate, Blame.CONFIGURATION, TOKEN, clock(), clock(), Limits()))
    look(lookout, clock, 5, services)
    page = finance_client.get("/incidents").text
    assert "Calls to Proof are paused" in page
    assert "Nothing waits yet." in page
    (told,) = finance_client.get("/api/v1/incidents?state=open", headers=as_finance).json["items"]
    assert (told["kind"], told["severity"], told["ended_at"], told["held"]) == ("proof_paused", "critical", None, 0)
    assert finance_client.get("/api/v1/incidents?state=resolved", headers=as_finance).json["items"] == []
    change_gate(services, lambda gate: resume(gate, clock()))
    look(lookout, clock, 5, services)
    assert "The last three days had 1 incident, which is over." in finance_client.get("/").text


@pytest.mark.parametrize("kind", IncidentKind)
def test_every_kind_has_words_and_stands_in_the_docs(kind: IncidentKind) -> None:
    nature = NATURES[kind]
    holds_up = "yes" if nature.holds_up else ""
    row = f"| {nature.name} | `{kind}` | {nature.severity} | {holds_up} | {nature.advice} |"
    assert row in (Path(__file__).parents[2] / "docs" / "incidents.md").read_text().splitlines()
