"""What every page has: a menu that counts what waits for a person, a search for whole ids, and the badge of a
sandbox."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, text

from tests.support.clock import START, FakeClock
from tests.support.example_rows import ATTEMPT
from tests.support.page_text import in_words
from tests.support.people import post
from tests.support.plans import Explained, explained
from tests.support.rows import attempt, confirm, delivery_rows, make_known, note, pause, seed, seed_all
from tests.support.unopened import add_unopened
from webhook_app.db.database import Database
from webhook_app.domain.drift import DriftKind, DriftSource
from webhook_app.models import Attempt, SessionProblem, StoredDrift
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.session_call import SessionProblemKind
from webhook_app.services import Services
from webhook_app.usecases import people_needed
from webhook_app.usecases.people_needed import REMEMBERED, PeopleNeeded, count_people_needed
from webhook_app.usecases.search import find_exactly
from webhook_app.web.requests import bind_services


def menu(client: FlaskClient, path: str = "/account") -> str:
    page = client.get(path).text
    return in_words(page[page.index("<header") : page.index("</header>")])


def test_menu_counts_what_waits_for_a_person(
    admin_client: FlaskClient, finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    assert "Discrepancies Deliveries More" in menu(admin_client)
    seed(database, "failed-1", "failed")
    seed(database, "retrying-1", "retrying")
    note(database, "failed-1", DiscrepancyKind.STATUS_MISMATCH)
    note(database, "failed-1", DiscrepancyKind.AMOUNT_MISMATCH, acknowledged_at=START)
    note(database, "retrying-1", DiscrepancyKind.AMOUNT_MISMATCH, resolved_at=START)
    clock.advance(REMEMBERED.total_seconds())
    assert "Overview Payments Discrepancies 1 open Deliveries 1 failed More" in menu(admin_client)
    shown = menu(finance_client)
    assert "Discrepancies 1 open More" in shown
    assert "Deliveries" not in shown


def test_who_does_something_sees_the_menu_without_it(finance_client: FlaskClient, database: Database) -> None:
    confirm(database, "order-1")
    found = note(database, "order-1", DiscrepancyKind.STATUS_MISMATCH)
    assert "Discrepancies 1 open" in menu(finance_client)
    form = {"note": "seen", "revision": "1", "back": "/discrepancies"}
    assert post(finance_client, f"/discrepancies/{found}/acknowledge", **form).status_code == 303
    assert "Discrepancies More" in menu(finance_client)


def fill(database: Database) -> None:
    """So many rows that an index is worth while, of which two wait for a person."""
    deliveries = [delivery_rows(f"order-{number}", "succeeded", settled_at=START) for number in range(3000)]
    known = seed_all(database, [*deliveries, delivery_rows("a", "failed"), delivery_rows("b", "failed")])
    attempts = [
        ATTEMPT | {"reconciliation_id": id, "error": "db_error", "request_id": f"request-{id}", "status": None}
        for id in known
    ]
    with database.write() as session:
        session.execute(insert(Attempt), attempts)
        session.execute(text("ANALYZE"))


def assert_from_indexes(plans: Sequence[Explained]) -> None:
    assert plans != []
    for one in plans:
        assert (
            re.search(r"Seq Scan on (events|attempts|reconciliations)|SCAN (events|attempts|reconc\S*)$", one.plan)
            is None
        ), one


def test_counts_are_one_query_from_indexes_remembered_for_seconds(
    services: Services, database: Database, clock: FakeClock
) -> None:
    fill(database)
    with explained(database) as plans:
        assert services.people_needed.get() == PeopleNeeded(0, 2)
        services.people_needed.get()
        assert len(plans) == 1
        clock.advance(-300)  # a clock that is set back must not make it remembered for long
        services.people_needed.get()
        assert len(plans) == 2
    assert_from_indexes(plans)


def test_no_more_are_counted_than_a_page_has_to_say(
    database: Database, admin_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        seed(database, f"failed-{number}", "failed")
    monkeypatch.setattr(people_needed, "MOST_COUNTED", 3)
    monkeypatch.setattr("webhook_app.web.layout.navigation.MOST_COUNTED", 3)
    assert count_people_needed(database).failed_deliveries == 3
    assert "Deliveries 2+ failed" in menu(admin_client)


def test_transaction_user_and_request_are_found_by_their_whole_ids(
    finance_client: FlaskClient, database: Database
) -> None:
    confirm(database, "order-1", partner_user_id="user-7")
    add_unopened(database, "order-3")
    known = make_known(database, "order-2", "retrying")
    attempt(database, known, START, error="upstream_error", code="provider_error", request_id="req-9", status=None)
    for typed, target in (
        ("order-1", "/transactions/order-1"),
        (" order-2\n", "/transactions/order-2"),
        ("order-3", "/transactions/order-3"),
        ("req-9", "/transactions/order-2"),
        ("user-7", "/transactions?partner_user_id=user-7"),
        ("“order-1”,", "/transactions/order-1"),
        ("(req-9).\u200b", "/transactions/order-2"),
        ("<>", "/transactions?q=%3C%3E"),
        ("order", "/transactions?q=order"),
        ("a/b?c", "/transactions?q=a/b?c"),
        ("\x00", "/transactions?q=%00"),
        ("x" * 200, "/transactions?q=" + "x" * 200),
        ("", "/transactions"),
    ):
        answer = finance_client.get("/search", query_string={"q": typed})
        assert (answer.status_code, answer.headers["Location"]) == (303, target), typed


def test_request_that_a_page_shows_is_found_by_its_id(
    finance_client: FlaskClient, admin_client: FlaskClient, database: Database
) -> None:
    """Of what Proof said and no failed attempt has: in an answer that was taken, in a webhook, to a session, to a
    probe. Each leads to where it is shown."""
    confirm(database, "order-1")
    seen = {"kind": DriftKind.STATUS, "count": 1, "first_seen_at": START, "last_seen_at": START}
    problem = {"kind": SessionProblemKind.WALLET_NOT_SUPPORTED, "currency": "USDT", "network": "TRC20", "count": 1}
    problem |= {"first_at": START, "last_at": START}
    with database.write() as session:
        of_order = seen | {"word": "thawed", "merchant_transaction_id": "order-1", "request_id": "answer-1"}
        session.add(StoredDrift(**of_order, source=DriftSource.API))
        session.add(StoredDrift(**seen, word="frozen", source=DriftSource.WEBHOOK, request_id="sent-1"))
        session.add(SessionProblem(**problem, request_id="session-1"))
        session.add(SessionProblem(**problem | {"currency": "BTC"}, request_id="session-2", resolved_at=START))
    pause(database, "upstream", START, error="unauthorised", request_id="probe-1")
    for client, typed, target in (
        (finance_client, "answer-1", "/transactions/order-1"),
        (finance_client, "sent-1", "/#drift"),
        (admin_client, "sent-1", "/drift"),
        (finance_client, "session-1", "/#session-problems"),
        (finance_client, "session-2", "/transactions?q=session-2"),
        (finance_client, "probe-1", "/#verdict"),
    ):
        answer = client.get("/search", query_string={"q": typed})
        assert (answer.status_code, answer.headers["Location"]) == (303, target), typed
    overview = admin_client.get("/").text
    assert 'id="session-problems"' in overview
    assert 'data-copy="session-1"' in overview
    assert 'id="verdict"' in overview
    assert finance_client.get("/transactions?q=probe-1").headers["Location"] == "/#verdict"


def test_search_looks_into_indexes_alone(database: Database) -> None:
    fill(database)
    with explained(database) as plans:
        assert find_exactly(database, "nobody") is None
    assert len(plans) == 7
    assert_from_indexes(plans)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_badge_says_that_proof_is_a_sandbox(app: Flask, admin_client: FlaskClient, services: Services) -> None:
    page = admin_client.get("/account").text
    badge = re.search(r'<a class="sandbox" href="([^"]+)"', page)
    assert badge is not None
    assert badge[1] == services.settings.proof_api_url
    for address, is_sandbox in (
        ("https://sandbox.proof.example", True),
        ("http://sandbox:8001", True),
        ("http://[::1]:8001/v1", True),
        ("https://api.proof.example", False),
        (None, False),
    ):
        bind_services(app, replace(services, settings=replace(services.settings, proof_api_url=address)))
        assert ('class="sandbox"' in admin_client.get("/account").text) is is_sandbox, address
        # Where the first password stands is said where `make run` has made one.
        assert ("wrote its password into the terminal" in app.test_client().get("/login").text) is is_sandbox, address
