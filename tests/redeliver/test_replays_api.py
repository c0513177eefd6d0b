"""`POST /api/v1/deliveries/replay` and `/api/v1/replays/<id>[/cancel]`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from tests.support.clock import FakeClock
from tests.support.events import DOCUMENTED_ID
from tests.support.failures import fail, ingest
from tests.support.sandbox import Sandbox
from tests.support.work import work_once
from webhook_app.models import AuditEntry, Replay
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.reconcile.reconciler import Reconciler

PATH = "/api/v1/deliveries/replay"


class Api:
    """The API as the admin `robot` calls it."""

    def __init__(self, client: FlaskClient, services: Services) -> None:
        token = create_token(services.database, "robot", Role.ADMIN, services.clock())
        self._client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    def post(self, path: str, **body: Any) -> TestResponse:
        return self._client.post(path, json=body, headers=self.headers)

    def get(self, path: str) -> TestResponse:
        return self._client.get(path, headers=self.headers)


@pytest.fixture
def api(client: FlaskClient, services: Services) -> Api:
    return Api(client, services)


def count_replays(services: Services) -> int:
    with services.database.read() as session:
        return session.scalar(select(func.count()).select_from(Replay)) or 0


def test_dry_run_changes_nothing(api: Api, services: Services, reconciler: Reconciler) -> None:
    ids = fail(services, reconciler, "d-1", "d-2")
    answer = api.post(PATH, filter={"state": "failed", "error": "not_found"}, dry_run=True)
    assert answer.status_code == 200
    assert answer.json == {
        "replay_id": None,
        "matched": 2,
        "replayed": 2,
        "transactions": 2,
        "skipped": [],
        "paused": None,
    }
    assert api.post(PATH, ids=ids, dry_run=True, reason="look").json["replayed"] == 2
    assert count_replays(services) == 0
    with services.database.read() as session:
        assert session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.REPLAY)).all() == []


def test_replay_by_ids_says_why_others_are_skipped(
    api: Api, services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    failed, other = fail(services, reconciler, "i-1", "i-2")
    succeeded = ingest(services, DOCUMENTED_ID)
    work_once(reconciler, clock())
    clock.advance(1)
    pending = ingest(services, "i-3")
    answer = api.post(PATH, ids=[failed, failed, succeeded, pending, 10**12], reason="they exist now")
    assert answer.status_code == 200
    assert (answer.json["matched"], answer.json["replayed"]) == (3, 1)
    why = {one["id"]: one["why"] for one in answer.json["skipped"]}
    assert why.keys() == {succeeded, pending, 10**12}
    assert "succeeded" in why[succeeded]
    assert "about to be tried" in why[pending]
    assert "no such delivery" in why[10**12]
    sandbox.control.create("i-1")
    clock.advance(1)
    work_once(reconciler, clock())
    progress = api.get(f"/api/v1/replays/{answer.json['replay_id']}").json
    assert progress["replay"].items() >= {"actor": "robot", "via": "api", "reason": "they exist now"}.items()
    assert (progress["succeeded"], progress["failed"], progress["is_settled"]) == (1, 0, True)
    assert api.get("/api/v1/deliveries?merchant_transaction_id=i-2").json["items"][0]["state"] == "failed"
    assert other not in why


def test_what_failed_again_is_replayed_again(
    api: Api, services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    (failed,) = fail(services, reconciler, "again")
    outcomes = []
    for _ in range(3):
        clock.advance(60)
        ordered = api.post(PATH, ids=[failed], reason="again").json
        assert ordered["replayed"] == 1
        clock.advance(1)
        work_once(reconciler, clock())
        outcomes.append(ordered["replay_id"])
    stood = [api.get(f"/api/v1/replays/{one}").json for one in outcomes]
    assert [(one["failed"], one["is_settled"]) for one in stood] == [(1, True)] * 3
    assert api.get("/api/v1/deliveries").json["items"][0]["attempts"] == 4


def test_running_replay_is_cancelled_once(
    api: Api, services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    fail(services, reconciler, *(f"c-{number}" for number in range(4)))
    clock.advance(1)
    ordered = api.post(PATH, filter={"state": "failed"}, reason="slowly", per_second=1).json
    path = f"/api/v1/replays/{ordered['replay_id']}"
    assert api.get(path).json["waiting"] == 3
    second = api.post(PATH, filter={"state": "failed"}, reason="twice").json
    assert (second["replay_id"], second["replayed"]) == (None, 0)
    assert all("waits in replay" in one["why"] for one in second["skipped"])
    cancelled = api.post(f"{path}/cancel")
    assert cancelled.status_code == 200
    assert (cancelled.json["waiting"], cancelled.json["skipped"]) == (0, 3)
    assert cancelled.json["replay"]["cancelled_by"] == "robot"
    again = api.post(f"{path}/cancel")
    assert again.status_code == 409
    assert "nothing to cancel" in again.json["message"]
    assert api.post(PATH, filter={"state": "failed"}, reason="after all").json["replayed"] == 3


BAD_ORDERS: list[tuple[dict[str, Any], str]] = [
    ({}, "ids"),
    ({"reason": "x"}, "ids"),
    ({"ids": [], "reason": "x"}, "ids"),
    ({"ids": "1", "reason": "x"}, "ids"),
    ({"ids": ["one"], "reason": "x"}, "ids"),
    ({"ids": [1.5], "reason": "x"}, "ids"),
    ({"ids": [None], "reason": "x"}, "ids"),
    ({"ids": [True], "reason": "x"}, "ids"),
    ({"ids": [0], "reason": "x"}, "ids"),
    ({"ids": [-1], "reason": "x"}, "ids"),
    ({"ids": [2**63], "reason": "x"}, "ids"),
    ({"ids": list(range(1, 1002)), "reason": "x"}, "ids"),
    ({"ids": list(range(1, 100_000)), "reason": "x"}, "ids"),
    ({"ids": [1], "filter": {"state": "failed"}, "reason": "x"}, "ids"),
    ({"filter": {}, "reason": "x"}, "filter"),
    ({"filter": None, "reason": "x"}, "filter"),
    ({"filter": "state=failed", "reason": "x"}, "filter"),
    ({"filter": {"state": "gone"}, "reason": "x"}, "filter"),
    ({"filter": {"state": ["failed"]}, "reason": "x"}, "filter"),
    ({"filter": {"colour": "red"}, "reason": "x"}, "filter"),
    ({"filter": {"error": "\x00"}, "reason": "x"}, "filter"),
    ({"filter": {"received_from": 5}, "reason": "x"}, "filter"),
    ({"ids": [1]}, "reason"),
    ({"ids": [1], "reason": ""}, "reason"),
    ({"ids": [1], "reason": "  "}, "reason"),
    ({"ids": [1], "reason": 5}, "reason"),
    ({"ids": [1], "reason": "x" * 501}, "reason"),
    ({"ids": [1], "reason": "x", "per_second": 0}, "per_second"),
    ({"ids": [1], "reason": "x", "per_second": 10**9}, "per_second"),
    ({"ids": [1], "reason": "x", "per_second": "fast"}, "per_second"),
    ({"ids": [1], "reason": "x", "per_second": float("nan")}, "per_second"),
    ({"ids": [1], "reason": "x", "per_second": float("inf")}, "per_second"),
    ({"ids": [1], "reason": "x", "dry_run": "perhaps"}, "dry_run"),
    ({"ids": [1], "reason": "x", "colour": "red"}, "colour"),
]


def test_bad_order_names_its_field_and_changes_nothing(api: Api, services: Services, reconciler: Reconciler) -> None:
    fail(services, reconciler, "bad")
    for body, field in BAD_ORDERS:
        answer = api.post(PATH, **body)
        shown = json.dumps(body)[:80]
        assert answer.status_code == 400, shown
        assert answer.json["error"] == "invalid_request", shown
        names = {name.partition(".")[0] for name in answer.json["fields"]}
        assert field in names, (shown, answer.json)
        assert "{" not in answer.json["message"], answer.json
    assert count_replays(services) == 0


def test_what_is_no_json_object_is_refused(client: FlaskClient, api: Api) -> None:
    for body, content_type, status in (
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"ids=1&reason=x", "application/x-www-form-urlencoded", 400),
        (b"", "application/json", 400),
    ):
        answer = client.post(PATH, data=body, content_type=content_type, headers=api.headers)
        assert answer.status_code == status, body
        assert answer.json["error"] == "invalid_request"
    for method, path in (
        ("GET", PATH),
        ("PUT", PATH),
        ("GET", "/api/v1/replays/1/cancel"),
        ("POST", "/api/v1/replays/1"),
    ):
        answer = client.open(path, method=method, headers=api.headers)
        assert answer.status_code == 405, path
        assert answer.json["code"] == "method_not_allowed"


def test_unknown_replay_is_a_404(api: Api) -> None:
    for replay_id in (999, 2**63, 10**30):
        for answer in (api.get(f"/api/v1/replays/{replay_id}"), api.post(f"/api/v1/replays/{replay_id}/cancel")):
            assert answer.status_code == 404
            assert answer.json["error"] == "not_found"
    assert api.get("/api/v1/replays/one").status_code == 404


def test_id_is_a_whole_number_however_it_is_written(api: Api) -> None:
    for ids, status in (([2.0], 200), ([2.5], 400), (["2"], 400), ([True], 400), ([1e300], 400)):
        assert api.post(PATH, ids=ids, dry_run=True).status_code == status, ids


def test_body_that_is_too_large_is_refused(api: Api) -> None:
    answer = api.post(PATH, ids=[1], reason="x" * 1024 * 1024)
    assert (answer.status_code, answer.json["error"], answer.json["code"]) == (413, "invalid_request", "too_large")
