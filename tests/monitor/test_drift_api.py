"""`/api/v1/drift`: what is listed, how one is dismissed, and what is refused."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.drift import see, sighting
from webhook_app.db.database import Database
from webhook_app.domain.drift import DriftKind
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import create_token

PATH = "/api/v1/drift"


@pytest.fixture
def headers(database: Database, clock: FakeClock) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(database, 'admin', Role.ADMIN, clock())}"}


def test_drift_is_listed_with_what_to_do(
    client: FlaskClient, database: Database, clock: FakeClock, headers: dict[str, str]
) -> None:
    see(database, sighting("refunded", clock(), id="order-1"), sighting("refunded", clock(), id="order-1"))
    answer = client.get(PATH, headers=headers)
    assert answer.status_code == 200
    (item,) = answer.json["items"]
    assert item.pop("id")
    assert item.pop("advice").startswith("Transactions with it wait")
    assert item == {
        "kind": "status",
        "source": "api",
        "word": "refunded",
        "state": "open",
        "count": 2,
        "first_seen_at": "2026-04-01T12:00:00Z",
        "last_seen_at": "2026-04-01T12:00:00Z",
        "merchant_transaction_id": "order-1",
        "request_id": "r-1",
        "dismissed_at": None,
        "dismissed_by": None,
        "note": None,
    }
    assert answer.json["next_cursor"] is None


def test_drift_is_dismissed_and_no_longer_listed(
    client: FlaskClient, database: Database, clock: FakeClock, headers: dict[str, str]
) -> None:
    see(database, sighting("fee", clock(), kind=DriftKind.FIELD))
    (item,) = client.get(PATH, headers=headers).json["items"]
    done = client.post(f"{PATH}/{item['id']}/dismiss", headers=headers, json={"note": "documented in May"})
    assert (done.status_code, done.json["state"], done.json["dismissed_by"]) == (200, "dismissed", "admin")
    assert client.get(PATH, headers=headers).json["items"] == []
    assert [one["note"] for one in client.get(f"{PATH}?state=all", headers=headers).json["items"]] == [
        "documented in May"
    ]
    again = client.post(f"{PATH}/{item['id']}/dismiss", headers=headers, json={"note": "again"})
    assert (again.status_code, again.json["error"]) == (409, "invalid_request")


@pytest.mark.parametrize("body", [{}, {"note": ""}, {"note": " \n"}, {"note": 7}, {"note": "x" * 501}, {"why": "x"}])
def test_bad_dismissal_is_400_in_shape(
    client: FlaskClient, database: Database, clock: FakeClock, headers: dict[str, str], body: dict[str, object]
) -> None:
    see(database, sighting("refunded", clock()))
    answer = client.post(f"{PATH}/1/dismiss", headers=headers, json=body)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


def test_unknown_drift_is_404_and_bad_query_400(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post(f"{PATH}/999/dismiss", headers=headers, json={"note": "x"}).status_code == 404
    assert client.post(f"{PATH}/{10**30}/dismiss", headers=headers, json={"note": "x"}).status_code == 404
    for query in ("state=closed", "limit=0", "cursor=x", "kind=status"):
        assert client.get(f"{PATH}?{query}", headers=headers).status_code == 400, query


def test_pages_follow_each_other(
    client: FlaskClient, database: Database, clock: FakeClock, headers: dict[str, str]
) -> None:
    for word in ("one", "two", "three"):
        see(database, sighting(word, clock()))
    first = client.get(f"{PATH}?limit=2", headers=headers).json
    second = client.get(f"{PATH}?limit=2&cursor={first['next_cursor']}", headers=headers).json
    assert [item["word"] for item in first["items"] + second["items"]] == ["three", "two", "one"]
    assert second["next_cursor"] is None
