"""Sessions: a row each, from the log-in to whatever ends it; one's own are listed and ended on `/account`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.support.clock import START, FakeClock
from tests.support.people import BROWSER, PASSWORD, SHELL, csrf_token, log_in, post
from webhook_app.db.database import Database
from webhook_app.models import Account, AccountNetwork, LogInSession
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access import accounts, sessions
from webhook_app.usecases.access.sessions import Browser, Lifetime
from webhook_app.usecases.audit import AuditFilter, list_entries
from webhook_app.web.access.browsers import browser_name

LIFETIME = Lifetime(longest=timedelta(hours=12), idle=timedelta(hours=1))
HOME = Browser("203.0.113.9", "a browser")
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def ada(database: Database) -> accounts.Person:
    accounts.create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, START)
    person = accounts.authenticate(database, "ada", PASSWORD)
    assert person is not None
    return person


def count(database: Database, table: type[LogInSession] | type[AccountNetwork]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def lives(services: Services, key: str) -> bool:
    now = services.clock()
    found = sessions.find_session(services.database, services.last_use, key, "a browser", now, LIFETIME)
    if found is not None:
        sessions.note_use(services.last_use, found[1], now, LIFETIME)
    return found is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda database: accounts.set_password(database, "ada", "another password", SHELL, START),
        lambda database: accounts.set_role(database, "ada", Role.FINANCE, SHELL, START),
        lambda database: accounts.disable(database, "ada", SHELL, START),
    ],
    ids=["password", "role", "disabled"],
)
def test_change_of_the_account_takes_its_sessions_away_and_no_others(
    services: Services, ada: accounts.Person, change: Callable[[Database], None]
) -> None:
    database = services.database
    accounts.create_account(database, "bob", PASSWORD, Role.ADMIN, SHELL, START)
    bob = accounts.find_person_by_name(database, "bob")
    assert bob is not None
    mine, his = (sessions.log_in(database, person, HOME, START, LIFETIME) for person in (ada, bob))
    change(database)
    assert (lives(services, mine), lives(services, his)) == (False, True)
    assert count(database, LogInSession) == 1


def test_log_in_that_a_change_overtook_opens_nothing(services: Services, ada: accounts.Person) -> None:
    accounts.set_password(services.database, "ada", "another password", SHELL, START)
    assert not lives(services, sessions.log_in(services.database, ada, HOME, START, LIFETIME))


def test_change_by_an_older_release_ends_them_too(services: Services, ada: accounts.Person) -> None:
    """It knows nothing of the rows, and counts the account's version up."""
    key = sessions.log_in(services.database, ada, HOME, START, LIFETIME)
    with services.database.write() as session:
        session.execute(Account.__table__.update().values(session_version=Account.session_version + 1))
    assert not lives(services, key)


def test_key_itself_is_nowhere_in_the_database(database: Database, ada: accounts.Person) -> None:
    key = sessions.log_in(database, ada, HOME, START, LIFETIME)
    with database.read() as session:
        row = session.scalars(select(LogInSession)).one()
    assert key not in str(vars(row))
    assert len(key) == 43


def test_use_is_seen_before_and_after_it_is_written(services: Services, ada: accounts.Person, clock: FakeClock) -> None:
    key = sessions.log_in(services.database, ada, HOME, START, LIFETIME)
    for written in (False, True):
        clock.advance(3000)
        assert lives(services, key)
        if written:
            services.last_use.flush()
    with services.database.read() as session:
        assert session.scalars(select(LogInSession.seen_at)).one() == START + timedelta(seconds=6000)
    clock.advance(3600)
    assert not lives(services, key)


def test_log_in_clears_away_some_that_are_over_and_none_that_are_open(database: Database, ada: accounts.Person) -> None:
    for _ in range(130):
        sessions.begin_session(database, ada, HOME, START)
    later = START + timedelta(hours=1, seconds=1)
    sessions.begin_session(database, ada, HOME, later - timedelta(hours=1))
    sessions.log_in(database, ada, HOME, later, LIFETIME)
    assert count(database, LogInSession) == 30 + 2
    sessions.log_in(database, ada, HOME, later, LIFETIME)
    assert count(database, LogInSession) == 3


