"""`GET /api/v1/deliveries`: filters, pages, bad input, roles."""

from __future__ import annotations

from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.events import DOCUMENTED_ID
from tests.support.failures import fail, ingest
from tests.support.sandbox import Sandbox
from tests.support.work import work_once
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.reconcile.reconciler import Reconciler

PATH = "/api/v1/deliveries"


def bearer(services: Services, role: Role) -> dict[str, str]:
    token = create_token(services.database, str(role), role, services.clock())
    return {"Authorization": f"Bearer {token}"}


def test_filters_narrow_the_list(
    client: FlaskClient, services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    headers = bearer(services, Role.ADMIN)
    one, two = fail(services, reconciler, "f-1", "f-2")
    clock.advance(60)
    sandbox.control.create("r-1")
    sandbox.control.inject("publish_failed", transaction="r-1")
    retrying = ingest(services, "r-1")
    work_once(reconciler, clock())
    succeeded = ingest(services, DOCUMENTED_ID)
    work_once(reconciler, clock())
    clock.advance(60)
    pending = ingest(services, "p-1")

    def ids(query: str) -> list[int]:
        answer = client.get(f"{PATH}?{query}", headers=headers)
        assert answer.status_code == 200, answer.json
        return [item["id"] for item in answer.json["items"]]

    assert ids("") == [pending, succeeded, retrying, two, one]
    assert ids("state=failed") == [two, one]
    assert ids("state=retrying&error=internal_error") == []
    assert ids("state=retrying&code=publish_failed") in ([retrying], [])
    assert ids("error=not_found&code=not_found&merchant_transaction_id=f-1") == [one]
    assert ids("state=succeeded") == [succeeded]
    assert ids("received_from=2026-04-01T12:01:00Z&received_to=2026-04-01T12:02:00Z") == [succeeded, retrying]
    assert ids("received_to=2026-04-01T14:01:00%2B02:00") == [two, one], "an offset is heeded"
    assert ids("received_from=2026-04-02") == []
    item = client.get(f"{PATH}?merchant_transaction_id=f-1", headers=headers).json["items"][0]
    assert item["state"] == "failed"
    assert item["attempts"] == 1
    assert item["next_attempt_at"] is None
    assert item["last_error"].items() >= {"http_status": 404, "error": "not_found", "code": "not_found"}.items()
    assert item["last_error"]["request_id"]


def test_pages_by_cursor_cover_all_once(client: FlaskClient, services: Services, reconciler: Reconciler) -> None:
    headers = bearer(services, Role.ADMIN)
    wanted = fail(services, reconciler, *(f"page-{number}" for number in range(7)))
    seen: list[int] = []
    cursor = None
    while True:
        query = {"state": "failed", "limit": "3"} | ({"cursor": cursor} if cursor else {})
        answer = client.get(PATH, query_string=query, headers=headers).json
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
        ingest(services, f"newer-{len(seen)}")  # what comes in between moves no page
    assert seen == wanted[::-1]


BAD_QUERIES = [
    ("state=gone", "state"),
    ("state=", "state"),
    ("error=", "error"),
    ("error=%00", "error"),
    (f"code={'x' * 200}", "code"),
    ("merchant_transaction_id=a%07b", "merchant_transaction_id"),
    ("received_from=yesterday", "received_from"),
    ("received_to=2026-13-01", "received_to"),
    ("received_from=2026-04-02&received_to=2026-04-02", "received_from"),
    ("limit=0", "limit"),
    ("limit=201", "limit"),
    ("limit=x", "limit"),
    (f"limit={2**64}", "limit"),
    ("cursor=forged", "cursor"),
    ("cursor=", "cursor"),
    ("colour=red", "colour"),
]


def test_bad_query_names_its_field(client: FlaskClient, services: Services) -> None:
    headers = bearer(services, Role.ADMIN)
    for query, field in BAD_QUERIES:
        answer = client.get(f"{PATH}?{query}", headers=headers)
        assert answer.status_code == 400, query
        assert answer.json["error"] == "invalid_request", query
        assert list(answer.json["fields"]) == [field], query
        assert field in answer.json["message"], query
        assert answer.headers["X-Request-Id"]


def test_deliveries_are_for_admins(client: FlaskClient, services: Services) -> None:
    for role in (Role.FINANCE, Role.SERVICE):
        headers = bearer(services, role)
        assert client.get(PATH, headers=headers).status_code == 403
        assert client.post(f"{PATH}/replay", json={}, headers=headers).status_code == 403
        assert client.get("/api/v1/replays/1", headers=headers).status_code == 403
        assert client.post("/api/v1/replays/1/cancel", headers=headers).status_code == 403
    assert client.get(PATH).status_code == 401
    assert client.post(f"{PATH}/replay", json={}, headers={"Authorization": "Bearer wrong"}).status_code == 401
