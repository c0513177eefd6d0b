"""A part of an id beside a long history: the page lists what begins with it, else the newest that have it, and says so;
count, files and the API look at all."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.page_text import ids, in_words
from tests.support.plans import explained
from tests.support.rows import confirm
from webhook_app.db.database import Database
from webhook_app.usecases.finance import bounded_search
from webhook_app.usecases.finance.bounded_search import bound_search
from webhook_app.usecases.finance.reports import list_transactions
from webhook_app.usecases.finance.transaction_filter import TransactionFilter

LIST = "/transactions"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three transactions count as many."""
    monkeypatch.setattr(bounded_search, "LOOKED_AT", 3)


def _fill(database: Database) -> None:
    for name in ("Pay-1", "old-pay-2", "PAY_3", "x-4", "new-pay-5"):
        confirm(database, name, partner_user_id=f"user-{name}", status="failed" if name == "PAY_3" else "completed")


def test_what_begins_with_it_is_listed_whatever_its_case(finance_client: FlaskClient, database: Database) -> None:
    _fill(database)
    page = finance_client.get(f"{LIST}?q=pAy").text
    assert ids(page) == ["PAY_3", "Pay-1"]
    assert "Listed are ids that begin with “pAy”. Sums and files are of all that have it." in in_words(page)
    assert ids(finance_client.get(f"{LIST}?q=pay&status=failed").text) == ["PAY_3"]
    assert ids(finance_client.get(f"{LIST}?q=pay_").text) == ["PAY_3"]  # no placeholder


def test_else_the_newest_that_have_it(finance_client: FlaskClient, database: Database) -> None:
    _fill(database)
    page = finance_client.get(f"{LIST}?q=-pay-").text
    assert ids(page) == ["new-pay-5"]
    assert "No id begins with “-pay-”: listed are those of the newest" in in_words(page)


def test_all_are_listed_counted_and_written_where_that_is_asked_for(
    finance_client: FlaskClient, database: Database
) -> None:
    _fill(database)
    page = finance_client.get(f"{LIST}?q=-pay-&look=everywhere").text
    assert ids(page) == ["new-pay-5", "old-pay-2"]
    assert "Listed are" not in in_words(page)
    assert "2 confirmed" in in_words(finance_client.get("/transaction-strip?q=-pay-").text)
    assert finance_client.get("/transactions.csv?q=-pay-&look=everywhere").text.count("\r\n") == 3  # with a header


def test_a_short_history_is_looked_at_as_a_whole(finance_client: FlaskClient, database: Database) -> None:
    confirm(database, "a-pay")
    confirm(database, "pay-b")
    page = finance_client.get(f"{LIST}?q=pay").text
    assert ids(page) == ["pay-b", "a-pay"]
    assert "Listed are" not in in_words(page)


def test_a_user_is_meant_before_a_part(finance_client: FlaskClient, database: Database) -> None:
    _fill(database)
    confirm(database, "user-x-4-and-more")
    assert ids(finance_client.get(f"{LIST}?q=user-x-4").text) == ["x-4"]


def test_the_beginning_is_found_in_an_index(database: Database) -> None:
    """Also after all migrations: on SQLite one that copies the table would lose it."""
    for number in range(300):
        confirm(database, f"pay-{number}")
    with database.write() as session:
        session.connection().exec_driver_sql("ANALYZE reconciliations")
    with explained(database) as found:
        wanted = bound_search(database, TransactionFilter(q="PAY-29"))
    assert len(list_transactions(database, wanted, 50).items) == 11
    (plan,) = [one.plan for one in found if "ORDER BY" in one.statement and "lower(" in one.statement]
    assert "ix_reconciliations_lower_id" in plan
    assert "TEMP B-TREE" not in plan  # already in its order, so that it ends with the last that is wanted
