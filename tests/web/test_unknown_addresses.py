"""Lists and boards overlook nothing of their address: what they do not know gets a sentence, a 400 and a request id."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.page_text import in_words
from tests.support.people import BROWSER

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it does not test SQL

#: Each page, and what of its own it is asked for wrongly.
PAGES = {
    "/": "span=decade",
    "/transactions": "status=lost",
    "/transaction-totals": "status=lost",
    "/transaction-totals/counted": "status=lost",
    "/discrepancies": "state=odd",
    "/deliveries": "state=odd",
    "/scorecard": "first_day=never",
    "/audit": "action=sing",
    "/rejections": f"code={'x' * 80}",
    "/tokens": "all=perhaps",
    "/drift": "state=odd",
    "/incidents": "state=odd",
    "/replays": "state=odd",
    "/spool": "state=odd",
}


@pytest.mark.parametrize("path", PAGES)
def test_what_a_page_does_not_know_is_said(admin_client: FlaskClient, path: str) -> None:
    assert admin_client.get(path, headers=BROWSER).status_code == 200
    for query, said in ((PAGES[path], ""), ("colour=blue", "colour")):
        answer = admin_client.get(f"{path}?{query}", headers=BROWSER)
        words = in_words(answer.text)
        assert answer.status_code == 400, query
        assert 'role="alert"' in answer.text
        assert f"There is no filter “{said}”" in words or "This filter makes no sense" in words or not said
        assert f"request {answer.headers['X-Request-Id']}" in words


def test_a_dismissed_state_of_drift_is_no_other(admin_client: FlaskClient) -> None:
    words = in_words(admin_client.get("/drift?state=odd", headers=BROWSER).text)
    assert "There is no state “odd”: choose open or dismissed." in words
    assert "Nothing is open" not in words
