"""`/login` and `/logout`, and the sessions between them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

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
        without_request = page.text.replace(page.headers["X-Request-Id"], "")
        return page.status_code, re.sub(r'(content|value)="[^"]*"', "", without_request)

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


def test_log_out_ends_the_session_wherever_its_cookie_is(admin_client: FlaskClient, client: FlaskClient) -> None:
    stolen = admin_client.get_cookie("webhook_app_session")
    assert stolen is not None
    client.set_cookie("webhook_app_session", stolen.value)
    assert is_logged_in(client)
    post(admin_client, "/logout")
    assert not is_logged_in(client)


def test_log_out_that_the_server_does_not_learn_of_is_none(
    admin_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("DELETE", {}, Exception("gone"))

    monkeypatch.setattr("webhook_app.web.people.log_out", fail)
    answer = post(admin_client, "/logout")
    assert answer.status_code == 503
    assert is_logged_in(admin_client)


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


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it counts in Redis
class TestThrottle:
    @pytest.fixture
    def guess(self, client: FlaskClient, ada: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
        """Tries a password from an address; the answer's status. Wrong ones cost no work, which is slow by design."""
        token, before = csrf_token(client), client.get_cookie("webhook_app_session")
        assert before is not None

        def guess(address: str, name: str = ada, password: str = "wrong password") -> int:
            form = {"name": name, "password": password, "csrf_token": token}
            with monkeypatch.context() as patched:
                if password != PASSWORD:
                    patched.setattr("webhook_app.web.access.pages.log_in.authenticate", lambda *_: None)
                answer = client.post("/login", data=form, headers=BROWSER, environ_base={"REMOTE_ADDR": address})
            client.set_cookie("webhook_app_session", before.value)
            return answer.status_code

        return guess

    def test_wrong_passwords_keep_their_own_network_out_and_nobody_else(
        self, client: FlaskClient, ada: str, guess: Callable[..., int]
    ) -> None:
        assert [guess("192.0.2.1") for _ in range(11)] == [401] * 10 + [429]
        assert guess("192.0.2.1", password=PASSWORD) == 429, "with the right password, too"
        page = log_in(client, ada)  # from 127.0.0.1
        assert page.status_code == 303

    def test_how_long_to_wait_is_told(self, client: FlaskClient, ada: str, guess: Callable[..., int]) -> None:
        for _ in range(10):
            guess("127.0.0.1")
        page = log_in(client, ada)
        assert page.status_code == 429
        assert "Too many attempts. Wait 5 min, then try again." in page.text
        assert page.headers["Retry-After"] == "300"
        assert client.get("/login", headers=BROWSER).status_code == 200

    def test_subscriber_of_ipv6_is_one_network(self, guess: Callable[..., int]) -> None:
        assert [guess(f"2001:db8:1:2::{n:x}") for n in range(11)] == [401] * 10 + [429]
        assert guess("2001:db8:1:3::1") == 401
        assert [guess(f"::ffff:192.0.2.{n}") for n in range(11)] == [401] * 11, "each IPv4 address is one of its own"

    def test_right_password_takes_its_wrong_ones_back(self, client: FlaskClient, ada: str) -> None:
        for _ in range(3):
            assert [log_in(client, ada, "wrong password").status_code for _ in range(4)] == [401] * 4
            assert log_in(client, ada).status_code == 303
            post(client, "/logout")

    def test_name_tried_from_everywhere_is_still_let_in_where_it_has_logged_in_before(
        self, guess: Callable[..., int]
    ) -> None:
        assert guess("203.0.113.9", password=PASSWORD) == 303
        assert guess("2001:db8:1:2::1", password=PASSWORD) == 303
        codes = [guess(f"198.51.{n // 250}.{n % 250}") for n in range(130)]
        assert codes[:98] == [401] * 98
        assert codes[100:] == [429] * 30
        assert guess("192.0.2.200", password=PASSWORD) == 429, "a network that it has never logged in from"
        assert guess("203.0.113.9", password=PASSWORD) == 303
        assert guess("2001:db8:1:2:ffff::1", password=PASSWORD) == 303
        assert guess("192.0.2.200", name="bob") == 401

    def test_refused_newcomer_is_told_of_the_networks_that_are_known(
        self, client: FlaskClient, ada: str, guess: Callable[..., int]
    ) -> None:
        for name in (ada, "nobody"):  # who has no account is told the same
            for n in range(100):
                guess(f"198.51.100.{n}", name=name)
            page = log_in(client, name)
            assert page.status_code == 429
            assert "Wait 1 h, then try again, or log in from a network from which you have" in page.text

    def test_network_is_kept_from_trying_names(self, guess: Callable[..., int]) -> None:
        assert [guess("192.0.2.1", name=f"n{n}") for n in range(21)] == [401] * 20 + [429]

    def test_own_password_cannot_be_guessed_on_the_account_page(self, admin_client: FlaskClient) -> None:
        new = {"new": "a longer password", "again": "a longer password"}
        codes = [post(admin_client, "/account", current="wrong password", **new).status_code for _ in range(11)]
        assert codes == [400] * 10 + [429]

    def test_it_counts_without_redis_too(self, services: Services, ada: str, redis_server: RedisServer) -> None:
        client = create_app(services).test_client()  # its counts stay in its memory
        redis_server.kill()
        try:
            assert log_in(client, ada).status_code == 303
            post(client, "/logout")
            codes = [log_in(client, ada, "wrong password").status_code for _ in range(11)]
            assert codes == [401] * 10 + [429]
        finally:
            redis_server.start()
