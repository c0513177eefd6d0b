"""`/login` and `/logout`, and the sessions between them."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.people import BROWSER, PASSWORD, SHELL, csrf_token, log_in, post
from tests.support.servers import RedisServer
from webhook_app.app import create_app
from webhook_app.db.database import Database
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.accounts import create_account, disable, set_password, set_role
from webhook_app.usecases.audit import AuditFilter, list_entries


@pytest.fixture
def ada(database: Database, clock: FakeClock) -> str:
    create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, clock())
    return "ada"


def is_logged_in(client: FlaskClient) -> bool:
    return client.get("/account", headers=BROWSER).status_code == 200


def test_person_comes_back_to_the_page_that_asked_for_the_log_in(client: FlaskClient, ada: str) -> None:
    asked = client.get("/audit?actor=ada", headers=BROWSER)
    assert asked.status_code == 303
    assert asked.location == "/login?next=/audit?actor%3Dada"
    answer = log_in(client, ada, path=asked.location)
    assert (answer.status_code, answer.location) == (303, "/audit?actor=ada")
    assert client.get(answer.location, headers=BROWSER).status_code == 200


def test_log_in_is_in_the_audit_log(admin_client: FlaskClient, database: Database) -> None:
    (entry,) = list_entries(database, AuditFilter(action=AuditAction.LOG_IN), 9).items
    assert (entry.actor, entry.via, entry.details) == ("ada", "page", {"address": "127.0.0.1"})
    assert "log in" in admin_client.get("/audit").text


def test_wrong_password_and_unknown_name_get_the_same_answer(client: FlaskClient, ada: str) -> None:
    def answer(name: str) -> tuple[int, str]:
        page = log_in(client, name, "not the password")
        return page.status_code, re.sub(r'(content|value)="[^"]*"', "", page.text)

    assert answer(ada) == answer("bob")
    assert answer(ada)[0] == 401
    assert "The name or the password is not right" in answer(ada)[1]
    assert not is_logged_in(client)


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\\/evil.example",
        "evil",
        "/%0a\n",
    ],
)
def test_redirect_never_leads_to_another_site(client: FlaskClient, ada: str, target: str) -> None:
    client.get("/login", headers=BROWSER)
    form = {"name": ada, "password": PASSWORD, "csrf_token": csrf_token(client)}
    answer = client.post("/login", query_string={"next": target}, data=form, headers=BROWSER)
    assert (answer.status_code, answer.location) == (303, "/")


def test_log_out_ends_the_session_and_is_no_link(admin_client: FlaskClient) -> None:
    assert admin_client.get("/logout").status_code == 405
    assert is_logged_in(admin_client)
    assert post(admin_client, "/logout").status_code == 303
    assert not is_logged_in(admin_client)


@pytest.mark.parametrize("change", ["password", "role", "disabled"])
def test_session_ends_with_a_change_of_the_account(
    admin_client: FlaskClient, database: Database, clock: FakeClock, change: str
) -> None:
    assert is_logged_in(admin_client)
    if change == "password":
        set_password(database, "ada", "another password", SHELL, clock())
    elif change == "role":
        set_role(database, "ada", Role.FINANCE, SHELL, clock())
    else:
        disable(database, "ada", SHELL, clock())
    assert not is_logged_in(admin_client)


def test_session_ends_when_idle_and_in_the_end_in_any_case(admin_client: FlaskClient, clock: FakeClock) -> None:
    for _ in range(13):
        clock.advance(3000)
        assert is_logged_in(admin_client)
    clock.advance(3000)
    clock.advance(1200)  # twelve hours from the log-in
    assert not is_logged_in(admin_client)


def test_session_that_is_not_used_for_an_hour_ends(admin_client: FlaskClient, clock: FakeClock) -> None:
    clock.advance(3599)
    assert is_logged_in(admin_client)
    clock.advance(3601)
    assert not is_logged_in(admin_client)


def test_stolen_cookie_does_not_work_in_another_browser(admin_client: FlaskClient) -> None:
    answer = admin_client.get("/account", headers={**BROWSER, "User-Agent": "another browser"})
    assert answer.status_code == 303
    assert is_logged_in(admin_client)


def test_cookie_of_another_key_is_worth_nothing(client: FlaskClient, ada: str) -> None:
    client.set_cookie("webhook_app_session", "eyJfdXNlcl9pZCI6IjE6MSJ9.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb")
    assert not is_logged_in(client)


def test_own_password_is_changed_and_other_browsers_are_logged_out(app: Flask, admin_client: FlaskClient) -> None:
    elsewhere = app.test_client()
    assert log_in(elsewhere, "ada").status_code == 303
    new = {"new": "a longer password", "again": "a longer password"}
    refused = post(admin_client, "/account", current="wrong password", **new)
    assert refused.status_code == 400
    assert "That is not your current password." in refused.text
    assert post(admin_client, "/account", current=PASSWORD, **new).status_code == 303
    assert is_logged_in(admin_client)
    assert not is_logged_in(elsewhere)
    assert log_in(elsewhere, "ada", "a longer password").status_code == 303


class TestCookie:
    def test_is_out_of_reach_for_scripts_and_other_sites(self, client: FlaskClient, ada: str) -> None:
        cookie = log_in(client, ada).headers["Set-Cookie"]
        assert cookie.startswith("webhook_app_session=")
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie  # plain HTTP: a browser would not keep it

    def test_is_for_tls_alone_where_the_page_came_by_tls(self, client: FlaskClient) -> None:
        cookie = client.get("/login", headers=BROWSER, base_url="https://localhost").headers["Set-Cookie"]
        assert "Secure" in cookie


class TestThrottle:
    def test_account_is_guarded_against_guessing(self, client: FlaskClient, ada: str) -> None:
        token = csrf_token(client)

        def guess(address: int) -> int:
            form = {"name": ada, "password": "wrong password", "csrf_token": token}
            return client.post(
                "/login", data=form, headers=BROWSER, environ_base={"REMOTE_ADDR": f"192.0.2.{address}"}
            ).status_code

        assert [guess(address) for address in range(10)] == [401] * 10
        assert guess(11) == 429
        page = log_in(client, ada)
        assert page.status_code == 429  # with the right password, too
        assert "Too many attempts. Wait 5 minutes" in page.text
        assert page.headers["Retry-After"] == "300"
        assert client.get("/login", headers=BROWSER).status_code == 200

    def test_address_is_kept_from_trying_names(self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("webhook_app.web.access.pages.log_in.authenticate", lambda *_: None)  # slow by design
        token = csrf_token(client)
        codes = [
            client.post(
                "/login", data={"name": f"n{n}", "password": "x", "csrf_token": token}, headers=BROWSER
            ).status_code
            for n in range(21)
        ]
        assert codes == [401] * 20 + [429]

    def test_it_counts_without_redis_too(self, services: Services, ada: str, redis_server: RedisServer) -> None:
        client = create_app(services).test_client()  # its counts stay in its memory
        redis_server.kill()
        try:
            assert log_in(client, ada).status_code == 303
            post(client, "/logout")
            codes = [log_in(client, ada, "wrong password").status_code for _ in range(10)]
            assert codes == [401] * 9 + [429]
        finally:
            redis_server.start()
