"""Webhooks that stop while payments go on are noticed, with since when and how many."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import insert

from tests.support.clock import START, FakeClock
from tests.support.rows import confirm
from tests.support.work import report
from webhook_app.adapters.incident_journal import Entry
from webhook_app.adapters.spool import Fate, Handling
from webhook_app.db.database import Database
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.silence import ALL, ENOUGH, OTHERS, SeenChange, find_silences
from webhook_app.models import HistoryEntry
from webhook_app.services import Services
from webhook_app.usecases.incidents.detectors import channel_silent
from webhook_app.usecases.incidents.finding import Look, Surroundings
from webhook_app.usecases.incidents.lookout import enter
from webhook_app.usecases.receive.ingest import RequestOrigin, ingest_event
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.web.receive.event_schema import parse_event


def seen(pattern: str) -> list[SeenChange]:
    """`B` and `U` are changes of two pairs that a webhook told, `b` and `u` such that none did."""
    return [
        SeenChange(letter.upper(), START + timedelta(seconds=number), letter.isupper())
        for number, letter in enumerate(pattern)
    ]


def silent(pattern: str, going_on: str = "") -> list[tuple[str, int, int]]:
    """Of each silence the pair, since which second, and how many changes."""
    found = find_silences(seen(pattern), [ALL if one == "*" else one for one in going_on])
    return [(one.pair, int((one.since - START).total_seconds()), one.changes) for one in found]


def test_a_pair_is_silent_after_many_changes_without_a_webhook() -> None:
    assert silent("BU" + "bU" * (ENOUGH - 1)) == []
    assert silent("BU" + "bU" * ENOUGH) == [("B", 0, ENOUGH)]


def test_where_all_are_silent_no_pair_is_named_but_one_that_was_so_before() -> None:
    assert silent("BU" + "bu" * 6) == [(ALL, 1, 12)]
    assert silent("BU" + "bU" * ENOUGH + "u" * ENOUGH) == [(ALL, 21, ENOUGH), ("B", 0, ENOUGH)]
    assert silent("b" * 50) == [], "who gets none at all misses none"
    assert silent("") == []


def test_a_silence_lasts_until_a_webhook_tells_of_a_change_again() -> None:
    assert silent("U" * 5 + "b", "B") == [("B", 5, 1)], "its begin is long ago"
    assert silent("U" * 5 + "bB", "B") == []
    assert silent("bu" * 3, "*") == [(ALL, 0, 6)]
    assert silent("BU" + "bu" * 12 + "U" * (OTHERS - 2), "*") == [], "the others may only have been quicker"
    assert silent("BU" + "bu" * 12 + "U" * (OTHERS - 1), "") == [("B", 0, 12)]


def test_the_detector_reads_it_from_what_is_confirmed(database: Database, services: Services, clock: FakeClock) -> None:
    confirm(database, "a", currency="BTC", network="BTC", status="completed")
    for number in range(ENOUGH + 1):
        at = START + timedelta(seconds=number)
        row = {"merchant_transaction_id": "a", "status": "processing", "updated_at": at, "recorded_at": at}
        with database.write() as session:
            session.execute(insert(HistoryEntry).values(row))
        if number == 0:
            body = {"merchant_transaction_id": "a", "status": "processing", "updated_at": at.isoformat()}
            event = parse_event(json.dumps(body).encode())
            ingest_event(database, event, RequestOrigin(at, None, {}, is_vouched=True))

    def look() -> list[str]:
        with database.read() as session:
            around = Surroundings(services.spool.depth(), None, None, 0)
            return [one.cause for one in channel_silent.find(Look(session, clock(), read_gate(session), around, START))]

    assert look() == [], "their webhooks may still come"
    clock.advance(600)
    stopped = ["Webhooks stopped at 2026-04-01T12:00:00Z; 10 changes since came without one."]
    assert look() == stopped
    services.spool.append("a webhook that SQL has not taken yet")
    assert look() == [], "theirs may be in the spool"
    services.spool.drain(lambda texts: [Handling(Fate.TAKEN) for _ in texts], clock())
    assert look() == stopped
    confirm(database, "b", currency="USDT", network="TRC20", status="completed")
    for number in range(OTHERS):
        at = START + timedelta(seconds=30 + number)
        row = {"merchant_transaction_id": "b", "status": "completed", "updated_at": at, "recorded_at": at}
        with database.write() as session:
            session.execute(insert(HistoryEntry).values(row))
        body = {"merchant_transaction_id": "b", "status": "completed", "updated_at": at.isoformat()}
        ingest_event(database, parse_event(json.dumps(body).encode()), RequestOrigin(at, None, {}, is_vouched=True))
    assert look() == ["Webhooks for BTC/BTC stopped at 2026-04-01T12:00:00Z; 10 changes since came without one."]


@pytest.mark.parametrize("with_incident", [False, True])
def test_what_changed_while_we_were_down_ourselves_is_no_silence(
    database: Database, services: Services, clock: FakeClock, with_incident: bool
) -> None:
    down = Entry(IncidentKind.CLOCK_SILENT, "", "no clock ran", START, START + timedelta(hours=1))
    report(database, "a", START - timedelta(hours=1), updated_at=START)
    clock.advance(3600)
    for number in range(ENOUGH + 1):
        confirm(database, f"t{number}", status="completed")
        row = {"merchant_transaction_id": f"t{number}", "status": "completed"}
        times = {"updated_at": START + timedelta(minutes=number), "recorded_at": clock()}
        with database.write() as session:
            session.execute(insert(HistoryEntry).values(row | times))
    if with_incident:
        enter(database, [down], clock())
    clock.advance(180)
    with database.read() as session:
        around = Surroundings(services.spool.depth(), None, None, 0)
        found = list(channel_silent.find(Look(session, clock(), read_gate(session), around, START)))
    assert [one.key for one in found] == ([] if with_incident else ["webhook"])