def test_newest_networks_are_remembered(
    database: Database, ada: accounts.Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_NETWORKS", 3)
    for number in (1, 2, 3, 1, 4):
        now = START + timedelta(minutes=number if number != 1 else 3.5)
        sessions.log_in(database, ada, Browser(f"192.0.2.{number}", ""), now, LIFETIME)
    known = [sessions.is_known_network(database, " ADA", f"192.0.2.{number}/32") for number in range(6)]
    assert known == [False, True, False, True, True, False]
    assert not sessions.is_known_network(database, "bob", "192.0.2.1/32")
    assert not sessions.is_known_network(database, "a\x00", "192.0.2.1/32")
    sessions.log_in(database, ada, Browser("unix:", ""), START, LIFETIME)
    assert not sessions.is_known_network(database, "ada", "unknown")
    assert count(database, AccountNetwork) == 3


def test_page_lists_ones_open_sessions_and_ends_one_of_them(
    app: Flask, admin_client: FlaskClient, finance_client: FlaskClient, database: Database
) -> None:
    elsewhere = app.test_client()
    form = {"name": "ada", "password": PASSWORD}
    with elsewhere:
        headers = {**BROWSER, "User-Agent": FIREFOX}
        token = elsewhere.get("/login", headers=headers).text.partition('name="csrf_token"')[2]
        token = token.partition('value="')[2].partition('"')[0]
        came = {"REMOTE_ADDR": "198.51.100.7"}
        assert elsewhere.post(
            "/login", data={**form, "csrf_token": token}, headers=headers, environ_base=came
        ).status_code == 303  # fmt: skip
    page = admin_client.get("/account").text
    assert "Firefox on Windows" in page
    assert "from 198.51.100.7" in page
    assert page.count(">this one<") == 1
    assert page.count('/end"') == 1, "the other one alone has a button"
    path = page.partition('action="/account/sessions/')[2].partition('"')[0]
    assert post(finance_client, f"/account/sessions/{path}").status_code == 303
    assert elsewhere.get("/account", headers=headers).status_code == 200, "it is not hers to end"
    assert post(admin_client, f"/account/sessions/{path}").status_code == 303
    assert elsewhere.get("/account", headers=headers).status_code == 303
    assert "Firefox" not in admin_client.get("/account").text
    (entry,) = list_entries(database, AuditFilter(action=AuditAction.END_SESSION), 9).items
    assert (entry.actor, entry.subject, entry.details) == ("ada", "ada", {"sessions": 1})
    post(admin_client, f"/account/sessions/{path}")
    assert "That session had ended already." in admin_client.get("/account").text


def test_all_others_are_ended_at_once(app: Flask, admin_client: FlaskClient, database: Database) -> None:
    others = [app.test_client() for _ in range(2)]
    for other in others:
        assert log_in(other, "ada").status_code == 303
    assert post(admin_client, "/account/sessions/end-others").status_code == 303
    assert "2 sessions ended; this one goes on." in admin_client.get("/account").text
    assert [other.get("/account", headers=BROWSER).status_code for other in others] == [303, 303]
    assert "End all others" not in admin_client.get("/account").text
    assert count(database, LogInSession) == 1


def test_sessions_are_ended_by_forms_of_ours_alone(admin_client: FlaskClient, client: FlaskClient) -> None:
    for path in ("/account/sessions/1/end", "/account/sessions/end-others"):
        assert admin_client.post(path).status_code == 400
        assert admin_client.get(path).status_code in (404, 405)
        assert client.post(path, data={"csrf_token": csrf_token(client)}, headers=BROWSER).location == "/login"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("x" * 300, "x" * 60),
        ("", "a browser without a name"),
    ],
)  # fmt: skip
def test_browser_has_a_name_that_people_know(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name
