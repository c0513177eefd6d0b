"""How much a browser has to lay out: what a page of fifty rows is made of, counted, for a clock would say something of
the machine. `make bench BENCH_ARGS="--only pages"` measures the time."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from flask.testing import FlaskClient

from tests.support.rows import confirm, note, seed
from webhook_app.db.database import Database

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # a page is the same on both

ROWS = 50
AMOUNTS = {"crypto_amount": Decimal("0.031415926535897932"), "fiat_amount": Decimal("100.00"), "fiat_currency": "EUR"}


@pytest.mark.parametrize(
    ("path", "most_elements", "most_bytes"),
    [("/transactions", 22, 1_100), ("/deliveries", 19, 1_100), ("/discrepancies", 39, 2_100)],
)
def test_row_of_a_list_is_made_of_few_elements(
    path: str, most_elements: int, most_bytes: int, admin_client: FlaskClient, database: Database
) -> None:
    for number in range(ROWS):
        name = f"order-2026-04-01-{number:08}"
        if path == "/deliveries":
            seed(database, name, "failed", failure=(502, "upstream_error", "provider_error"))
        else:
            confirm(database, name, currency="ETH", status="completed", **AMOUNTS)
            note(database, name, "amount_mismatch", detail="reported fiat_amount 1250.00, but Proof confirms 1249.99")
    page = admin_client.get(path).text
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert rows.count("<tr") == ROWS
    elements, size = len(re.findall(r"<[a-z]", rows)) / ROWS, len(rows) / ROWS
    assert elements <= most_elements, elements
    assert size <= most_bytes, size
