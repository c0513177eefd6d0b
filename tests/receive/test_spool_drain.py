"""Draining into real SQL: no record holds up another, none is lost, and only what the data cannot be is set aside."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from tests.support.clock import START, FakeClock
from tests.support.events import webhook
from webhook_app.adapters.spool import Spool
from webhook_app.db.database import Database
from webhook_app.models import Event, Receipt, Reconciliation
from webhook_app.models.event import Channel
from webhook_app.usecases.receive import spool_drain
from webhook_app.usecases.receive.ingest import ReportedEvent, RequestOrigin, ingest_event
from webhook_app.usecases.receive.spool_drain import SpoolDrain, SqlRefuses
from webhook_app.usecases.receive.spooled_event import VERSION, decode_event, encode_event
from webhook_app.web.receive.event_schema import parse_event

ORIGIN = RequestOrigin(START, "203.0.113.9", {"User-Agent": "Proof"})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 10_000_000)


@pytest.fixture
def drain(database: Database, spool: Spool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> SpoolDrain:
    """One that looks at what was left each time."""
    monkeypatch.setattr(spool_drain, "_SHORTEST_GAP", 0.0)
    return SpoolDrain(database, spool, clock)


def event(transaction_id: str, **changes: object) -> ReportedEvent:
    return parse_event(json.dumps(webhook(merchant_transaction_id=transaction_id, **changes)).encode())


def record(transaction_id: str, **changes: object) -> str:
    return encode_event(event(transaction_id, **changes), ORIGIN)


def without_status(transaction_id: str) -> str:
    """What the events table refuses: a reported value is missing."""
    fields = json.loads(record(transaction_id))
    fields["event"]["status"] = None
    return json.dumps(fields)


def of_version(version: object, transaction_id: str) -> str:
    return json.dumps(json.loads(record(transaction_id)) | {"version": version})


def fill(spool: Spool, records: Sequence[str]) -> None:
    for one in records:
        spool.append(one)


def ids(database: Database) -> list[str]:
    """In the order in which they were inserted."""
    with database.read() as session:
        return list(session.scalars(select(Event.merchant_transaction_id).order_by(Event.id)))


@pytest.fixture
def refuse(database: Database) -> Iterator[Callable[[str], None]]:
    """From now on the database refuses this transaction, in a way that says nothing of its values; until `mend`."""

    def refuse(transaction_id: str) -> None:
        when = f"NEW.merchant_transaction_id = '{transaction_id}'"
        with database.write() as session:
            if database.is_sqlite:
                does = "BEGIN SELECT RAISE(ABORT, 'nobody knows why'); END"
                session.execute(text(f"CREATE TRIGGER refuses BEFORE INSERT ON events WHEN {when} {does}"))
            else:
                does = "$$ BEGIN RAISE EXCEPTION 'nobody knows why'; END $$"
                session.execute(text(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS {does}"))
                trigger = f"BEFORE INSERT ON events FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
                session.execute(text(f"CREATE TRIGGER refuses {trigger}"))

    yield refuse
    mend(database)


def mend(database: Database) -> None:
    with database.write() as session:
        session.execute(text("DROP TRIGGER IF EXISTS refuses" + ("" if database.is_sqlite else " ON events")))
        if not database.is_sqlite:
            session.execute(text("DROP FUNCTION IF EXISTS refuse"))


def test_batch_is_stored_in_the_order_of_its_keys(drain: SpoolDrain, spool: Spool, database: Database) -> None:
    """So batches of several processes do not lock each other out."""
    names = [f"t-{number * 7 % 40:02}" for number in range(40)]
    fill(spool, [record(name) for name in names])
    assert drain.drain() == 40
    assert ids(database) == sorted(names)


def test_line_that_cannot_be_stored_takes_nobody_with_it(
    drain: SpoolDrain, spool: Spool, database: Database, clock: FakeClock
) -> None:
    clock.advance(3600)
    names = [f"t-{number:03}" for number in range(150)]
    records = [record(name) for name in names]
    records[70] = without_status("t-070")
    records[71] = "not a spooled event"
    records[149] = without_status("t-149")
    fill(spool, records)
    assert drain.drain() == 147
    assert ids(database) == [name for name in names if name not in ("t-070", "t-071", "t-149")]
    found = {aside.line.decode().split(" ", 1)[1].strip(): aside for aside in spool.list_set_aside()}
    assert set(found) == {records[70], records[71], records[149]}
    assert "status" in found[records[70]].reason
    assert found[records[71]].reason == "not a spooled event: no JSON, expecting value"
    assert {aside.at for aside in found.values()} == {START + timedelta(hours=1)}
    assert drain.drain() == 0
    assert spool.depth().set_aside == 3


def test_what_is_stored_beside_copies_that_cannot_be_is_stored_once(
    drain: SpoolDrain, spool: Spool, database: Database
) -> None:
    """The new ones are durable before the copies fail, and are no copies when those are tried again."""
    ingest_event(database, event("known"), ORIGIN)
    fill(spool, [record("new"), record("known"), record("newer")])
    with database.write() as session:
        session.execute(text("ALTER TABLE receipts RENAME TO receipts_away"))
    assert drain.drain() == 2
    assert sorted(ids(database)) == ["known", "new", "newer"]
    with database.write() as session:
        session.execute(text("ALTER TABLE receipts_away RENAME TO receipts"))
    assert drain.drain() == 1
    with database.read() as session:
        copies = select(Event.merchant_transaction_id).join(Receipt, Receipt.event_id == Event.id)
        assert session.scalars(copies).all() == ["known"]


@pytest.mark.parametrize("name", ["ck_events_type", "ck_events_nobody_knows"])
def test_constraint_sets_aside_only_what_it_says_by_its_name(
    drain: SpoolDrain, spool: Spool, database: Database, name: str
) -> None:
    if database.is_sqlite:
        _add_check_on_sqlite(database, name)
    else:
        with database.write() as session:
            session.execute(text(f"ALTER TABLE events ADD CONSTRAINT {name} CHECK (type <> 'odd')"))
    fill(spool, [record("a"), record("b", type="odd"), record("c")])
    assert drain.drain() == 2
    assert ids(database) == ["a", "c"]
    depth = spool.depth()
    assert (depth.lines, depth.set_aside) == ((0, 1) if name == "ck_events_type" else (1, 0))


def _add_check_on_sqlite(database: Database, name: str) -> None:
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        (sql,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'events'").fetchone()
        raw.execute("PRAGMA writable_schema = ON")
        changed = sql.rstrip().removesuffix(")") + f", CONSTRAINT {name} CHECK (type <> 'odd'))"
        raw.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'events'", (changed,))
        raw.execute("PRAGMA writable_schema = RESET")
    database.engine.dispose()


def test_value_that_is_too_long_is_the_datas_fault(drain: SpoolDrain, spool: Spool, database: Database) -> None:
    """SQLite takes any length."""
    fields = json.loads(record("long"))
    fields["event"]["currency"] = "x" * 100
    fill(spool, [record("a"), json.dumps(fields), record("z")])
    assert drain.drain() == (3 if database.is_sqlite else 2)
    assert [aside.reason.count("too long") for aside in spool.list_set_aside()] == ([] if database.is_sqlite else [1])


def test_line_that_is_refused_for_no_reason_of_its_own_waits_and_is_stored_when_that_is_mended(
    drain: SpoolDrain, spool: Spool, database: Database, refuse: Callable[[str], None]
) -> None:
    refuse("t-050")
    fill(spool, [record(f"t-{number:03}") for number in range(120)])
    with capture_logs() as logs:
        assert drain.drain() == 119
        fault = spool.find_fault()
        assert fault is not None
        assert not fault.stops_all
        assert "nobody knows why" in fault.why
        for _ in range(3):
            assert drain.is_due()
            assert drain.drain() == 0
    assert [line["log_level"] for line in logs] == ["error"], "it is said once"
    depth = spool.depth()
    assert (depth.lines, depth.set_aside) == (1, 0)
    spool.append(record("new"))
    assert drain.drain() == 1
    mend(database)
    assert drain.drain() == 1
    assert {"new", "t-050"} <= set(ids(database))
    assert spool.find_fault() is None
    assert not drain.is_due()


def test_what_is_left_is_looked_at_in_growing_gaps(
    database: Database,
    spool: Spool,
    clock: FakeClock,
    refuse: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = [0.0]
    monkeypatch.setattr(spool_drain.time, "monotonic", lambda: moments[-1])
    drain = SpoolDrain(database, spool, clock)
    refuse("never")
    spool.append(record("never"))
    tried = []
    for tick in range(1, 120):  # half a minute, four times a second
        moments.append(tick / 4)
        if drain.is_due():
            drain.drain()
            tried.append(moments[-1])
    gaps = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert gaps == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0]


def test_line_that_found_no_room_to_be_set_aside_is_set_aside_when_there_is_room(
    database: Database, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = [0.0]
    monkeypatch.setattr(spool_drain.time, "monotonic", lambda: moments[-1])
    measured = Spool(tmp_path / "measured", 10_000_000)
    measured.append(without_status("bad-0"))
    line_size = measured.depth().size
    SpoolDrain(database, measured, clock).drain()
    spool = Spool(tmp_path / "spool", 2 * line_size + measured.depth().size)  # for one that is set aside, and not two
    drain = SpoolDrain(database, spool, clock)
    fill(spool, [without_status("bad-1"), without_status("bad-2")])

    def look_for(seconds: int) -> list[float]:
        tried = []
        for _ in range(seconds * 4):
            moments.append(moments[-1] + 0.25)
            if drain.is_due():
                drain.drain()
                tried.append(moments[-1])
        return tried

    with capture_logs() as logs:
        tried = look_for(30)
        assert [later - earlier for earlier, later in itertools.pairwise(tried)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0]
        assert (spool.depth().lines, spool.depth().set_aside) == (1, 1)
        fault = spool.find_fault()
        assert fault is not None
        assert "no room to set aside" in fault.why
        spool.discard([one.id for one in spool.list_set_aside()])
        look_for(11)
    assert (spool.depth().lines, spool.depth().set_aside) == (0, 1)
    assert (spool.find_fault(), drain.is_due()) == (None, False)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "line of the spool set aside",
        "spooled events are left for later",
        "line of the spool set aside",
    ], "what is wrong is said once"


def test_what_is_held_is_gone_through_beside_what_a_process_that_died_has_left(
    database: Database, spool: Spool, clock: FakeClock, tmp_path: Path
) -> None:
    fill(spool, [record("held")])
    (tmp_path / "spool" / "incoming.spool").rename(tmp_path / "spool" / "held.spool")
    fill(spool, [of_version(VERSION + 1, "later")])
    (tmp_path / "spool" / "incoming.spool").rename(tmp_path / "spool" / "draining.spool")
    drain = SpoolDrain(database, spool, clock)
    assert drain.drain() == 1
    assert ids(database) == ["held"]


def test_line_of_a_later_release_is_left_for_it_and_holds_up_nobody(
    database: Database, spool: Spool, clock: FakeClock
) -> None:
    later = of_version(VERSION + 1, "later")
    fill(spool, [record("a"), later, record("b")])
    drain = SpoolDrain(database, spool, clock)
    with capture_logs() as logs:
        assert drain.drain() == 2
        assert ids(database) == ["a", "b"]
        assert drain.drain() == 0
        spool.append(record("c"))
        assert drain.drain() == 1
        assert drain.drain() == 0
    assert not drain.is_due(), "this process cannot read it, however often it looks"
    assert [line["log_level"] for line in logs] == ["error"], "it is said once"
    depth = spool.depth()
    assert (depth.lines, depth.set_aside) == (1, 0)
    fault = spool.find_fault()
    assert fault is not None
    assert "later release" in fault.why


def test_process_of_a_later_release_takes_what_an_earlier_one_left(
    database: Database, spool: Spool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(of_version(VERSION + 1, "later"))
    SpoolDrain(database, spool, clock).drain()
    monkeypatch.setattr(
        "webhook_app.usecases.receive.spooled_event._READERS", {VERSION + 1: lambda _: (event("later"), ORIGIN)}
    )
    newer = SpoolDrain(database, spool, clock)
    assert newer.is_due()
    assert newer.drain() == 1
    assert ids(database) == ["later"]
    assert spool.find_fault() is None


#: A line as the first release wrote it, and as version 1 stays.
FIRST_RELEASE = (
    '{"event":{"merchant_transaction_id":"old","status":"completed","updated_at":"2026-04-01T10:03:45+00:00",'
    '"updated_at_key":"2026-04-01T10:03:45.000000+00:00","type":"buy","currency":"USDT","network":"TRC20",'
    '"crypto_amount":"99.50","fiat_currency":"EUR","fiat_amount":"100.00","created_at":"2026-04-01T10:00:00+00:00",'
    '"warnings":["status: odd"],"body":"eyJhIjogMX0=","channel":"webhook"},'
    '"request":{"received_at":"2026-04-01T12:00:00+00:00","remote_addr":"203.0.113.9",'
    '"headers":{"User-Agent":"Proof"}}}'
)


def test_line_of_the_first_release_is_read(drain: SpoolDrain, spool: Spool, database: Database) -> None:
    spool.append(FIRST_RELEASE)
    assert drain.drain() == 1
    assert ids(database) == ["old"]
    with database.read() as session:
        stored = session.scalars(select(Event)).one()
    assert (stored.body, stored.warnings, stored.received_at) == (b'{"a": 1}', ["status: odd"], START)
    assert str(stored.crypto_amount) == "99.50"


def test_line_that_is_written_says_its_version_and_what_it_holds() -> None:
    """Whoever changes what a line holds counts VERSION up, adds a reader, and changes this test."""
    assert VERSION == 4
    written = json.loads(encode_event(*decode_event(FIRST_RELEASE)))
    first = json.loads(FIRST_RELEASE)
    assert written == first | {"version": 2, "request": first["request"] | {"is_vouched": True}}
    heard = replace(event("x"), channel=Channel.WEBSOCKET)
    assert json.loads(encode_event(heard, ORIGIN))["version"] == VERSION, "a release before does not know the channel"
    assert decode_event(encode_event(heard, ORIGIN))[0].channel is Channel.WEBSOCKET


@pytest.mark.parametrize("is_vouched", [True, False])
def test_what_vouches_for_a_sender_comes_back(is_vouched: bool) -> None:
    origin = RequestOrigin(START, None, {}, is_vouched)
    assert decode_event(encode_event(event("x"), origin))[1] == origin


@pytest.mark.parametrize("says", ["", '"version":1,'])
def test_sender_of_the_first_version_counts_as_vouched_for(says: str) -> None:
    """As its rows do: that release has told nobody."""
    assert decode_event(FIRST_RELEASE.replace("{", "{" + says, 1))[1].is_vouched is True


@pytest.mark.parametrize("version", ["2", -1, 0, None, [], 1.5])
def test_version_that_is_none_is_set_aside(drain: SpoolDrain, spool: Spool, version: object) -> None:
    spool.append(of_version(version, "x"))
    assert drain.drain() == 0
    assert spool.depth().set_aside == 1


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("event", "created_at", "2026-04-01T12:00:00"),
        ("request", "received_at", "2026-04-01T12:00:00"),
        ("event", "fiat_amount", "NaN"),
        ("event", "body", "no base64"),
        ("event", "channel", "pigeon"),
        ("event", "unheard_of", 1),
        ("request", "is_vouched", 1),
    ],
)
def test_field_that_no_release_has_written_makes_a_line_unreadable(part: str, field: str, value: object) -> None:
    fields = json.loads(record("x"))
    fields[part][field] = value
    with pytest.raises(ValueError):
        decode_event(json.dumps(fields))


def test_database_that_takes_no_sound_event_costs_no_line(drain: SpoolDrain, spool: Spool, database: Database) -> None:
    """Not even one that cannot be stored: it is judged when a sound one is taken."""
    fill(spool, [record("a"), without_status("bad"), record("b")])
    with database.write() as session:
        session.execute(text("ALTER TABLE events RENAME TO elsewhere"))
    with pytest.raises(SqlRefuses, match="events"):
        drain.check_sql()
    with pytest.raises(SqlRefuses, match="events"):
        drain.drain()
    depth = spool.depth()
    assert (depth.lines, depth.set_aside) == (3, 0)
    with database.write() as session:
        session.execute(text("ALTER TABLE elsewhere RENAME TO events"))
    drain.check_sql()
    assert drain.drain() == 2
    assert ids(database) == ["a", "b"]
    assert spool.depth().set_aside == 1


def test_check_of_sql_leaves_nothing_behind(drain: SpoolDrain, database: Database) -> None:
    drain.check_sql()
    with database.read() as session:
        for table in (Event, Receipt, Reconciliation):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_fault_of_sql_is_noted_with_its_beginning_and_cleared_when_it_is_over(
    drain: SpoolDrain, spool: Spool, clock: FakeClock
) -> None:
    drain.note_refusal(SqlRefuses(OSError("the disk is full")))
    clock.advance(60)
    drain.note_refusal(SqlRefuses(OSError("the disk is still full")))
    fault = spool.find_fault()
    assert fault is not None
    assert (fault.since, fault.why, fault.stops_all) == (START, "the disk is full", True)
    assert drain.is_due(), "another process may have noted it and died"
    drain.drain()
    assert spool.find_fault() is None
    assert not drain.is_due()
