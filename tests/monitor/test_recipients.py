"""Who is told the end of an incident: who was told its begin, or would have been; nobody whose address came later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.support.clock import FakeClock
from tests.support.notified import HttpSink
from webhook_app.adapters.incident_journal import IncidentJournal
from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.domain.incidents import IncidentKind
from webhook_app.models import Incident, Recipient
from webhook_app.services import Services, open_courier, open_lookout
from webhook_app.usecases.heartbeats import CLOCK, WEB, beat
from webhook_app.usecases.incidents.finding import Finding
from webhook_app.usecases.incidents.register import begin, end
from webhook_app.usecases.notifications.courier import Courier
from webhook_app.usecases.notifications.recipients import read_recipients

BEGUN, REMINDER, ENDED = "incident.begun", "incident.reminder", "incident.ended"


@pytest.fixture
def told() -> Iterator[HttpSink]:
    with HttpSink().running() as sink:
        yield sink


def configured(services: Services, told: HttpSink, *names: str, quiet: str = "") -> Services:
    """With `hook`, `slack` or both, of which each has a path of its own."""
    settings = replace(
        services.settings,
        notify_webhook_url=f"{told.url}/hook" if "hook" in names else None,
        notify_webhook_secret="whsec_" + "QUFB" * 8 if "hook" in names else None,
        notify_slack_url=f"{told.url}/slack" if "slack" in names else None,
        notify_allow_private=True,
        notify_kinds=("failure_burst", "sql_away", "disk_full"),
    )
    if quiet:
        settings = replace(settings, notify_quiet_hours=load_settings({"NOTIFY_QUIET_HOURS": quiet}).notify_quiet_hours)
    return replace(services, settings=settings)


def start(services: Services) -> Courier:
    """As the clock does at its start."""
    courier = open_courier(services)
    courier.note_recipients()
    return courier


def burst(services: Services, clock: FakeClock) -> int:
    with services.database.write() as session:
        id = begin(session, Finding(IncidentKind.FAILURE_BURST, "many"), clock())
    assert id is not None
    return id


def over(services: Services, id: int, clock: FakeClock) -> None:
    with services.database.write() as session:
        end(session, id, clock())


def on(courier: Courier, clock: FakeClock, seconds: float = 120) -> None:
    for _ in range(3):  # one change of an incident goes out after the other
        clock.advance(seconds / 3)
        courier.step()


def changes(told: HttpSink, name: str) -> Sequence[str]:
    if name == "hook":
        return [one["type"] for one in told.bodies("/hook")]
    titles = [json.dumps(one).partition("Over: ") for one in told.bodies("/slack")]
    return [ENDED if found else BEGUN for _, found, _ in titles]


def test_who_is_configured_for_the_first_time_is_not_told_the_end_of_what_is_over(
    services: Services, told: HttpSink, clock: FakeClock
) -> None:
    """All that was over within 14 hours was told, with one word each."""
    nobody = start(configured(services, told))
    id = burst(services, clock)
    clock.advance(3600)
    over(services, id, clock)
    on(nobody, clock)
    courier = start(configured(services, told, "hook"))
    on(courier, clock)
    assert changes(told, "hook") == []
    id = burst(services, clock)
    on(courier, clock)
    over(services, id, clock)
    on(courier, clock)
    assert changes(told, "hook") == [BEGUN, ENDED]


def test_who_comes_while_an_incident_lasts_is_told_of_its_begin_and_of_its_end(
    services: Services, told: HttpSink, clock: FakeClock
) -> None:
    courier = start(configured(services, told, "hook"))
    id = burst(services, clock)
    on(courier, clock)
    courier = start(configured(services, told, "hook", "slack"))
    on(courier, clock)
    assert (changes(told, "hook"), changes(told, "slack")) == ([BEGUN], [BEGUN])
    over(services, id, clock)
    on(courier, clock)
    assert (changes(told, "hook"), changes(told, "slack")) == ([BEGUN, ENDED], [BEGUN, ENDED])


def test_who_was_there_in_quiet_hours_is_told_with_one_word_and_who_came_after_the_end_is_not(
    services: Services, told: HttpSink, clock: FakeClock
) -> None:
    clock.advance(11 * 3600)  # 23:00
    start(configured(services, told, "hook", quiet="22:00-07:00"))
    id = burst(services, clock)
    clock.advance(3600)
    over(services, id, clock)
    clock.advance(3600)
    courier = start(configured(services, told, "hook", "slack", quiet="22:00-07:00"))
    on(courier, clock)
    assert changes(told, "hook") == []
    on(courier, clock, 9 * 3600)
    assert (changes(told, "hook"), changes(told, "slack")) == ([ENDED], [])


def test_who_was_taken_away_begins_anew(services: Services, told: HttpSink, clock: FakeClock) -> None:
    start(configured(services, told, "hook", "slack"))
    clock.advance(60)
    start(configured(services, told, "hook"))
    web = open_courier(configured(services, told), is_web=True)
    web.note_recipients()  # of a configuration that is older, or newer, than the clock's
    with services.database.read() as session:
        assert read_recipients(session).keys() == {"webhook"}
    clock.advance(60)
    start(configured(services, told))
    with services.database.read() as session:
        assert session.scalars(select(Recipient)).all() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # a file that is away is away at once
def test_long_absence_of_sql_is_reminded_of_out_of_the_data_folder(
    services: Services, told: HttpSink, clock: FakeClock, tmp_path: Path
) -> None:
    """Nobody heard of it again after the first notice."""
    beat(services.database, CLOCK, clock())
    beat(services.database, WEB, clock())
    there = configured(services, told, "hook", "slack")
    away = replace(there, database=Database(f"sqlite:///{tmp_path}"))
    look, couriers = open_lookout(away), [open_courier(away), open_courier(away, is_web=True)]

    def pass_hours(hours: float) -> None:
        for _ in range(int(hours * 4)):
            clock.advance(15 * 60)
            look.step()
            for courier in couriers:
                courier.step()

    pass_hours(1)
    assert changes(told, "hook") == [BEGUN]
    pass_hours(8)
    assert changes(told, "hook") == [BEGUN, REMINDER, REMINDER]
    assert len({headers["webhook-id"] for path, headers, _ in told.requests if path == "/hook"}) == 3
    assert len(told.bodies("/slack")) == 3
    told.status = 500
    pass_hours(4)
    told.status = 204
    pass_hours(1)
    assert changes(told, "hook")[-1] == REMINDER, "one that fails is tried again"
    look, courier = open_lookout(there), open_courier(there)
    for _ in range(4):
        clock.advance(40)
        beat(services.database, CLOCK, clock())
        beat(services.database, WEB, clock())
        look.step()
        courier.step()
    assert changes(told, "hook")[-1] == ENDED
    with services.database.read() as session:
        (incident,) = session.scalars(select(Incident).where(Incident.kind == "sql_away"))
    assert incident.told_at is not None


def test_journal_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    at = "2026-04-01T12:00:00+00:00"
    entry = {"kind": "sql_away", "key": "", "cause": "x", "began_at": at, "ended_at": None, "told": ["mail"]}
    (tmp_path / "journal.json").write_text(json.dumps([entry]))
    (found,) = IncidentJournal(tmp_path).read()
    assert dict(found.told) == {"mail": found.began_at}
    IncidentJournal(tmp_path).note_told(found, "slack", found.began_at + timedelta(hours=1))
    (found,) = IncidentJournal(tmp_path).read()
    assert dict(found.told) == {"mail": found.began_at, "slack": found.began_at + timedelta(hours=1)}
