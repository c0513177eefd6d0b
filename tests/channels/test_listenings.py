"""Leases on WebSocket connections: each topic has one holder; young open transactions have one, and no others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.clock import START, FakeClock
from tests.support.page_text import in_words
from tests.support.rows import confirm, make_known
from tests.support.work import row
from webhook_app.db.database import Database
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Listening
from webhook_app.run.diagnosis import diagnose
from webhook_app.services import Services
from webhook_app.usecases.channels.listenings import Listener, Progress, give_back, take_turn
from webhook_app.usecases.heartbeats import LISTENER, write_beat
from webhook_app.usecases.reconcile.listened import LISTENING_LEASE, find_listened


def listener(name: str, most: int = 10, *, is_by_user: bool = False) -> Listener:
    return Listener(name, most, timedelta(hours=1), is_by_user)


def open_one(database: Database, name: str, **changes: object) -> None:
    later = START + timedelta(minutes=5)
    values = {"state": "watching", "next_attempt_at": later, "created_at": START, **changes}
    make_known(database, name, str(values.pop("state")), **values)


def holders(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {one.topic: one.holder for one in session.scalars(select(Listening))}


def test_young_open_transactions_are_listened_to_and_no_others(database: Database, clock: FakeClock) -> None:
    open_one(database, "young")
    open_one(database, "old", created_at=START - timedelta(hours=2))
    open_one(database, "forged", asked_by="stranger")
    make_known(database, "over", "succeeded", created_at=START)
    make_known(database, "may-be-tried-again", "succeeded", created_at=START, next_attempt_at=START)
    make_known(database, "gave-up", "failed", created_at=START)
    turn = take_turn(database, listener("a"), Progress(), clock())
    assert sorted(turn.claimed) == ["tx:may-be-tried-again", "tx:young"]


def test_several_processes_share_and_none_takes_what_another_holds(database: Database, clock: FakeClock) -> None:
    for number in range(5):
        open_one(database, f"t-{number}", created_at=START + timedelta(seconds=number))
    first = take_turn(database, listener("a", 3), Progress(), clock()).claimed
    second = take_turn(database, listener("b"), Progress(), clock()).claimed
    assert sorted(first) == ["tx:t-2", "tx:t-3", "tx:t-4"], "those that were known last come first"
    assert sorted(second) == ["tx:t-0", "tx:t-1"]
    assert take_turn(database, listener("a", 3), Progress(first), clock()).claimed == ()


def test_a_lease_that_ran_out_is_taken_over_and_its_former_holder_told(database: Database, clock: FakeClock) -> None:
    open_one(database, "t")
    assert take_turn(database, listener("a"), Progress(), clock()).claimed == ("tx:t",)
    clock.advance(LISTENING_LEASE.total_seconds() - 1)
    assert take_turn(database, listener("a"), Progress(["tx:t"]), clock()).over == (), "renewed"
    assert take_turn(database, listener("b"), Progress(), clock()).claimed == ()
    clock.advance(LISTENING_LEASE.total_seconds() + 1)
    assert take_turn(database, listener("b"), Progress(), clock()).claimed == ("tx:t",)
    assert take_turn(database, listener("a"), Progress(["tx:t"]), clock()).over == ("tx:t",)
    assert holders(database) == {"tx:t": "b"}


def test_a_lease_from_before_a_clock_was_set_back_is_kept_by_whoever_lives(
    database: Database, clock: FakeClock
) -> None:
    """Else what a dead process had would be listened to by nobody for as long as the clock was set back, and polled
    less all the same."""
    open_one(database, "t")
    open_one(database, "u")
    (of_dead,) = take_turn(database, listener("dead", 1), Progress(), clock()).claimed
    (of_living,) = take_turn(database, listener("living", 1), Progress(), clock()).claimed
    for name, topic in (("dead", of_dead), ("living", of_living)):
        take_turn(database, listener(name, 1), Progress([topic], [topic]), clock())
    clock.advance(-1800)
    take_turn(database, listener("living", 1), Progress([of_living]), clock())
    with database.read() as session:
        listened = find_listened(session, {"t": None, "u": None}, clock())
    assert listened == {of_living.removeprefix("tx:")}
    assert take_turn(database, listener("other"), Progress(), clock()).claimed == (of_dead,)
    assert holders(database) == {of_living: "living", of_dead: "other"}


def test_what_is_over_is_let_go(database: Database, clock: FakeClock) -> None:
    open_one(database, "t")
    take_turn(database, listener("a"), Progress(), clock())
    clock.advance(3601)
    assert take_turn(database, listener("a"), Progress(["tx:t"]), clock()).over == ("tx:t",)
    assert holders(database) == {}


def test_a_connection_that_stands_anew_brings_the_next_look_forward(database: Database, clock: FakeClock) -> None:
    open_one(database, "t")
    open_one(database, "under-way", claim_token="x", lease_until=START + timedelta(minutes=1))
    open_one(database, "backs-off", state="retrying")
    names = ("t", "under-way", "backs-off")
    claimed = take_turn(database, listener("a"), Progress(), clock()).claimed
    before = {name: row(database, name).next_attempt_at for name in names}
    take_turn(database, listener("a"), Progress(claimed, connected=set(claimed)), clock())
    after = {name: row(database, name).next_attempt_at for name in names}
    assert after == before | {"t": START}


def test_what_goes_wrong_is_kept_until_the_connection_stands(database: Database, clock: FakeClock) -> None:
    open_one(database, "t")
    held = take_turn(database, listener("a"), Progress(), clock()).claimed
    take_turn(database, listener("a"), Progress(held, broken={"tx:t": "Proof answered 401" + "x" * 500}), clock())
    with database.read() as session:
        assert session.scalars(select(Listening.problem)).one()[:18] == "Proof answered 401"
    take_turn(database, listener("a"), Progress(held, connected=set(held)), clock())
    with database.read() as session:
        found = session.scalars(select(Listening)).one()
        assert (found.problem, found.connected_at) == (None, START)


def test_leases_that_are_given_back_are_looked_at_at_once(database: Database, clock: FakeClock) -> None:
    open_one(database, "t")
    held = take_turn(database, listener("a"), Progress(), clock()).claimed
    give_back(database, listener("b"), held, clock())
    assert holders(database) == {"tx:t": "a"}, "it is not the other's to give back"
    give_back(database, listener("a"), held, clock())
    assert holders(database) == {}
    assert row(database, "t").next_attempt_at == START


def test_in_the_older_form_a_user_is_the_topic(database: Database, clock: FakeClock) -> None:
    for name, user in (("a", "u-1"), ("b", "u-1"), ("c", "u-2"), ("d", None)):
        confirm(database, name, "watching", status="pending", partner_user_id=user)
    open_one(database, "never-confirmed")
    by_user = listener("a", is_by_user=True)
    held = take_turn(database, by_user, Progress(), clock()).claimed
    assert sorted(held) == ["user:u-1", "user:u-2"]
    assert take_turn(database, by_user, Progress(held, connected=set(held)), clock()).over == ()
    assert row(database, "b").next_attempt_at == START


def test_doctor_and_overview_tell_of_a_listener_that_is_meant_to_run(
    database: Database, services: Services, clock: FakeClock, request: pytest.FixtureRequest
) -> None:
    clock.now = utc_now()  # doctor has no other
    admin_client: FlaskClient = request.getfixturevalue("admin_client")

    def turn(progress: Progress) -> None:
        clock.now = utc_now()  # what was told before may have taken as long as a lease
        take_turn(database, listener("a"), progress, clock())

    def told() -> tuple[str, str]:
        [doctor] = [one.line for one in diagnose(services.settings) if "websocket" in one.line] or [""]
        return doctor, in_words(admin_client.get("/").text)

    assert told()[0] == "", "nobody has to use it"
    open_one(database, "t", created_at=clock())
    turn(Progress(update_at=clock()))
    turn(Progress(["tx:t"], [], {"tx:t": "Proof answered 401"}))
    doctor, overview = told()
    assert doctor.startswith("! websocket: 0 of 1 connections stand, last update")
    assert "WebSocket: 0 of 1 connections stand, last update" in overview
    assert "Proof answered 401. Polling goes on" in overview
    turn(Progress(["tx:t"], ["tx:t"]))
    assert told()[0].startswith("✓ websocket: 1 of 1 connections stand")
    with database.write() as session:
        write_beat(session, LISTENER, clock() - timedelta(minutes=1))
    doctor, overview = told()
    assert doctor.startswith("! websocket: no listener runs any more")
    assert "No listener runs any more: start webhook-app listen ." in overview
    give_back(database, listener("a"), [], clock())
    assert told()[0] == "", "it was ended in order"
