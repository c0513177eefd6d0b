"""`POST /webhooks/proof`."""

from __future__ import annotations

from flask.testing import FlaskClient

from tests.events import DOCUMENTED_ID, webhook


def test_new_event_is_accepted_with_202(client: FlaskClient) -> None:
    answer = client.post("/webhooks/proof", json=webhook())
    assert answer.status_code == 202
    assert answer.json == {"event_id": answer.json["event_id"], "duplicate": False, "warnings": []}


def test_second_receipt_is_a_duplicate_with_200(client: FlaskClient) -> None:
    first = client.post("/webhooks/proof", json=webhook())
    second = client.post("/webhooks/proof", json=webhook())
    assert second.status_code == 200
    assert second.json == {"event_id": first.json["event_id"], "duplicate": True, "warnings": []}
