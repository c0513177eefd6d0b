"""`/transactions/<id>`: all that finance sees of one transaction."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, update

from tests.support.clock import START, FakeClock
from tests.support.events import DOCUMENTED_ID
from tests.support.failures import fail, ingest
from tests.support.page_text import EVIL, in_words
from tests.support.people import BROWSER
from tests.support.rows import attempt, confirm, make_known, note, pause, seed
from tests.support.sandbox import Sandbox
from tests.support.work import work_once
from webhook_app.db.database import Database
from webhook_app.models import AuditEntry, Transaction
from webhook_app.services import Services
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.finance.discrepancies import acknowledge, reopen
from webhook_app.usecases.reconcile.reconciler import Reconciler

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # what pages do is the same on both


def test_everything_of_a_reconciled_transaction(
    finance_client: FlaskClient, services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    ingest(services, DOCUMENTED_ID, fiat_amount="99.00")
    work_once(reconciler, clock())
    clock.advance(300)
    page = finance_client.get(f"/transactions/{DOCUMENTED_ID}").text
    words = in_words(page)
    assert f'data-copy="{DOCUMENTED_ID}"' in page
    for shown in (
        "99.50 USDT",
        "100.00 EUR",
        "Last confirmed 5 min ago",
        "Reported: completed by webhook",
        "Proof confirmed: completed",
        "First confirmed: completed, 100.00 EUR → 99.50 USDT",
        "Buy · 100.00 EUR → 99.50 USDT · completed",
        "Reported amount differs critical open Reported fiat amount 99.00, but Proof confirms 100.00",
        "Ask Proof's support why they differ",
        "Discrepancy: Reported amount differs",
    ):
        assert shown in words
    assert "Do not book it" not in words
    assert "may be out of date" not in words
    assert 'aria-label="Copy the request id"' in page


def test_what_is_only_reported_is_labelled_and_a_sell_goes_the_other_way(
    finance_client: FlaskClient, services: Services
) -> None:
    ingest(services, "unheard-of", type="sell", status="pending", crypto_amount="1234.5678")
    page = in_words(finance_client.get("/transactions/unheard-of").text)
    assert "Sell · 1 234.5678 USDT → 100.00 EUR · not confirmed" in page
    assert "As it was reported, not confirmed Reported status pending Type sell Crypto amount 1 234.5678 USDT" in page
    assert "As Proof confirmed it" not in page


def test_what_was_not_reported_has_no_line(finance_client: FlaskClient, services: Services) -> None:
    ingest(services, "bare", type=None, currency=None, crypto_amount=None, network=None, created_at=None)
    page = in_words(finance_client.get("/transactions/bare").text)
    told = page.partition("As it was reported, not confirmed")[2].partition("Its reconciliation")[0]
    assert told.startswith(" Reported status completed Fiat amount 100.00 EUR Reported just now by webhook")


def test_heading_has_no_exchange_where_no_amount_is_known(
    finance_client: FlaskClient, services: Services, database: Database
) -> None:
    ingest(services, "bare", crypto_amount=None, fiat_amount=None)
    assert "Buy · not confirmed" in in_words(finance_client.get("/transactions/bare").text)
    confirm(database, "held", status="pending", crypto_amount=None, fiat_amount=None)
    page = in_words(finance_client.get("/transactions/held").text)
    assert "Buy · pending" in page
    assert "First confirmed: pending " in page
    assert "→" not in page


def test_each_confirmed_change_says_what_became_what(
    finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    values = {"fiat_currency": "EUR", "fiat_amount": Decimal("100.0")}
    confirm(database, "a", **values)
    for number, changes in enumerate(
        [
            {"status": "completed", "crypto_amount": Decimal("0.000000000000000001")},
            {"fiat_amount": Decimal("100.00")},
            {"network": "TRC20", "partner_user_id": EVIL},
        ]
    ):
        with database.write() as session:
            later = START + timedelta(minutes=number + 1)
            session.execute(update(Transaction).values(confirmed_at=later, **changes))
    page = finance_client.get("/transactions/a").text
    words = in_words(page)
    assert "Status pending became completed Crypto amount none became 0.00000000…" in words
    assert "Fiat amount 100.0 became 100.00" in words
    assert "Network none became TRC20" in words
    assert words.count("Confirmed change") == 3
    assert page.count("0.000000000000000001") == page.count('title="0.000000000000000001"') == 3, "all of it on hover"
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("pending", "may be out of date. It was last confirmed just now . Something newer was reported"),
        ("retrying", "Proof could not be asked since, and is asked again just now"),
        ("failed", "could not be reconciled; it waits for an admin"),
        ("succeeded", None),
        ("watching", None),
    ],
)
def test_stale_data_is_never_silent(
    state: str, says: str | None, finance_client: FlaskClient, database: Database
) -> None:
    confirm(database, "a", state)
    make_known(database, "b", state)
    confirmed, never = (in_words(finance_client.get(f"/transactions/{name}").text) for name in "ab")
    assert says in confirmed if says else "out of date" not in confirmed
    assert "Proof has not confirmed this transaction." in never
    assert "Last confirmed never" in never
    if state == "pending":
        pause(database, "upstream", START)
        assert "Calls to Proof are paused, so nothing newer is known" in in_words(
            finance_client.get("/transactions/a").text
        )


def test_failure_has_its_request_id_for_proofs_support(
    finance_client: FlaskClient, services: Services, reconciler: Reconciler, sandbox: Sandbox
) -> None:
    fail(services, reconciler, "unknown-1")
    page = finance_client.get("/transactions/unknown-1").text
    words = in_words(page)
    assert "Attempt failed: 404 not_found" in words
    assert "For Proof's support request" in words
    assert "Waits for an admin" in words


def test_failed_attempt_shows_proofs_answer(
    finance_client: FlaskClient,
    admin_client: FlaskClient,
    as_finance: dict[str, str],
    services: Services,
    reconciler: Reconciler,
) -> None:
    (failed,) = fail(services, reconciler, "unknown-1")
    for page in (finance_client.get("/transactions/unknown-1"), admin_client.get(f"/deliveries/{failed}")):
        words = in_words(page.text)
        assert "Proof's answer HTTP 404 Content-Type: application/json" in words
        assert '{"error": "not_found", "code": "not_found", "message": ' in words.replace("&#34;", '"')
    (told,) = finance_client.get("/api/v1/transactions/unknown-1", headers=as_finance).json["attempts"]
    assert told["answer_headers"].startswith("Content-Type: application/json")
    assert told["answer_body"].startswith('{"error": "not_found"')


def test_finance_sees_neither_replay_nor_deliveries(
    finance_client: FlaskClient, admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    (failed,) = fail(services, reconciler, "unknown-1")
    page = finance_client.get("/transactions/unknown-1").text
    assert "eplay" not in page
    assert "/deliveries" not in page
    page = admin_client.get("/transactions/unknown-1").text
    assert 'href="/deliveries?merchant_transaction_id=unknown-1"' in page
    assert f'href="/deliveries/{failed}"' in page
    assert 'href="/transactions/unknown-1"' in admin_client.get(f"/deliveries/{failed}").text


def test_time_line_tells_who_looked_and_what_was_resolved(
    finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    confirm(database, "a")
    found = note(database, "a", "terminal_changed")
    note(database, "a", "unknown_to_proof", resolved_at=START + timedelta(minutes=1))
    actor = Actor("ada", "page")
    acknowledge(database, found, f"booked {EVIL}", actor, START + timedelta(minutes=2))
    reopen(database, found, "not booked after all", actor, START + timedelta(minutes=3))
    acknowledge(database, found, "booked now", actor, START + timedelta(minutes=4))
    clock.advance(600)
    page = finance_client.get("/transactions/a").text
    words = in_words(page)
    for shown in (
        "ada acknowledged “Changed after it was final” “booked '",
        "ada reopened “Changed after it was final” “not booked after all”",
        "Acknowledged by ada 6 min ago : “booked now”",
        "Resolved by a later confirmation: Unknown to Proof: possibly forged",
    ):
        assert shown in words
    assert "<img src=x" not in page


def test_only_what_a_page_can_hold_is_told(finance_client: FlaskClient, database: Database) -> None:
    row = confirm(database, "a")
    for number in range(104):
        with database.write() as session:
            moment = START + timedelta(seconds=number + 1)
            session.execute(update(Transaction).values(network=f"n-{number}", confirmed_at=moment))
        attempt(database, row, START)
        note(database, "a", "stale_answer", fingerprint=str(number))
    page = finance_client.get("/transactions/a").text
    assert page.count("Confirmed change") == 100
    assert page.count('class="panel discrepancy') == 100
    assert "n-103" in page


def test_evil_words_from_outside_are_text(finance_client: FlaskClient, database: Database) -> None:
    confirm(database, "a", "failed", currency="<b>X</b>", network=EVIL[:64], partner_user_id=EVIL)
    seed(database, "b", "failed", failure=(502, EVIL[:60], EVIL[:60]), status="completed", warnings=[EVIL])
    for kind in ("status_mismatch", "amount_mismatch"):
        note(database, "a", kind, detail=EVIL, acknowledged_at=START, acknowledged_by=EVIL, note=EVIL)
    with database.write() as session:
        session.execute(
            insert(AuditEntry).values(
                at=START, actor=EVIL, via="page", action="acknowledge", subject="a", reason=EVIL,
                details={"kind": "status_mismatch"},
            )
        )  # fmt: skip
    for name in "ab":
        page = finance_client.get(f"/transactions/{name}").text
        assert "<img src=x" not in page
        assert "<b>X" not in page
        assert "&lt;img src=x" in page


def test_unknown_id_says_what_to_do(finance_client: FlaskClient, client: FlaskClient) -> None:
    for name in ("nothing", "x" * 200, "%00", "<img src=x>", "a b", "' OR 1=1 --"):
        page = finance_client.get(f"/transactions/{name}")
        assert page.status_code == 404
        assert "search for a part of it under Payments" in in_words(page.text), name
        assert "<img src=x" not in page.text
    assert client.get("/transactions/a", headers=BROWSER).status_code == 303


@pytest.mark.parametrize("id", [".", ".."])
def test_what_is_called_like_a_step_of_a_path_can_be_opened(
    finance_client: FlaskClient, services: Services, id: str
) -> None:
    """A browser asks for `/` where a link says `/transactions/..`."""
    ingest(services, id)
    page = finance_client.get("/transactions").text
    assert f'href="/transaction?id={id}"' in page
    assert f'href="/transactions/{id}"' not in page
    assert f'data-copy="{id}"' in finance_client.get(f"/transaction?id={id}").text
    found = finance_client.get(f"/search?q={id}", headers=BROWSER)
    assert (found.status_code, found.location) == (303, f"/transaction?id={id}")
    assert finance_client.get("/transaction", headers=BROWSER).status_code == 404
