"""Every request under `/webhooks/` leaves a trace: "did Proof call us at all?" Repeats are one row with a count."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tests.support.clock import START, FakeClock
from tests.support.events import webhook
from tests.support.listening import listening
from tests.support.rejections import kept_rejections
from tests.support.uncounted import Uncounted
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.models import Event, Rejection
from webhook_app.services import Services
from webhook_app.usecases.receive import rejections
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.rejections import MAX_REJECTED_BODY, MAX_REJECTIONS, RefusedRequest, Rejections

URL = "/webhooks/proof"
SECRET = "the-only-secret"

Start = Callable[..., FlaskClient]


@pytest.fixture
def start(services: Services) -> Start:
    """A client of an application that is configured so."""

    def start(**variables: str) -> FlaskClient:
        read = load_settings(variables)
        settings = replace(
            services.settings,
            webhook_secrets=read.webhook_secrets,
            webhook_allowed_networks=read.webhook_allowed_networks,
            trusted_proxy_hops=read.trusted_proxy_hops,
        )
        return create_app(replace(services, settings=settings)).test_client()

    return start


def test_wrong_method_and_wrong_path_leave_a_trace(client: FlaskClient, services: Services) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND"):
        answer = client.open(URL, method=method, data=b"private" if method != "HEAD" else None)
        assert answer.status_code == 405
    (kept,) = kept_rejections(services)
    assert (kept.http_status, kept.code, kept.count) == (405, "method_not_allowed", 6)
    assert (kept.method, kept.path) == ("GET", URL)
    assert "GET is not taken here, only POST" in kept.message
    paths = ["/webhooks", "/webhooks/", "/webhooks/prove", "/Webhooks/Proof", "/webhooks/proof/a/b", "/webhooks//x"]
    for path in paths:
        assert client.post(path, json=webhook()).status_code == 404
    kept = kept_rejections(services)[-1]
    assert (kept.http_status, kept.code, kept.count) == (404, "not_found", len(paths))
    assert {row.body for row in kept_rejections(services)} == {b""}


def test_trace_of_a_refused_sender_has_no_body_and_never_the_secret_that_was_tried(
    start: Start, services: Services, clock: FakeClock
) -> None:
    client = start(PROOF_WEBHOOK_SECRETS=SECRET)
    tried = ["guess-one", f"{SECRET}x", "g", SECRET.upper(), "secret/with/parts", "%3Cb%3E"]
    paths = [f"{URL}/{secret}" for secret in tried] + [f"/webhooks/{SECRET}", f"/webhooks/prooof/{SECRET}"]
    for path in paths:
        answer = client.post(path + "?token=query-secret", data=b"private body", headers={"Referer": SECRET})
        assert answer.status_code == 404
        assert answer.json["message"] == "There is nothing here." or path not in paths[:4]
        clock.advance(60)
    client.get(f"{URL}/{SECRET}", data=b"private body")
    rows = kept_rejections(services)
    assert len(rows) == len(paths) + 1
    stored = str([vars(row) for row in rows]).lower()
    for secret in (SECRET, "guess-one", "query-secret", "with/parts", "private", "<b>"):
        assert secret not in stored, secret
    assert [row.path for row in rows[:5]] == [f"{URL}/…", f"{URL}/…", f"{URL}/…", f"{URL}/…", f"{URL}/…/…/…"]
    assert "The secret in the address is not one of PROOF_WEBHOOK_SECRETS." in rows[0].message
    assert [row.path for row in rows[-3:]] == ["/webhooks/…", "/webhooks/prooof/…", f"{URL}/…"]


def test_address_that_is_not_allowed_leaves_its_trace(start: Start, services: Services) -> None:
    client = start(PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.0/24", TRUSTED_PROXY_HOPS="1")
    for sender in ("198.51.100.7:1", "198.51.100.8", "198.51.101.1", "2001:db8::1", "2001:db8::2", "unknown"):
        client.post(URL, json=webhook(), headers={"X-Forwarded-For": sender, "User-Agent": "Proof/1"})
    rows = kept_rejections(services)
    assert [(row.network, row.count, row.code) for row in rows] == [
        ("198.51.100.0/24", 2, "forbidden_origin"),
        ("198.51.101.0/24", 1, "forbidden_origin"),
        ("2001:db8::/64", 2, "forbidden_origin"),
        ("unknown", 1, "forbidden_origin"),
    ]
    assert rows[0].headers["User-Agent"] == "Proof/1"
    assert rows[0].headers["X-Forwarded-For"] == "198.51.100.7:1"
    assert {row.body for row in rows} == {b""}
    assert rows[0].body_size > 200, "how large it was is no secret"


def test_repeats_of_one_minute_are_one_row(client: FlaskClient, services: Services, clock: FakeClock) -> None:
    for seconds in (0, 20, 39.9, 0.1, 59):
        clock.advance(seconds)
        client.get(URL)
    first, second = kept_rejections(services)
    assert (first.count, second.count) == (3, 2)
    assert (first.received_at, first.last_at) == (START, START.replace(second=59, microsecond=900_000))
    assert (second.received_at, second.last_at) == (START.replace(minute=1), START.replace(minute=1, second=59))


def test_two_processes_gather_into_one_row(database: Database) -> None:
    both = [Rejections(database, Uncounted(database)) for _ in range(2)]
    ready = threading.Barrier(2)

    def flood(mine: Rejections) -> None:
        ready.wait()
        for _ in range(5):
            for number in range(20):
                mine.note(refused(f"198.51.{number}.7"))
            mine.flush()

    threads = [threading.Thread(target=flood, args=(mine,)) for mine in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in both:
        mine.close()
    with database.read() as session:
        counts = session.scalars(select(Rejection.count)).all()
    assert counts == [10] * 20


def test_different_bodies_of_an_admitted_sender_are_kept_until_there_are_too_many(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "MOST_BODIES", 5)
    for number in range(9):
        for _ in range(2):
            assert client.post(URL, data=f"body {number}").status_code == 400
    rows = kept_rejections(services)
    assert [(row.body, row.count) for row in rows[:5]] == [(f"body {number}".encode(), 2) for number in range(5)]
    assert [(row.body, row.count) for row in rows[5:]] == [(b"", 8)]
    assert "many different bodies" in rows[5].message


def test_flood_is_bounded_and_counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "MOST_GATHERED", 10)
    mine = Rejections(database, Uncounted(database))
    monkeypatch.setattr(mine._writer, "wake", lambda: None)
    for number in range(300):
        mine.note(refused(f"198.{number // 250}.{number % 250}.1"))
    mine.flush()
    with database.read() as session:
        rows = session.scalars(select(Rejection).order_by(Rejection.id)).all()
    assert len(rows) == 11
    assert sorted((row.network, row.count) for row in rows)[-1] == ("other networks", 290)
    mine.close()


def test_flood_while_sql_fails_is_bounded_and_counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while a write hangs, before that fails, takes no more room than what comes between two."""
    monkeypatch.setattr(rejections, "MOST_GATHERED", 10)
    mine = Rejections(database, Uncounted(database))
    monkeypatch.setattr(mine._writer, "wake", lambda: None)
    numbers = itertools.count()

    def flood() -> None:
        for number in itertools.islice(numbers, 20):
            mine.note(refused(f"198.51.{number % 250}.1", minutes=number // 10))
            mine.note(refused("192.0.2.1", minutes=0))

    def hang_and_fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "INSERT INTO rejections" in statement:
            flood()
            raise OperationalError("SQL is away", None, Exception())

    flood()
    with listening(database, "before_cursor_execute", hang_and_fail):
        for _ in range(5):
            with pytest.raises(OperationalError):
                mine.flush()
            assert len(mine._gathered) == 11
    mine.flush()
    with database.read() as session:
        rows = session.execute(select(Rejection.network, Rejection.count)).all()
    counts = dict(iter(rows))
    assert len(rows) == 11
    assert (counts["192.0.2.0/24"], counts["other networks"], sum(counts.values())) == (120, 111, 240)
    mine.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing of it reaches SQL
def test_of_a_body_no_more_is_held_than_is_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Rejections(database, Uncounted(database))
    monkeypatch.setattr(mine._writer, "wake", lambda: None)
    for end in (b"1", b"2"):
        mine.note(replace(refused("192.0.2.1"), body=b"x" * 2**16 + end))
    assert [len(one.first.body) for one in mine._gathered.values()] == [MAX_REJECTED_BODY] * 2


def test_no_refused_request_waits_for_the_database(client: FlaskClient, services: Services, database: Database) -> None:
    with database.write() as session:
        session.execute(text("ALTER TABLE rejections RENAME TO away"))
    for _ in range(3):
        assert client.get(URL).status_code == 405
    assert client.post(URL, json=webhook()).status_code == 202
    with pytest.raises(SQLAlchemyError):
        services.rejections.flush()
    with database.write() as session:
        session.execute(text("ALTER TABLE away RENAME TO rejections"))
        assert session.scalar(select(Event.id)) is not None
    (kept,) = kept_rejections(services)
    assert kept.count == 3, "what could not be written yet is written later"


def test_what_is_taken_leaves_no_row(client: FlaskClient, services: Services) -> None:
    assert client.post(URL, json=webhook()).status_code == 202
    assert client.post(URL, json=webhook()).status_code == 200
    assert client.get("/nothing").status_code == 404
    assert client.get("/api/v1/nothing").status_code == 404
    assert kept_rejections(services) == []


@pytest.mark.parametrize("secrets", ["", SECRET])
def test_slashes_too_many_are_no_fault(start: Start, services: Services, secrets: str) -> None:
    client = start(PROOF_WEBHOOK_SECRETS=secrets)
    path = f"{URL}/{secrets}" if secrets else URL
    for written in (f"{path}/", f"{path}//", f"/{path}", path.replace("/proof", "//proof"), path):
        answer = client.post("/", json=webhook(), environ_overrides={"PATH_INFO": written})
        assert answer.status_code in (200, 202), written
    assert kept_rejections(services) == []


def test_newest_are_kept_however_often_repeats_were_counted(database: Database) -> None:
    mine = Rejections(database, Uncounted(database))
    for number in range(3):
        for _ in range(MAX_REJECTIONS // 2):
            mine.note(refused("192.0.2.1", code=f"code_{number}"))
            if number == 1:
                mine.flush()
    mine.flush()
    with database.read() as session:
        rows = session.execute(select(Rejection.code, Rejection.count).order_by(Rejection.id)).all()
    assert [tuple(row) for row in rows] == [(f"code_{number}", MAX_REJECTIONS // 2) for number in range(3)]
    mine.close()


def refused(address: str, code: str = "forbidden_origin", minutes: int = 0) -> RefusedRequest:
    return RefusedRequest(
        request=RequestOrigin(START + timedelta(minutes=minutes), address, {}),
        method="POST",
        path=URL,
        http_status=403,
        error="forbidden",
        code=code,
        reason=code,
        message="Webhooks are not taken from there.",
    )
