"""`/drift` and the overview: people see what Proof says and we do not know, and dismiss it with a note."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.drift import see, sighting, stored_drift
from tests.support.people import post
from tests.support.rows import make_well, seed
from webhook_app.db.database import Database
from webhook_app.domain.drift import DriftKind, DriftSource
from webhook_app.services import Services

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # SQL is tested in test_drift.py


def test_overview_says_what_proof_says_and_what_to_do(
    admin_client: FlaskClient, finance_client: FlaskClient, services: Services, clock: FakeClock
) -> None:
    make_well(services)
    see(services.database, *[sighting("refunded", clock()) for _ in range(3)])
    page = admin_client.get("/").text
    assert "Proof says something we do not know: status “refunded” (3 times)." in page
    assert "Drift · Overview" in page
    assert "Transactions with it wait, and are asked for again from time to time." in page
    assert 'href="/drift"' in page
    assert "An admin can look at each" in finance_client.get("/").text


def test_what_stops_nothing_leaves_all_well(admin_client: FlaskClient, services: Services, clock: FakeClock) -> None:
    make_well(services)
    see(services.database, sighting("fee_amount", clock(), kind=DriftKind.FIELD))
    see(services.database, sighting("held", clock(), source=DriftSource.WEBHOOK))
    page = admin_client.get("/").text
    assert "All is well." in page
    assert "Proof says something we do not know: " in page
    assert "field “fee_amount”" in page
    assert "status “held”" in page
    assert "in webhooks" in page


def test_long_list_is_cut_and_counted(admin_client: FlaskClient, services: Services, clock: FakeClock) -> None:
    see(services.database, *[sighting(f"word {letter}", clock()) for letter in "abcdefghijklm"])
    assert "and 3 more" in admin_client.get("/").text


def test_drift_is_dismissed_with_a_note(admin_client: FlaskClient, database: Database, clock: FakeClock) -> None:
    see(database, sighting("refunded", clock(), id="order-1", request_id="req-9"))
    (row,) = stored_drift(database)
    page = admin_client.get("/drift").text
    assert "Status “refunded”" in page
    assert "order-1" in page
    assert "req-9" in page
    empty = post(admin_client, f"/drift/{row.id}/dismiss", note=" ")
    assert empty.status_code == 400
    assert "Say in 1 to 500 characters" in empty.text
    long = post(admin_client, f"/drift/{row.id}/dismiss", note="too long " * 60)
    assert (long.status_code, "too long too long" in long.text) == (400, True)
    done = post(admin_client, f"/drift/{row.id}/dismiss", note="Proof: like cancelled <b>")
    assert done.status_code == 303
    after = admin_client.get("/drift").text
    assert "Dismissed: status “refunded”." in after
    assert "Nothing is open." in after
    dismissed = admin_client.get("/drift?state=dismissed").text
    assert "Proof: like cancelled &lt;b&gt;" in dismissed
    again = post(admin_client, f"/drift/{row.id}/dismiss", note="again")
    assert again.status_code == 409
    assert "ada has dismissed it already" in again.text
    audited = admin_client.get("/audit?action=dismiss_drift").text
    assert "in the API&#39;s answers, which this release does not know" in audited


def test_page_of_nothing_and_of_what_is_not_there(admin_client: FlaskClient) -> None:
    assert "Nothing is open." in admin_client.get("/drift").text
    assert "Nothing is dismissed." in admin_client.get("/drift?state=dismissed").text
    assert admin_client.get("/drift?cursor=x").status_code == 400
    assert post(admin_client, "/drift/7/dismiss", note="x").status_code == 404


@pytest.mark.parametrize(
    "failure",
    [
        (400, "invalid_request", "currency_not_allowed"),
        (400, "unsupported_currency", "unsupported_currency"),
        (400, "invalid_request", "unsupported_currency"),
    ],
)
def test_currency_that_proof_has_to_enable_stands_out_in_every_dialect(
    admin_client: FlaskClient, services: Services, failure: tuple[int, str, str]
) -> None:
    seed(services.database, "a", "failed", failure=failure, currency="DOGE", network="DOGE")
    assert "Ask Proof to enable the currency of <strong>(DOGE, DOGE)</strong>" in admin_client.get("/").text
