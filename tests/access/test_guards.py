"""What keeps pages to those whom they are for: roles, CSRF tokens, single sign-on, headers, errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.people import BROWSER, PASSWORD, SHELL, csrf_token
from webhook_app.app import create_app
from webhook_app.config import ConfigurationError, Settings, load_settings
from webhook_app.db.database import Database
from webhook_app.models import LogInSession
from webhook_app.models.role import Role
from webhook_app.services import open_services
from webhook_app.usecases.access.accounts import create_account, disable

JSON = {"Accept": "application/json"}


def csrf_token_of(page: str) -> str:
    return page.partition('name="csrf-token" content="')[2].partition('"')[0]


def test_finance_is_told_that_a_page_is_for_admins(finance_client: FlaskClient) -> None:
    page = finance_client.get("/audit")
    assert page.status_code == 403
    assert "This page is for admins. You are logged in as fin with the role finance" in page.text
    assert 'href="/audit"' not in page.text  # nor is it in the menu


def test_nobody_is_sent_to_the_log_in(client: FlaskClient) -> None:
    for path in ("/audit", "/account", "/"):
        answer = client.get(path, headers=BROWSER)
        assert answer.status_code == 303
        assert answer.location.startswith("/login")


class TestForms:
    @pytest.mark.parametrize("token", [None, "", "forged", "IjEyMyI.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"])
    def test_without_our_token_nothing_is_done(self, admin_client: FlaskClient, token: str | None) -> None:
        form = {} if token is None else {"csrf_token": token}
        answer = admin_client.post("/logout", data=form)
        assert answer.status_code == 400
        assert "This form has expired, or it did not come from this site. Nothing was changed." in answer.text
        assert admin_client.get("/account").status_code == 200

    def test_token_of_another_session_is_refused(self, admin_client: FlaskClient, client: FlaskClient) -> None:
        assert admin_client.post("/logout", data={"csrf_token": csrf_token(client)}).status_code == 400

    def test_expired_token_is_refused(self, app: Flask, admin_client: FlaskClient) -> None:
        token = csrf_token(admin_client, "/account")
        app.config["WTF_CSRF_TIME_LIMIT"] = -1
        answer = admin_client.post("/logout", data={"csrf_token": token})
        assert answer.status_code == 400
        assert "load the page again" in answer.text

    def test_over_tls_another_site_is_no_referrer(self, admin_client: FlaskClient) -> None:
        form = {"csrf_token": csrf_token(admin_client, "/account")}
        answer = admin_client.post(
            "/logout", data=form, base_url="https://localhost", headers={"Referer": "https://evil.example/"}
        )
        assert answer.status_code == 400

    def test_programs_need_no_token(self, client: FlaskClient) -> None:
        assert client.post("/webhooks/proof", json=webhook()).status_code == 202


class TestErrors:
    def test_people_get_pages(self, admin_client: FlaskClient) -> None:
        for path, status, words in (
            ("/nothing-here", 404, "There is no such page"),
            ("/logout", 405, "That cannot be done here"),
        ):
            page = admin_client.get(path)
            assert (page.status_code, page.mimetype) == (status, "text/html")
            assert words in page.text
            assert "Log out" in page.text  # the layout of all pages
            assert page.headers["X-Request-Id"] in page.text

    def test_wrong_filter_is_named_on_the_page_itself(self, admin_client: FlaskClient) -> None:
        for path in ("/audit?before=x", "/audit?action=dance", "/audit?actor=%00"):
            page = admin_client.get(path)
            assert (page.status_code, page.mimetype) == (400, "text/html")
            assert 'role="alert"' in page.text
            assert "Log out" in page.text
        assert "There is no filter" in admin_client.get("/audit?before=x").text

    def test_programs_get_json_whatever_they_accept(self, client: FlaskClient) -> None:
        for path in ("/api/v1/transactions", "/api/nothing", "/webhooks/nothing"):
            answer = client.get(path, headers=BROWSER)
            assert answer.is_json
            assert set(answer.json) >= {"error", "code", "message"}
        assert client.get("/nothing-here").is_json
        assert client.get("/audit?before=x", headers=JSON).status_code == 303
        assert client.get("/", headers=JSON).json["service"] == "webhook-app"

    def test_what_is_in_the_address_is_not_reflected_as_html(self, admin_client: FlaskClient) -> None:
        for path in ("/audit?actor=<script>x</script>", "/<script>x</script>", "/audit?action=<script>x</script>"):
            assert "<script>x" not in admin_client.get(path).text

    def test_without_the_database_there_is_still_a_page(
        self, admin_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OperationalError("SELECT 1", {}, Exception("gone"))

        monkeypatch.setattr("webhook_app.web.people.find_session", fail)
        page = admin_client.get("/account")
        assert (page.status_code, page.mimetype) == (503, "text/html")
        assert "The database cannot be reached right now" in page.text
        assert page.headers["Retry-After"] == "5"

    def test_a_fault_of_ours_is_a_page_with_the_request_id(
        self, admin_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("webhook_app.web.access.pages.audit.list_entries", None)
        page = admin_client.get("/audit")
        assert page.status_code == 500
        assert page.headers["X-Request-Id"] in page.text


class TestHeaders:
    def test_pages_run_nothing_inline_and_are_framed_nowhere(self, client: FlaskClient) -> None:
        headers = client.get("/login", headers=BROWSER).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"

    def test_style_and_scripts_come_from_here(self, client: FlaskClient) -> None:
        page = client.get("/login", headers=BROWSER).text
        for address in re.findall(r'(?:href|src)="([^"#]+)"', page):
            assert address.startswith("/")
            if "static" in address:
                with client.get(address) as answer:
                    assert answer.status_code == 200

    def test_webhooks_and_api_set_no_cookie(self, client: FlaskClient) -> None:
        for answer in (client.post("/webhooks/proof", json=webhook()), client.get("/api/v1/transactions")):
            assert "Set-Cookie" not in answer.headers


class TestSingleSignOn:
    PROXIED: ClassVar = {
        **BROWSER,
        "X-Forwarded-For": "203.0.113.9",
        "X-Sso-User": "ada",
        "X-Proxy-Secret": "the-proxys-own-secret",
    }

    @pytest.fixture(autouse=True)
    def _ada(self, database: Database, clock: FakeClock) -> None:
        create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, clock())

    @pytest.fixture
    def proxied(self, settings: Settings, database: Database, clock: FakeClock) -> Iterator[FlaskClient]:
        """A client of an application that trusts one proxy on the loopback address."""
        settings = replace(
            settings,
            trusted_proxy_hops=1,
            trusted_user_header="X-Sso-User",
            trusted_user_secrets=("a-newer-secret-of-it", "the-proxys-own-secret"),
        )
        services = open_services(settings, database=database, clock=clock)
        yield create_app(services).test_client()
        for part in (services.intake, services.waker, services.last_use, services.rejections):
            part.close()

    def test_header_of_our_proxy_logs_in(self, proxied: FlaskClient) -> None:
        page = proxied.get("/audit", headers=self.PROXIED)
        assert page.status_code == 200
        assert "Log out" not in page.text  # that is the proxy's business

    def test_off_by_default(self, client: FlaskClient) -> None:
        assert client.get("/audit", headers=self.PROXIED).status_code == 303

    def test_not_believed_without_the_hop(self, proxied: FlaskClient) -> None:
        direct = {**BROWSER, "X-Sso-User": "ada"}
        assert proxied.get("/audit", headers=direct).status_code == 303

    def test_not_believed_from_another_address(self, proxied: FlaskClient) -> None:
        answer = proxied.get("/audit", headers=self.PROXIED, environ_base={"REMOTE_ADDR": "198.51.100.7"})
        assert answer.status_code == 303

    def test_not_believed_without_the_secret_that_only_the_proxy_knows(self, proxied: FlaskClient) -> None:
        for secret in ("", "guessed", "the-proxys-own-secre", "the-proxys-own-secret,guessed", "\xe9", "x" * 10_000):
            headers = {**self.PROXIED, "X-Proxy-Secret": secret}
            assert proxied.get("/audit", headers=headers).status_code == 303
        without = {name: value for name, value in self.PROXIED.items() if name != "X-Proxy-Secret"}
        assert proxied.get("/audit", headers=without).status_code == 303
        newer = {**self.PROXIED, "X-Proxy-Secret": "a-newer-secret-of-it"}
        assert proxied.get("/audit", headers=newer).status_code == 200

    def test_two_names_in_one_header_are_nobody(
        self, proxied: FlaskClient, database: Database, clock: FakeClock
    ) -> None:
        """WSGI joins headers of one name, and may take `X_Sso_User` for one: whose word it is cannot be told."""
        create_account(database, "ada,bob", PASSWORD, Role.ADMIN, SHELL, clock())
        for names in ("ada,bob", "ada, bob", "bob,ada", "ada,ada"):
            assert proxied.get("/audit", headers={**self.PROXIED, "X-Sso-User": names}).status_code == 303

    def test_page_says_that_the_proxy_signs_out(self, proxied: FlaskClient) -> None:
        page = proxied.get("/account", headers=self.PROXIED)
        assert "The proxy in front of this service has signed you in (X-Sso-User), and it signs you out" in page.text
        assert 'href="/account#signing-out"' in page.text
        token = csrf_token_of(page.text)
        answer = proxied.post("/logout", headers=self.PROXIED, data={"csrf_token": token})
        assert (answer.status_code, answer.location) == (303, "/account#signing-out")

    def test_new_password_opens_no_session_beside_the_proxys(self, proxied: FlaskClient, database: Database) -> None:
        token = csrf_token_of(proxied.get("/account", headers=self.PROXIED).text)
        form = {"current": PASSWORD, "new": "a longer password", "again": "a longer password", "csrf_token": token}
        assert proxied.post("/account", headers=self.PROXIED, data=form).status_code == 303
        assert "it signs you out" in proxied.get("/account", headers=self.PROXIED).text
        with database.read() as session:
            assert session.scalars(select(LogInSession)).all() == []

    def test_unknown_or_disabled_account_is_not_logged_in(
        self, proxied: FlaskClient, database: Database, clock: FakeClock
    ) -> None:
        assert proxied.get("/audit", headers={**self.PROXIED, "X-Sso-User": "nobody"}).status_code == 303
        disable(database, "ada", SHELL, clock())
        assert proxied.get("/audit", headers=self.PROXIED).status_code == 303

    def test_header_is_no_key_to_the_api(self, proxied: FlaskClient) -> None:
        assert proxied.get("/api/v1/transactions", headers=self.PROXIED).status_code == 401

    def test_header_without_a_proxy_stops_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="TRUSTED_PROXY_HOPS is 0"):
            load_settings({"TRUSTED_USER_HEADER": "X-Sso-User", "TRUSTED_USER_SECRET": "the-proxys-own-secret"})

    def test_header_without_a_secret_stops_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="TRUSTED_USER_SECRET is not set") as raised:
            load_settings({"TRUSTED_USER_HEADER": "X-Sso-User", "TRUSTED_PROXY_HOPS": "1"})
        assert "X-Proxy-Secret" in str(raised.value)
