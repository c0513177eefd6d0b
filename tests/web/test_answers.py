"""What holds for every answer: to whom it was sent, where it leads, that nobody keeps it, that all in it is visible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.routing import IntegerConverter

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.failures import fail
from tests.support.ledger import fill_ledger
from tests.support.people import BROWSER, csrf_token
from webhook_app.app import create_app
from webhook_app.config import Settings
from webhook_app.db.database import Database
from webhook_app.models import Attempt, Event, Transaction
from webhook_app.services import Services, open_services
from webhook_app.usecases.reconcile.reconciler import Reconciler

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing here is about SQL

GOOD = ["localhost", "a.example:8000", "127.0.0.1", "[::1]:8000", "[::1]", "web_app:8000", "EXAMPLE.com.", "x:443"]
BAD = [
    "",
    " ",
    "a b",
    "a,b",
    "a, a",
    "a:b",
    "a:1:2",
    "a/b",
    "a@b",
    "a\\b",
    "[::1",
    "::1",
    "a\x1b",
    "é",
    "a?b",
    "a:999999",
]
BAD += ["<script>", "a\tb", "x" * 300, "a#b", "%41", "\u202ea"]


def ask(client: FlaskClient, path: str = "/healthz", **environ: Any) -> Any:
    return client.get(path, environ_overrides=environ)


class TestHost:
    def test_name_or_address_is_taken(self, client: FlaskClient) -> None:
        for host in GOOD:
            assert ask(client, HTTP_HOST=host).status_code == 200, host

    def test_anything_else_is_refused_in_words(self, client: FlaskClient) -> None:
        for host in BAD:
            latin = host.encode("utf-8").decode("latin-1")
            for path in ("/healthz", "/", "/login", "/webhooks/proof", "/api/v1/transactions", "/nothing", "/rq"):
                answer = ask(client, path, HTTP_HOST=latin, HTTP_ACCEPT="application/json")
                assert (answer.status_code, answer.json["code"]) == (400, "invalid_host"), (host, path)
                assert answer.json["message"].startswith("The header Host is ")
                assert answer.json["message"].isprintable()

    def test_missing_one_is_refused_as_http_1_1_wants_it(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missing = {"HTTP_HOST": None, "SERVER_PROTOCOL": "HTTP/1.1"}

        def without_host(environ: dict[str, Any], start: Any) -> Any:
            del environ["HTTP_HOST"]
            return wsgi(environ, start)

        wsgi = client.application.wsgi_app
        monkeypatch.setattr(client.application, "wsgi_app", without_host)
        answer = client.post("/webhooks/proof", json=webhook(), environ_overrides=missing)
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_host")
        assert "missing" in answer.json["message"]
        assert ask(client, SERVER_PROTOCOL="HTTP/1.0").status_code == 200

    @pytest.fixture
    def proxied(self, settings: Settings, database: Database, clock: FakeClock) -> Iterator[FlaskClient]:
        services = open_services(replace(settings, trusted_proxy_hops=1), database=database, clock=clock)
        yield create_app(services).test_client()
        services.intake.close()
        services.rejections.close()
        services.last_use.close()
        services.waker.close()

    def test_proxys_header_is_named_when_it_is_the_one_that_is_wrong(self, proxied: FlaskClient) -> None:
        assert ask(proxied, HTTP_X_FORWARDED_HOST="a.example").status_code == 200
        answer = ask(proxied, HTTP_X_FORWARDED_HOST="a b")
        assert answer.status_code == 400
        assert answer.json["message"].startswith("The header X-Forwarded-Host is 'a b'")


def test_no_redirect_names_a_host(client: FlaskClient, admin_client: FlaskClient, services: Services) -> None:
    led = 0
    for path in (
        "/rq",
        "//evil.example/rq",
        "/rq//0//view",
        "/",
        "/audit",
        "/rq/?next=//evil.example",
        "/static//pages.css",
    ):
        for who in (client, admin_client):
            for method in ("GET", "HEAD", "POST"):
                answer = who.open(path, method=method, headers=BROWSER | {"Host": "evil.example"})
                if "Location" in answer.headers:
                    led += 1
                    assert re.fullmatch(r"/(?![/\\]).*|/", answer.headers["Location"]), (
                        path,
                        answer.headers["Location"],
                    )
    assert led > 5


def test_nobody_keeps_an_answer(
    client: FlaskClient, admin_client: FlaskClient, as_finance: dict[str, str], database: Database
) -> None:
    fill_ledger(database, 3)
    for path in (
        *("/api/v1/transactions", "/api/v1/transactions/unknown", "/api/v1/summary", "/api/v1/discrepancies"),
        *("/api/v1/transactions/export?format=csv", "/api/v1/nothing", "/api/v1/transactions?limit=x"),
    ):
        for headers in ({}, as_finance):
            with client.get(path, headers=headers) as answer:
                assert answer.headers["Cache-Control"] == "no-store", path
    for path in ("/transactions", "/transactions.csv", "/", "/login", "/nothing", "/rq/", "/rq/0/data/queues.json"):
        with admin_client.get(path) as answer:
            assert answer.headers["Cache-Control"] == "no-store", path
    with client.get("/static/pages.css") as answer:
        assert answer.headers["Cache-Control"] != "no-store"


def test_number_of_a_row_that_no_database_can_hold_is_no_row(app: Flask, admin_client: FlaskClient) -> None:
    token, asked = csrf_token(admin_client, "/account"), 0
    for rule in app.url_map.iter_rules():
        if not any(isinstance(part, IntegerConverter) for part in rule._converters.values()):
            continue
        path = re.sub(r"<int:\w+>", str(10**20), rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            form = {"csrf_token": token, "reason": "x", "note": "x", "owner": "x"}
            answer = admin_client.open(path, method=method, data=form if method == "POST" else None)
            assert answer.status_code < 500, (method, path)
            asked += 1
    assert asked > 10


HOSTILE = "x\x07\x1b[2J\x7f\x9b31m\u202e\u2066\u200e\u061cy<b>"
RAW = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def test_pages_spell_out_what_would_be_obeyed_or_reorder_them(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, database: Database
) -> None:
    fail(services, reconciler, "hostile")
    text = HOSTILE.replace("\x00", "")
    with database.write() as session:
        session.execute(update(Attempt).values(message=text, request_id=text))
        session.execute(update(Event).values(currency=text, network=text))
        session.execute(update(Transaction).values(partner_user_id=text))
    seen = 0
    for path in (
        *("/deliveries", "/deliveries/1", "/transactions", "/transactions/hostile", "/discrepancies", "/"),
        *(
            "/deliveries?error=%E2%80%AEx",
            "/transactions?partner_user_id=%C2%9Bx",
            "/audit?actor=%E2%80%AE",
            "/%E2%80%AE",
        ),
    ):
        page = admin_client.get(path)
        assert page.mimetype == "text/html"
        assert not RAW.search(page.text), path
        assert page.content_length == len(page.data)
        seen += "\\u202e" in page.text
    assert seen >= 3
